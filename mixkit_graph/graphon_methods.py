"""Methods for graphs and nodes that need more than a pair of samples: G-Mixup and GraphMix; found by entry point."""

from mixkit.method import Method, Parameters, Setting
from mixkit.objectives import Objective
from mixkit.pairing import BetaPairs
from mixkit.tasks import MultiClass

# torch_geometric takes seconds to import: only who builds one of these waits for it


def build_gmixup(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss on each batch and on graphs drawn from the mixed graphons of two classes.

    Features that are the same for all nodes of a degree are recomputed from the drawn edges; others are the classes'
    mean features.

    Raises:
        ValueError: the setting has no training graphs.
    """
    from mixkit_graph.degree_features import DegreeTable  # noqa: PLC0415 - as above
    from mixkit_graph.gmixup import GMixup  # noqa: PLC0415 - as above
    from mixkit_graph.lam_laws import UniformLam  # noqa: PLC0415 - as above
    from mixkit_graph.synthetic import WithSynthetic  # noqa: PLC0415 - as above

    if setting.training is None:
        raise ValueError(
            "training must hold the training graphs, which G-Mixup estimates graphons from, got None; give "
            "training=(Batch.from_data_list(graphs), targets)"
        )
    graphs, targets = setting.training()
    law = UniformLam(parameters["low"], parameters["high"])
    source = GMixup(lam=law, features=DegreeTable.found(graphs)).fit(graphs, targets)
    return WithSynthetic(setting.model, setting.task, source, ratio=parameters["ratio"], generator=setting.generator)


def build_graphmix(setting: Setting, parameters: Parameters) -> Objective:
    """Return the loss of a network of nodes, and that of the same network without edges on mixed nodes."""
    from mixkit_graph.graphmix import GraphMix  # noqa: PLC0415 - as above
    from mixkit_graph.graphmix_options import Passes, Ramp  # noqa: PLC0415 - as above

    return GraphMix(
        setting.model,
        setting.task,
        setting.place,
        pairs=BetaPairs(parameters["alpha"]),
        guess=Passes(int(parameters["passes"])),
        temperature=parameters["temperature"],
        ramp=Ramp(parameters["weight"]) if setting.total_steps else Ramp(parameters["weight"], 0.0, 0.0),
        generator=setting.generator,
        total_steps=setting.total_steps,
    )


GRAPHON_METHODS = (
    Method(
        name="gmixup",
        modalities=("graph",),
        paper="Han et al. 2022, ICML, arXiv:2202.07179",
        summary="adds graphs drawn from the mixed graphons of two classes to each batch",
        build=build_gmixup,
        defaults={"ratio": 0.2, "low": 0.8, "high": 0.9},
        grid={"ratio": (0.1, 0.2, 0.5), "low": (0.5, 0.7, 0.8)},
        tasks=(MultiClass,),
    ),
    Method(
        name="graphmix",
        modalities=("node",),
        paper="Verma et al. 2021, AAAI, arXiv:1909.11715",
        summary="trains the same network without edges by mixup, also on guessed labels",
        build=build_graphmix,
        defaults={"alpha": 1.0, "weight": 1.0, "temperature": 0.1, "passes": 10.0},
        grid={"alpha": (0.5, 1.0, 2.0), "weight": (0.1, 1.0, 10.0)},
        tasks=(MultiClass,),
    ),
)
