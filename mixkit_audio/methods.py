"""Methods for speech: mixing waveforms, power and bands, and several words at once; found by entry point."""

from mixkit.method import Method, Parameters, Setting
from mixkit.mix import Mix
from mixkit.mixed import Mixed
from mixkit.objectives import Objective
from mixkit.pairing import BetaPairs, OtherClassPairs, PairSampler
from mixkit.placement import AtInputs
from mixkit.recipes import mixed
from mixkit.sites import find_site
from mixkit.tasks import MultiClass, MultiLabel
from mixkit_audio.band_mix import BandMix
from mixkit_audio.foreground import ForegroundPairs
from mixkit_audio.label_laws import Absorbing, LabelLaw, Share
from mixkit_audio.levels import Rms
from mixkit_audio.mix_training import MixTraining
from mixkit_audio.networks import LogMel
from mixkit_audio.power import LogPower, PowerMix
from mixkit_audio.wave_mix import UniformPairs, WaveMix

ALPHA_GRID = (0.1, 0.2, 0.4, 1.0)


def law(setting: Setting) -> LabelLaw:
    """Return labels by share; a word over silence or background is the word."""
    return Absorbing(Share(), setting.absent) if setting.absent else Share()


def pairs(setting: Setting, drawn: PairSampler) -> PairSampler:
    """Return pairs that leave silence and background themselves."""
    return ForegroundPairs(drawn, setting.absent) if setting.absent else drawn


def build_wave_mixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on blended waveforms."""
    mix = Mix(WaveMix(law=law(setting)), pairs(setting, BetaPairs(parameters["alpha"])), until=parameters["until"])
    return Mixed(
        setting.model, setting.task, mix, AtInputs(), generator=setting.generator, total_steps=setting.total_steps
    )


def build_power_mixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on log features that are mixed by power, where the front end gives them out."""
    frontend, _ = find_site(setting.model, "frontend")
    if not isinstance(frontend, LogMel):
        raise ValueError(
            f"power-mixup needs a network whose 'frontend' is a LogMel, got {type(frontend).__name__}; "
            "mix power yourself with SpectrogramMix"
        )
    return mixed(setting, parameters, PowerMix(LogPower(frontend.mean, frontend.std, frontend.floor)))


def build_between_class(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on waveforms of two classes, mixed at the ratio of their labels."""
    policy = WaveMix(level=Rms(), law=law(setting))
    mix = Mix(policy, pairs(setting, UniformPairs(OtherClassPairs(1.0))), until=parameters["until"])
    return Mixed(
        setting.model, setting.task, mix, AtInputs(), generator=setting.generator, total_steps=setting.total_steps
    )


def build_specmix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on features with bands of another clip."""
    return mixed(setting, parameters, BandMix(width=parameters["width"]))


def build_mix_training(setting: Setting, parameters: Parameters) -> Objective:
    """Return the binary cross-entropy on one or two words at once, each fully on."""
    sir = (-parameters["sir"], parameters["sir"])
    mix = MixTraining(sir=sir, background=setting.absent, until=parameters["until"])
    task = MultiLabel(setting.task.outputs, exclusive=True)
    return Mixed(setting.model, task, mix, AtInputs(), generator=setting.generator, total_steps=setting.total_steps)


METHODS = (
    Method(
        name="wave-mixup",
        modalities=("audio",),
        paper="Zhang et al. 2018, arXiv:1710.09412",
        summary="mixup on waveforms: two sounds at once, whatever their levels",
        build=build_wave_mixup,
        defaults={"alpha": 0.4, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="power-mixup",
        modalities=("audio",),
        paper="Zhang et al. 2018, arXiv:1710.09412",
        summary="mixup of log features as sounds add up, in the power domain",
        build=build_power_mixup,
        defaults={"alpha": 0.4, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="between-class",
        modalities=("audio",),
        paper="Tokozume et al. 2018, ICLR, arXiv:1711.10282",
        summary="waveforms of two classes at the ratio of their labels, whatever their levels",
        build=build_between_class,
        defaults={"until": 1.0},
    ),
    Method(
        name="specmix",
        modalities=("audio",),
        paper="Kim et al. 2021, Interspeech, arXiv:2108.03020",
        summary="bands of bins and frames of another clip; the label follows the cells",
        build=build_specmix,
        defaults={"alpha": 1.0, "width": 0.3, "until": 1.0},
        grid={"width": (0.1, 0.2, 0.3, 0.5)},
    ),
    Method(
        name="mix-training",
        modalities=("audio",),
        paper="Shi et al. 2023, arXiv:2305.17706",
        summary="one or two words at once, each labelled as fully there, with binary cross-entropy",
        build=build_mix_training,
        defaults={"sir": 10.0, "until": 1.0},
        grid={"sir": (0.0, 5.0, 10.0, 20.0)},
        tasks=(MultiClass,),
    ),
)
