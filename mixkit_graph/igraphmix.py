"""iGraphMix: labelled nodes are mixed at the input, and the graph with its own permuted self."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit.pairing import Pairing, PairSampler
from mixkit.plan import PairPlan, check_blendable
from mixkit_graph.models import labelled_rows
from mixkit_graph.permuted_edges import already_there, pair_draws, pulled_back
from mixkit_graph.virtual_nodes import blended, checked_edges, edge_attributes, sparse_blend

from torch_geometric.data import Data  # isort: skip
from torch_geometric.data.datapipes import functional_transform  # isort: skip
from torch_geometric.transforms import BaseTransform  # isort: skip


@dataclass(frozen=True)
class IGraphMix:
    """Nodes are blended with partners, and edges are drawn from both graphs (iGraphMix, Jeong et al. 2024, ICLR).

    With p the permutation of the nodes that puts partners in the place of labelled nodes and leaves all others, the
    mixed graph has the features lam x + (1 - lam) x[p], and the edges of the union of two draws: each edge of the graph
    with probability lam, and each edge (u, v) for which (p(u), p(v)) is one of the graph with probability 1 - lam.
    Edges carry what they carry in the graph.  Nodes that are not labelled keep their features.

    Both directions of an edge are kept or lost together.  One lam goes for the whole graph: take
    `BetaPairs(alpha, per_sample=False)`.  Samples that keep all of themselves (lam = 1) stay where they are.

    For `AtInputs()` and a model of a `torch_geometric` `Data` (see `NodeModel`); the samples are `labelled_rows`.
    Build layers with `cached=False`: others stay with the edges of their first batch, without a word.

    NOTE[DIFF] The released code draws the two directions of an edge apart.

    >>> from torch_geometric.data import Data
    >>> data = Data(x=torch.tensor([[1.0], [0.0], [5.0]]), edge_index=torch.tensor([[2, 0], [0, 2]]))
    >>> data.rows = torch.tensor([0, 1])
    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.0, 0.0]))
    >>> mixed = IGraphMix().draw(data, pairing, torch.Generator()).apply(data)
    >>> mixed.x.flatten(), mixed.edge_index      # lam = 0: node 1 has got the place of node 0
    (tensor([0., 1., 5.]), tensor([[2, 1],
            [1, 2]]))
    """

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> "IGraphMixPlan":
        """Draw which edges are kept.

        Raises:
            ValueError: `inputs` are no `Data` with `x` and `edge_index`, features are codes, a row is named twice,
                there are more or fewer rows than samples, or lam differs between samples.
        """
        check_graph(inputs)
        check_blendable(inputs.x)
        rows = labelled_rows(inputs)
        different = len(torch.unique(rows))
        if len(rows) != len(pairing) or different != len(rows):
            raise ValueError(
                f"data must have {len(pairing)} different labelled rows, one a sample, got {len(rows)} rows, "
                f"{different} different ones"
            )
        lam = shared_lam(pairing)
        numbers = torch.randint(2**62, (int(inputs.num_nodes),), generator=generator, device="cpu")
        own, other = pair_draws(checked_edges(inputs).cpu(), numbers)
        # draws are below 1 and not below 0: with lam = 1 all edges stay, with lam = 0 none does
        return IGraphMixPlan(pairing, own=own < lam, other=other >= lam)


@dataclass(frozen=True, eq=False)
class IGraphMixPlan(PairPlan):
    """What iGraphMix drew for a graph.

    Attributes:
        own: bool (E,), which edges stay where they are.
        other: bool (E,), which edges come to where partners are put.
    """

    own: Tensor = field(kw_only=True)
    other: Tensor = field(kw_only=True)

    def kept(self) -> Tensor:
        """Return lam (M,)."""
        return self.pairing.lam

    def apply(self, x: Any) -> Any:
        """Return the mixed graph, a shallow copy with new features and edges.

        Raises:
            ValueError: the graph has another number of edges or rows than the one that the plan was drawn for.
        """
        rows, edges = labelled_rows(x), checked_edges(x)
        if edges.shape[1] != len(self.own) or len(rows) != len(self):
            raise ValueError(
                f"the graph must have the {len(self.own)} edges and {len(self)} labelled rows that the plan was drawn "
                f"for, got {edges.shape[1]} and {len(rows)}"
            )
        out, nodes = copy.copy(x), int(x.num_nodes)
        place = torch.arange(nodes, device=edges.device)
        moved = (self.pairing.lam < 1).to(rows.device)
        partner = rows[self.pairing.partner.to(rows.device)]
        place[rows] = torch.where(moved, partner, rows)
        own = self.own.to(edges.device)
        taken, other = pulled_back(edges, self.other.to(edges.device).nonzero().flatten(), place)
        new = ~already_there(edges, own, taken, other, place)
        which = torch.cat([own.nonzero().flatten(), taken[new]])
        for key in edge_attributes(x):
            out[key] = x[key][which]
        out.edge_index = torch.cat([edges[:, own], other[:, new]], 1)
        out.x = mixed_features(x.x, rows, partner, self.pairing.lam.to(rows.device))
        out._edges_by_mixing = True  # see NodeModel
        return out


def check_graph(inputs: Any) -> None:
    """Raise ValueError unless `inputs` are a graph of one type of nodes, with features."""
    if not isinstance(inputs, Data):
        what = f"a tensor {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(
            f"IGraphMix mixes a graph of one type of nodes, a Data, got {what}; take place=AtInputs(), and for hidden "
            "features or heterogeneous graphs Blend() at AtSite(name) or TwoBranch()"
        )
    if not isinstance(inputs.x, Tensor):
        raise ValueError("IGraphMix mixes the nodes' features x, got none; give nodes some")


def shared_lam(pairing: Pairing) -> float:
    """Return the lam of all samples that are mixed at all, 1 if none is.

    Raises:
        ValueError: there are several.
    """
    values = torch.unique(pairing.lam[pairing.lam < 1]).tolist()
    if len(values) > 1:
        raise ValueError(
            f"IGraphMix needs one lam for the graph, got {len(values)} different ones; take "
            "BetaPairs(alpha, per_sample=False)"
        )
    return float(values[0]) if values else 1.0


def mixed_features(x: Tensor, rows: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Return features (N, F), sparse or dense, in which `rows` (M,) are blended with `partner` (M,)."""
    if not x.is_sparse:
        return x.index_copy(0, rows, blended(x[rows], x[partner], lam))
    x = x.coalesce()
    indices, values = sparse_blend(x, rows, partner, lam)
    here = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    here[rows] = True
    rest = ~here[x.indices()[0]]
    indices = torch.cat([x.indices()[:, rest], torch.stack([rows[indices[0]], indices[1]])], 1)
    values = torch.cat([x.values()[rest], values])
    return torch.sparse_coo_tensor(indices, values, x.shape, check_invariants=False).coalesce()


@functional_transform("igraphmix")
class IGraphMixTransform(BaseTransform):  # type: ignore[misc]  # torch_geometric ships no types
    """`IGraphMix` as a transform of torch_geometric: a graph -> a mixed one, with soft labels `y`.

    `y` becomes float (N, K): one-hot rows, of labelled nodes the mixed ones.

    Args:
        pairs: who mixes with whom, e.g. `BetaPairs(1.0, per_sample=False)`.
        generator: where all draws come from, a CPU generator.
        classes: K; None: the largest label plus one.

    Raises:
        ValueError: (when called) there are no labels, or as of `IGraphMix.draw`.

    >>> from mixkit import BetaPairs
    >>> IGraphMixTransform(BetaPairs(1.0, per_sample=False), torch.Generator())
    IGraphMixTransform()
    """

    def __init__(self, pairs: PairSampler, generator: Generator, classes: int | None = None) -> None:
        self.pairs = pairs
        self.generator = generator
        self.classes = classes

    def forward(self, data: Any) -> Any:
        """Return the mixed graph; `data` stays as it is."""
        if not isinstance(data.y, Tensor):
            raise ValueError("data must have labels y, one a node, got none; set data.y, of unknown ones -1")
        soft = data.y if data.y.is_floating_point() else one_hot(data.y, self.classes)
        rows = labelled_rows(data)
        pairing = self.pairs(soft[rows], self.generator)
        plan = IGraphMix().draw(data, pairing, self.generator)
        mixed = plan.apply(data)
        mixed.y = soft.index_copy(0, rows, plan.targets(soft[rows]))
        return mixed


def one_hot(labels: Tensor, classes: int | None) -> Tensor:
    """Return float32 (N, K); rows of negative labels are zeros.

    >>> one_hot(torch.tensor([1, -1]), None)
    tensor([[0., 1.],
            [0., 0.]])
    """
    size = int(labels.max()) + 1 if classes is None else classes
    return (labels.view(-1, 1) == torch.arange(size, device=labels.device)).float()
