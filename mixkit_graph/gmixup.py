"""G-Mixup: options, and fitting graphons to classes of graphs (Han et al. 2022, ICML, arXiv:2202.07179)."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixkit_graph.graphon import USVT, Estimator
from mixkit_graph.graphon_data import LabelledGraphs, read_graphs
from mixkit_graph.graphon_means import Alignment, Spans, Stretch, mean_adjacency, mean_features, ranks
from mixkit_graph.graphon_mixer import Features, GraphonMixer
from mixkit_graph.graphs import Gathered
from mixkit_graph.lam_laws import LamLaw, UniformLam

LARGEST_RESOLUTION = 128


@dataclass(frozen=True)
class GMixup:
    """Options of G-Mixup; `fit` gives what draws graphs.

    A class's graphs are put on common positions by degree, averaged, and smoothed to a graphon.  A new graph takes
    lam W_a + (1 - lam) W_b of two classes, positions u_1 .. u_K uniform in [0, 1], an edge between i and j with the
    probability at (u_i, u_j), and the label lam y_a + (1 - lam) y_b (section 3).

    NOTE[DIFF] Sizes come from real graphs, one of each class: K = round(lam K_a + (1 - lam) K_b) nodes, and edges as
    many in the mean; the probabilities are rescaled for that.  The released code draws R nodes for every graph, R the
    median size, from graphs that were cut to R: fewer edges than real graphs have.

    NOTE[DIFF] lam is the share of the graph's own class, between 0.8 and 0.9.  The released script draws 0.99 to 0.995:
    labels that are all but hard.  Nearer to 1/2 the mean of two graphons has structure that graphs of neither class
    have.  `lam=BetaLam(alpha)` is mixup's law.

    Args:
        estimator: mean adjacency -> graphon.
        resolution: R, positions; None: the median number of nodes, at most 128.
        align: how graphs of other sizes come to R positions.
        lam: law of the own class's share.
        features: a graph, or several in one -> x (N, F), of the graphs that are drawn, e.g. `OneHotDegrees(20)`; None:
            the classes' mean features at the same positions, mixed by lam, where the graphs have x.
        keep_isolated: whether drawn nodes without an edge stay; otherwise (as in the paper) they are left out, but for
            graphs without any edge, which keep all nodes.

    Raises:
        ValueError: resolution is below 2.

    >>> from torch_geometric.data import Data
    >>> ring = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])
    >>> star = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]])
    >>> dataset = [Data(edge_index=e, num_nodes=3, y=torch.tensor([c])) for c, e in enumerate((ring, star))]
    >>> drawn = GMixup().fit(dataset).sample(5, torch.Generator().manual_seed(0))
    >>> len(drawn), drawn[0].y.shape
    (5, torch.Size([1, 2]))
    """

    estimator: Estimator = field(default_factory=USVT)
    resolution: int | None = None
    align: Alignment = field(default_factory=Stretch)
    lam: LamLaw = field(default_factory=UniformLam)
    features: Features | None = None
    keep_isolated: bool = False

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 2:
            raise ValueError(f"resolution must be at least 2, got resolution={self.resolution!r}")

    def fit(self, dataset: Any, targets: Tensor | None = None) -> "GraphonMixer":
        """Estimate a graphon for each class; nothing is drawn and the data set stays as it is.

        Args:
            dataset: `Data` in a sequence (a `TUDataset`, a list), or a `Batch`, undirected.
            targets: float (G, C); None: from `y`, integer classes or float rows.  A graph counts for the class of its
                largest target, one without a label (NaN) for none.

        Raises:
            ValueError: fewer than two classes have graphs with nodes; graphs carry edge attributes or weights, or are
                directed; features are integers; labels are missing or of another kind.
        """
        read = read_graphs(dataset, targets)
        x = None if self.features is not None else read.x
        if x is not None and not x.is_floating_point():
            raise ValueError(
                f"mean features need float x, got {x.dtype}: codes cannot be averaged; one-hot encode them, or give "
                "features=, which computes x of the graphs that are drawn"
            )
        nodes = read.graphs.node_ptr.diff()
        classes = torch.where(nodes > 0, read.classes, -1)
        found = torch.unique(classes[classes >= 0])
        if len(found) < 2:
            raise ValueError(f"dataset must have graphs of at least two classes, got {len(found)}: nothing to mix")
        known = (classes >= 0).nonzero().squeeze(1)
        order = known[classes[known].argsort(stable=True)]
        resolution = self.resolution or min(max(2, int(nodes[known].median())), LARGEST_RESOLUTION)
        fitted = [self._class(read, x, (classes == c).nonzero().squeeze(1), resolution) for c in found]
        return GraphonMixer(
            lam=self.lam,
            compute=self.features,
            keep_isolated=self.keep_isolated,
            graphons=torch.stack([graphon for graphon, _ in fitted]),
            features=None if x is None else torch.stack([mean for _, mean in fitted if mean is not None]),
            labels=torch.stack([read.targets[classes == c].mean(0) for c in found]),
            nodes=nodes[order],
            edges=read.graphs.edge_ptr.diff()[order] // 2,
            classes=torch.searchsorted(found, classes[order]),
        )

    def _class(self, read: LabelledGraphs, x: Tensor | None, rows: Tensor, size: int) -> tuple[Tensor, Tensor | None]:
        """Return graphon (R, R) and mean features (R, F) of the graphs `rows` (n,)."""
        halves = [self._aligned(read, half, size) for half in (rows[::2], rows[1::2] if len(rows) > 1 else rows)]
        some, spans = self._aligned(read, rows, size)
        means = torch.stack([mean_adjacency(*half, size) for half in halves])
        graphon = self.estimator(mean_adjacency(some, spans, size), means).float()
        return graphon, None if x is None else mean_features(x[some.nodes], spans, size)

    def _aligned(self, read: LabelledGraphs, rows: Tensor, size: int) -> tuple[Gathered, Spans]:
        """Return the graphs `rows` (n,) and which positions their nodes cover."""
        some = read.graphs.gather(rows)
        return some, self.align.spans(ranks(some), some.node_ptr.diff()[some.graph], size)
