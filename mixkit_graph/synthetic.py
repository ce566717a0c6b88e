"""`WithSynthetic`: each batch of graphs is trained together with fresh synthetic ones, from G-Mixup say."""

from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from mixkit.mixed import rescaled
from mixkit.objectives import Objective
from mixkit.pairing import Pairing
from mixkit.penalties import Penalty, Step
from mixkit.plan import BlendPlan
from mixkit.randomness import fresh_generator
from mixkit.tasks import Task
from mixkit_graph._pyg import Batch


class GraphSource(Protocol):
    """Draws labelled graphs, as `GMixup(...).fit(dataset)` does."""

    @property
    def expected_partner_share(self) -> float:
        """E[a] = 2 E[lam (1 - lam)] of its graphs."""
        ...

    def sample_batch(self, count: int, generator: Generator) -> Batch:
        """Return `count` graphs with `edge_index`, float `y` (count, K), and `x` if the real graphs have it."""
        ...


class WithSynthetic(Objective):
    """The mean loss over a batch of graphs and round(ratio B) new ones, in one forward pass.

    NOTE[DIFF] G-Mixup's script draws its graphs once, before the training; here every step has new ones, so that none
    is learned by heart and an epoch still goes once through the real graphs.

    Args:
        model: a `torch_geometric` `Batch` -> logits (B, K).
        task: what the logits mean.
        source: what draws graphs, e.g. `GMixup().fit(dataset)`.
        ratio: synthetic graphs for each real one, non-negative.
        penalty: on the clean logits of the real graphs, e.g. `MixupE(1e-2)`: drawn graphs have no clean source.  The
            sum is rescaled as in `Mixed`.  With graphs that are drawn rather than blended it is an extension of the
            paper; a penalty that needs inputs, not logits alone, cannot be had.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.

    Raises:
        ValueError: ratio is negative or not finite.  (At a batch) real graphs carry edge weights or attributes, which
            drawn ones have not, only one of both has x, or their labels differ in shape.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        source: GraphSource,
        *,
        ratio: float = 0.2,
        penalty: Penalty | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(model, task)
        if not 0 <= ratio < float("inf"):
            raise ValueError(f"ratio must be non-negative and finite, got {ratio=}")
        self.source = source
        self.ratio = ratio
        self.penalty = penalty
        self.generator = fresh_generator() if generator is None else generator

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the term "mixed", and "penalty" if there is one, of one step; see the class."""
        size = len(targets)
        count = round(self.ratio * size)
        batch, every, weight = inputs, targets, weights
        if count:
            drawn = self.source.sample_batch(count, self.generator).to(targets.device)
            if drawn.y.shape[1:] != targets.shape[1:]:
                raise ValueError(
                    f"drawn graphs must have labels of the shape of the targets, {tuple(targets.shape[1:])}, got "
                    f"{tuple(drawn.y.shape[1:])}; fit the source on the task's targets: "
                    "GMixup().fit(graphs, task.encode(labels))"
                )
            batch = beside(inputs, drawn)
            every = torch.cat([targets, drawn.y.to(targets.dtype)])
            weight = None if weights is None else torch.cat([weights, weights.new_ones(count, *weights.shape[1:])])
        logits: Tensor = self.model(batch)
        terms = {"mixed": self.task.loss(logits, every, weight)}
        if self.penalty is None:
            return terms
        step = Step(
            model=self.model,
            inputs=None,
            logits=logits[:size],
            targets=targets,
            weights=weights,
            plan=BlendPlan(Pairing.identity(size)),
            task=self.task,
            partner_share=self.source.expected_partner_share,
        )
        return rescaled({**terms, "penalty": self.penalty(step)})

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside parameters: the generator's state."""
        return {"generator": self.generator.get_state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.generator.set_state(state["generator"])


def beside(real: Any, drawn: Batch) -> Batch:
    """Return the graphs of two batches in one, with `x`, `edge_index`, `batch` and `ptr`; both stay as they are.

    Raises:
        ValueError: real graphs carry edge weights or attributes, or only one of both has x.

    >>> from torch_geometric.data import Data
    >>> pair = Batch.from_data_list([Data(x=torch.zeros(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))])
    >>> both = beside(pair, pair)
    >>> both.edge_index, both.ptr, both.num_graphs
    (tensor([[0, 1, 2, 3],
            [1, 0, 3, 2]]), tensor([0, 2, 4]), 2)
    """
    for name in ("edge_weight", "edge_attr"):
        if getattr(real, name, None) is not None:
            raise ValueError(
                f"drawn graphs have no {name}, so the real ones of a batch must have none; leave {name} out, "
                "or mix at the readout instead"
            )
    if (real.x is None) != (drawn.x is None):
        which = "drawn graphs have none" if drawn.x is None else "real graphs have none"
        raise ValueError(f"all graphs of a batch must have x, or none, but {which}; see features= of GMixup")
    nodes, graphs = real.num_nodes, real.num_graphs
    both = Batch(
        x=None if real.x is None else torch.cat([real.x, drawn.x.to(real.x.dtype)]),
        edge_index=torch.cat([real.edge_index, drawn.edge_index + nodes], 1),
        batch=torch.cat([real.batch, drawn.batch + graphs]),
        ptr=None if real.ptr is None else torch.cat([real.ptr, drawn.ptr[1:] + nodes]),
        num_nodes=nodes + drawn.num_nodes,
    )
    both._num_graphs = graphs + drawn.num_graphs
    return both
