"""mixkit's own methods: what `mixkit methods` lists; those that learn how to mix are in `mixkit.learned_recipes`."""

from dataclasses import replace

from mixkit.averaged import Averaged
from mixkit.clean import Clean, Concatenated, InBatch, Separate
from mixkit.learned_recipes import LEARNED
from mixkit.method import MODALITIES, Method, Parameters, Setting
from mixkit.mix import Mix
from mixkit.mixed import Mixed
from mixkit.objectives import Erm, Objective
from mixkit.pairing import BetaPairs
from mixkit.penalties import MixupE
from mixkit.placement import AtOneOf, AtSite
from mixkit.policies import Blend, CutMix, Policy
from mixkit.sites import unwrapped
from mixkit.tasks import MultiClass, MultiLabel

# Strength by kind of data as in the papers: 1 for images, graphs, nodes, 0.2 for speech and tables (Zhang et al. 2018;
# Zou et al. 2023, sections 4.1-4.4).
ALPHAS = {"table": {"alpha": 0.2}, "audio": {"alpha": 0.2}}
ETAS = {
    "image": {"eta": 1e-3},
    "table": {"alpha": 0.2, "eta": 1e-2},
    "audio": {"alpha": 0.2, "eta": 1e-2},
    "graph": {"eta": 1e-2},
    "node": {"eta": 1e-2},
}
ALPHA_GRID = (0.1, 0.2, 0.5, 1.0, 2.0)
ETA_GRID = (1e-4, 1e-3, 1e-2, 1e-1)
MIXUPE_PAPER = "Zou et al. 2023, UAI, arXiv:2212.13381"


def build_erm(setting: Setting, parameters: Parameters) -> Objective:
    """Return the plain loss."""
    return Erm(setting.model, setting.task)


def build_label_smoothing(setting: Setting, parameters: Parameters) -> Objective:
    """Return the plain loss on smoothed targets."""
    return Erm(setting.model, setting.task, label_smoothing=parameters["smoothing"])


def mixed(
    setting: Setting,
    parameters: Parameters,
    policy: Policy,
    *,
    penalty: MixupE | None = None,
    clean: Clean | None = None,
    clean_weight: float = 0.0,
    decoupled_weight: float = 0.0,
) -> Mixed:
    """Return the loss on samples mixed by `policy` with Beta pairs, at the setting's place."""
    return Mixed(
        setting.model,
        setting.task,
        Mix(policy, BetaPairs(parameters["alpha"]), until=parameters["until"]),
        setting.place,
        penalty=penalty,
        generator=setting.generator,
        clean=clean,
        clean_weight=clean_weight,
        decoupled_weight=decoupled_weight,
        total_steps=setting.total_steps,
    )


def build_mixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on blended samples."""
    return mixed(setting, parameters, Blend())


def build_cutmix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on samples with a box of another."""
    return mixed(setting, parameters, CutMix())


def build_regmixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on blended samples plus the plain loss."""
    return mixed(setting, parameters, Blend(), clean_weight=1.0)


def build_manifold(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on samples blended at one of several depths."""
    if not setting.sites:
        names = ", ".join(name for name, _ in unwrapped(setting.model).named_modules() if name)
        raise ValueError(
            "manifold needs sites to choose from, got none; name submodules with sites=[...]; "
            f"{type(unwrapped(setting.model)).__name__} has {names}"
        )
    places = AtOneOf(setting.place, *(AtSite(site) for site in setting.sites))
    return mixed(replace(setting, place=places), parameters, Blend())


def build_mixupe(setting: Setting, parameters: Parameters) -> Objective:
    """Return mixup with MixupE's penalty on all clean rows, run beside the mixed ones."""
    return mixed(setting, parameters, Blend(), penalty=MixupE(parameters["eta"]), clean=Concatenated())


def build_mixupe_quarter(setting: Setting, parameters: Parameters) -> Objective:
    """Return mixup with MixupE's penalty on a quarter of the rows, run beside the mixed ones."""
    return mixed(setting, parameters, Blend(), penalty=MixupE(parameters["eta"]), clean=Concatenated(0.25))


def build_mixupe_inbatch(setting: Setting, parameters: Parameters) -> Objective:
    """Return mixup with MixupE's penalty on the quarter of the batch that stays clean."""
    return mixed(setting, parameters, Blend(), penalty=MixupE(parameters["eta"]), clean=InBatch(0.25))


def build_decoupled(setting: Setting, parameters: Parameters) -> Objective:
    """Return mixup with the decoupled loss beside."""
    return mixed(setting, parameters, Blend(), decoupled_weight=parameters["eta"])


def build_erm_ema(setting: Setting, parameters: Parameters) -> Objective:
    """Return the plain loss; what is shipped is a moving average of the model."""
    return Averaged(build_erm(setting, parameters), total_steps=setting.total_steps)


def build_mixup_ema(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on blended samples plus the plain one; what is shipped is a moving average of the model."""
    objective = mixed(setting, parameters, Blend(), clean=Separate(), clean_weight=1.0)
    return Averaged(objective, total_steps=setting.total_steps)


METHODS = (
    Method(
        name="erm",
        modalities=MODALITIES,
        paper="Vapnik 1999",
        summary="no mixing: the reference",
        build=build_erm,
    ),
    Method(
        name="label-smoothing",
        modalities=MODALITIES,
        paper="Szegedy et al. 2016, arXiv:1512.00567",
        summary="control: soft targets without mixing",
        build=build_label_smoothing,
        defaults={"smoothing": 0.1},
        grid={"smoothing": (0.02, 0.05, 0.1, 0.2)},
        tasks=(MultiClass, MultiLabel),
    ),
    Method(
        name="mixup",
        modalities=MODALITIES,
        paper="Zhang et al. 2018, arXiv:1710.09412",
        summary="blends two samples and their labels",
        build=build_mixup,
        defaults={"alpha": 1.0, "until": 1.0},
        modality_defaults=ALPHAS,
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="mixupe",
        modalities=MODALITIES,
        paper=MIXUPE_PAPER,
        summary="mixup, and a penalty on the first directional derivative; clean rows beside the mixed ones",
        build=build_mixupe,
        defaults={"alpha": 1.0, "until": 1.0, "eta": 1e-3},
        modality_defaults=ETAS,
        grid={"alpha": ALPHA_GRID, "eta": ETA_GRID},
    ),
    Method(
        name="mixupe-quarter",
        modalities=MODALITIES,
        paper=MIXUPE_PAPER,
        summary="mixupe with the penalty on a quarter of the rows: cheaper",
        build=build_mixupe_quarter,
        defaults={"alpha": 1.0, "until": 1.0, "eta": 1e-3},
        modality_defaults=ETAS,
        grid={"alpha": ALPHA_GRID, "eta": ETA_GRID},
    ),
    Method(
        name="mixupe-inbatch",
        modalities=MODALITIES,
        paper=MIXUPE_PAPER,
        summary="mixupe with the penalty on the quarter of the batch that stays clean: no extra samples",
        build=build_mixupe_inbatch,
        defaults={"alpha": 1.0, "until": 1.0, "eta": 1e-3},
        modality_defaults=ETAS,
        grid={"alpha": ALPHA_GRID, "eta": ETA_GRID},
    ),
    Method(
        name="manifold",
        modalities=MODALITIES,
        paper="Verma et al. 2019, arXiv:1806.05236",
        summary="mixup at a depth drawn anew each batch",
        build=build_manifold,
        defaults={"alpha": 1.0, "until": 1.0},
        modality_defaults=ALPHAS,
        grid={"alpha": ALPHA_GRID},
        at_sites=True,
    ),
    Method(
        name="cutmix",
        modalities=("image", "audio"),
        paper="Yun et al. 2019, arXiv:1905.04899",
        summary="pastes a box of the partner; the label follows the area",
        build=build_cutmix,
        defaults={"alpha": 1.0, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="regmixup",
        modalities=MODALITIES,
        paper="Pinto et al. 2022, arXiv:2206.14502",
        summary="control: the plain loss plus mixup's",
        build=build_regmixup,
        defaults={"alpha": 1.0, "until": 1.0},
        modality_defaults=ALPHAS,
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="decoupled",
        modalities=MODALITIES,
        paper="Liu et al. 2022, arXiv:2203.10761",
        summary="control: mixup whose two classes do not compete with each other",
        build=build_decoupled,
        defaults={"alpha": 1.0, "until": 1.0, "eta": 0.1},
        modality_defaults=ALPHAS,
        grid={"alpha": ALPHA_GRID, "eta": (0.01, 0.1, 1.0)},
        tasks=(MultiClass,),
    ),
    Method(
        name="erm+ema",
        modalities=MODALITIES,
        paper="Polyak and Juditsky 1992",
        summary="control: no mixing, a moving average of the weights",
        build=build_erm_ema,
    ),
    Method(
        name="mixup+ema",
        modalities=MODALITIES,
        paper="Zhang et al. 2018, arXiv:1710.09412",
        summary="control: the plain loss plus mixup's, a moving average of the weights: AutoMix without its block",
        build=build_mixup_ema,
        defaults={"alpha": 1.0, "until": 1.0},
        modality_defaults=ALPHAS,
        grid={"alpha": ALPHA_GRID},
    ),
    *LEARNED,
)
