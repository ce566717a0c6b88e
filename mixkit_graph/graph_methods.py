"""Methods for whole graphs that mix structures: ifMixup and S-Mixup; found by entry point.

Mixing what the readout gives out needs no method of its own: the place of `mixup`, `mixupe` and the like is there.
"""

from mixkit.method import Method, Parameters, Setting
from mixkit.mix import Mix
from mixkit.mixed import Mixed
from mixkit.objectives import Objective
from mixkit.pairing import BetaPairs, PairSampler
from mixkit.placement import AtInputs, Placement
from mixkit.policies import Policy

# policies, pairs and placements are imported where they are needed: torch_geometric takes seconds, which
# `mixkit methods` need not wait for

IFMIXUP_PAPER = "Guo and Mao 2023, AAAI, arXiv:2110.09344"


def build_ifmixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on graphs laid over one another, with weights of edges."""
    from mixkit_graph.edge_weights import AtWeightedEdges  # noqa: PLC0415 - as above
    from mixkit_graph.ifmixup import IfMixup  # noqa: PLC0415 - as above

    return _mixed(setting, parameters, IfMixup(), _beta(parameters), AtWeightedEdges())


def build_ifmixup_bernoulli(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on graphs laid over one another, each edge drawn from one of them."""
    from mixkit_graph.ifmixup import Bernoulli, IfMixup  # noqa: PLC0415 - as above

    return _mixed(setting, parameters, IfMixup(Bernoulli()), _beta(parameters), AtInputs())


def build_smixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on graphs aligned by the network's own embeddings of their nodes.

    Raises:
        ValueError: nobody said which site of the network has these.
    """
    from mixkit_graph.edge_weights import AtWeightedEdges  # noqa: PLC0415 - as above
    from mixkit_graph.node_tokens import NodeTokens  # noqa: PLC0415 - as above
    from mixkit_graph.smixup import SiteEmbedding, SMixup  # noqa: PLC0415 - as above

    if not isinstance(setting.tokens, NodeTokens):
        raise ValueError(
            f"smixup needs tokens that name the site of the nodes' embeddings, got tokens={setting.tokens!r}; "
            'give tokens=NodeTokens("name of the last layer", channels), or take SMixup(embed=...) yourself'
        )
    policy = SMixup(SiteEmbedding(setting.model, setting.tokens.site), temperature=parameters["temperature"])
    return _mixed(setting, parameters, policy, BetaPairs(parameters["alpha"]), AtWeightedEdges())


def _beta(parameters: Parameters) -> PairSampler:
    from mixkit_graph.pairs import AsymmetricBetaPairs  # noqa: PLC0415 - beside the others

    return AsymmetricBetaPairs(parameters["a"], parameters["b"])


def _mixed(setting: Setting, parameters: Parameters, policy: Policy, pairs: PairSampler, place: Placement) -> Mixed:
    """Return the loss on graphs mixed as inputs, whatever the setting's place."""
    return Mixed(
        setting.model,
        setting.task,
        Mix(policy, pairs, until=parameters["until"]),
        place,
        generator=setting.generator,
        total_steps=setting.total_steps,
    )


GRAPH_METHODS = (
    Method(
        name="ifmixup",
        modalities=("graph",),
        paper=IFMIXUP_PAPER,
        summary="graphs laid over one another, edges weighted by their graph's share",
        build=build_ifmixup,
        defaults={"a": 20.0, "b": 1.0, "until": 1.0},
        grid={"a": (1.0, 5.0, 20.0)},
    ),
    Method(
        name="ifmixup-bernoulli",
        modalities=("graph",),
        paper=IFMIXUP_PAPER,
        summary="ifMixup for layers without weights: each edge is drawn from one of the graphs",
        build=build_ifmixup_bernoulli,
        defaults={"a": 20.0, "b": 1.0, "until": 1.0},
        grid={"a": (1.0, 5.0, 20.0)},
    ),
    Method(
        name="smixup",
        modalities=("graph",),
        paper="Ling et al. 2023, ICML, arXiv:2306.06788",
        summary="the partner's nodes softly aligned to the own ones by the network's embeddings",
        build=build_smixup,
        defaults={"alpha": 0.2, "temperature": 0.1, "until": 1.0},
        grid={"alpha": (0.1, 0.2, 0.3)},
    ),
)
