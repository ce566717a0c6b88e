"""Speech: folders of short clips and synthesised keywords as problems, a front end and a network, the adapter."""

from functools import partial

from mixkit.comparison.problems import Adapter
from mixkit.files import holds
from mixkit_audio.band_mix import BandMix, StyleMix
from mixkit_audio.box_mix import BoxMix
from mixkit_audio.clip_tokens import ClipTokens
from mixkit_audio.clips import Clips
from mixkit_audio.few_shot import shots, with_new_head
from mixkit_audio.foreground import ForegroundPairs
from mixkit_audio.label_laws import Absorbing, Original, Overlap, Share, Union
from mixkit_audio.levels import AWeighted, Rms
from mixkit_audio.mix_training import MixTraining
from mixkit_audio.networks import AudioNet, LogMel
from mixkit_audio.pipeline import Pipeline
from mixkit_audio.power import LogPower, PowerMix
from mixkit_audio.problem import AudioProblem, load_clips, restore_clips
from mixkit_audio.reading import SUFFIXES
from mixkit_audio.spectrogram_mix import SpectrogramMix
from mixkit_audio.synthetic import keywords
from mixkit_audio.wave_mix import SnrPairs, UniformPairs, WaveMix
from mixkit_audio.word_tests import WordTests

__all__ = [
    "ADAPTER",
    "AWeighted",
    "Absorbing",
    "AudioNet",
    "AudioProblem",
    "BandMix",
    "BoxMix",
    "ClipTokens",
    "Clips",
    "ForegroundPairs",
    "LogMel",
    "LogPower",
    "MixTraining",
    "Original",
    "Overlap",
    "Pipeline",
    "PowerMix",
    "Rms",
    "Share",
    "SnrPairs",
    "SpectrogramMix",
    "StyleMix",
    "UniformPairs",
    "Union",
    "WaveMix",
    "WordTests",
    "keywords",
    "load_clips",
    "shots",
    "with_new_head",
]


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
