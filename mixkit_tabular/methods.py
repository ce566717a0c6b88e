"""Methods for tables: swapping columns or hidden units, and partners with similar targets; found by entry point."""

from dataclasses import replace

from mixkit.method import Method, Parameters, Setting
from mixkit.mix import Mix
from mixkit.mixed import Mixed
from mixkit.objectives import Objective
from mixkit.pairing import SimilarPairs
from mixkit.placement import AtSite
from mixkit.policies import Blend
from mixkit.randomness import fresh_generator
from mixkit.recipes import mixed
from mixkit.sites import find_site
from mixkit.tasks import Regression
from mixkit_tabular.importance import mutual_information
from mixkit_tabular.network import ColumnEmbedding
from mixkit_tabular.policies import ColumnSwap, UnitSwap

EMBED = "embed"
EXCELFORMER = "Chen et al. 2023, arXiv:2301.02819"
ALPHA_GRID = (0.2, 0.5, 1.0, 2.0)


def build_column_swap(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on rows in which columns are those of another row."""
    columns = embedding(setting)
    return mixed(replace(setting, place=AtSite(EMBED)), parameters, ColumnSwap(columns.span_of()))


def build_feat_mix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on such rows, with labels that follow what the columns tell about the target."""
    columns = embedding(setting)
    if setting.training is None:
        raise ValueError(
            "feat-mix weighs columns by what they tell about the target in the training rows, got none; "
            "give training=(inputs, targets)"
        )
    rows, targets = setting.training()
    generator = fresh_generator() if setting.generator is None else setting.generator
    importance = mutual_information(rows, targets, setting.task, columns, generator)
    return mixed(replace(setting, place=AtSite(EMBED)), parameters, ColumnSwap(columns.span_of(), importance))


def build_hid_mix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on rows in which hidden units are those of another row."""
    if not setting.sites:
        raise ValueError('hid-mix needs a hidden site, got none; name a submodule with sites=["..."]')
    return mixed(replace(setting, place=AtSite(setting.sites[0])), parameters, UnitSwap())


def build_c_mixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on blended rows whose partners have similar targets."""
    pairs = SimilarPairs(parameters["alpha"], parameters["bandwidth"])
    return Mixed(
        setting.model,
        setting.task,
        Mix(Blend(), pairs, until=parameters["until"]),
        setting.place,
        generator=setting.generator,
        total_steps=setting.total_steps,
    )


def embedding(setting: Setting) -> ColumnEmbedding:
    """Return the column embedding of the setting's network.

    Raises:
        ValueError: the network has none.
    """
    module, _ = find_site(setting.model, EMBED)
    if not isinstance(module, ColumnEmbedding):
        raise ValueError(f"swapping columns needs a network whose {EMBED!r} is a ColumnEmbedding, got {type(module)}")
    return module


METHODS = (
    Method(
        name="column-swap",
        modalities=("table",),
        paper="Kadra et al. 2021, arXiv:2106.11189",
        summary="CutMix for tables: columns of another row; the label follows their number",
        build=build_column_swap,
        defaults={"alpha": 1.0, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="feat-mix",
        modalities=("table",),
        paper=EXCELFORMER,
        summary="columns of another row; the label follows what they tell about the target",
        build=build_feat_mix,
        defaults={"alpha": 0.5, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="hid-mix",
        modalities=("table",),
        paper=EXCELFORMER,
        summary="hidden units of another row",
        build=build_hid_mix,
        defaults={"alpha": 0.5, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="c-mixup",
        modalities=("table",),
        paper="Yao et al. 2022, NeurIPS, arXiv:2210.05775",
        summary="mixup for regression: partners with similar targets are likelier",
        build=build_c_mixup,
        defaults={"alpha": 2.0, "bandwidth": 0.25, "until": 1.0},
        grid={"alpha": ALPHA_GRID, "bandwidth": (0.1, 0.25, 0.5, 1.0)},
        tasks=(Regression,),
    ),
)
