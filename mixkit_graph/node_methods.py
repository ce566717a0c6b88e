"""Methods for the nodes of one graph: two-branch mixing, with MixupE's penalty, and iGraphMix; found by entry point."""

from mixkit.method import Method, Parameters, Setting
from mixkit.mix import Mix
from mixkit.mixed import Mixed
from mixkit.objectives import Objective
from mixkit.pairing import BetaPairs
from mixkit.penalties import MixupE
from mixkit.placement import AtInputs
from mixkit.policies import Blend

TWO_BRANCH_PAPER = "Wang et al. 2021, WWW"
ALPHA_GRID = (0.5, 1.0, 2.0, 4.0)


def two_branch(setting: Setting, parameters: Parameters, penalty: MixupE | None) -> Objective:
    """Return the loss on nodes that are mixed at every layer."""
    from mixkit_graph.two_branch import TwoBranch  # noqa: PLC0415 - takes seconds; nobody waits who only lists methods

    return Mixed(
        setting.model,
        setting.task,
        Mix(Blend(), BetaPairs(parameters["alpha"]), until=parameters["until"]),
        TwoBranch(),
        penalty=penalty,
        generator=setting.generator,
        total_steps=setting.total_steps,
    )


def build_two_branch(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on nodes that are mixed at every layer."""
    return two_branch(setting, parameters, None)


def build_two_branch_e(setting: Setting, parameters: Parameters) -> Objective:
    """Return the same with MixupE's penalty on the clean logits of the same pass."""
    return two_branch(setting, parameters, MixupE(parameters["eta"]))


def build_igraphmix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on nodes of a graph that is mixed with its permuted self."""
    from mixkit_graph.edge_weights import refuse_cached  # noqa: PLC0415 - as above
    from mixkit_graph.igraphmix import IGraphMix  # noqa: PLC0415 - as above

    refuse_cached(setting.model)  # they would stay with the first batch's edges without a word
    return Mixed(
        setting.model,
        setting.task,
        Mix(IGraphMix(), BetaPairs(parameters["alpha"], per_sample=False), until=parameters["until"]),
        AtInputs(),
        generator=setting.generator,
        total_steps=setting.total_steps,
    )


NODE_METHODS = (
    Method(
        name="two-branch",
        modalities=("node",),
        paper=TWO_BRANCH_PAPER,
        summary="nodes mixed at every layer, each member with its own neighbours",
        build=build_two_branch,
        defaults={"alpha": 4.0, "until": 1.0},
        grid={"alpha": ALPHA_GRID},
    ),
    Method(
        name="two-branch+e",
        modalities=("node",),
        paper=f"{TWO_BRANCH_PAPER}; Zou et al. 2023, arXiv:2212.13381",
        summary="two-branch with MixupE's penalty on the clean logits of the same pass",
        build=build_two_branch_e,
        defaults={"alpha": 4.0, "until": 1.0, "eta": 1e-2},
        grid={"alpha": ALPHA_GRID, "eta": (1e-4, 1e-3, 1e-2, 1e-1)},
    ),
    Method(
        name="igraphmix",
        modalities=("node",),
        paper="Jeong et al. 2024, ICLR",
        summary="labelled nodes blended at the input, edges drawn from the graph and its permuted self",
        build=build_igraphmix,
        defaults={"alpha": 1.0, "until": 1.0},
        grid={"alpha": (0.5, 1.0, 10.0, 100.0)},
    ),
)
