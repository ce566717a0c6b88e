"""Speech: folders of short clips and synthesised keywords as problems, a front end and a network, the adapter."""

from functools import partial

from mixkit.comparison.problems import Adapter
from mixkit.files import holds
from mixkit_audio.clip_tokens import ClipTokens
from mixkit_audio.networks import AudioNet, LogMel
from mixkit_audio.power import LogPower
from mixkit_audio.problem import AudioProblem, load_clips, restore_clips
from mixkit_audio.reading import SUFFIXES
from mixkit_audio.synthetic import keywords

__all__ = ["ADAPTER", "AudioNet", "AudioProblem", "ClipTokens", "LogMel", "LogPower", "keywords", "load_clips"]


def _embedded() -> list[AudioProblem]:
    return [keywords()]


ADAPTER = Adapter(
    modality="audio",
    embedded=_embedded,
    recognises=partial(holds, suffixes=SUFFIXES),
    load=load_clips,
    restore=restore_clips,
    default_methods=("label-smoothing", "mixup", "mixupe"),
)
