"""GraphMix for nodes (Verma et al. 2021, AAAI, arXiv:1909.11715): a branch that sees no edges is trained by mixup."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.clean import Concatenated
from mixkit.mixed import MixingObjective, mix_targets
from mixkit.momentum import AfterSteps, Teacher, check_followed
from mixkit.pairing import BetaPairs, Pairing, PairSampler, random_order
from mixkit.placement import Placement
from mixkit.policies import Blend
from mixkit.tasks import MultiClass, Task
from mixkit_graph.edge_weights import refuse_cached
from mixkit_graph.graphmix_options import Both, FromTeacher, OneAtRandom, Passes, Ramp, sharpened, steady_norms
from mixkit_graph.isolated import isolated, unlabelled_rows, with_rows
from mixkit_graph.models import labelled_rows

from torch_geometric.data import Data  # isort: skip # after those that silence what importing it says


class GraphMix(MixingObjective):
    """The loss of a network of nodes, and that of the same network without edges on mixed nodes.

    The branch without edges (the fully connected network, FCN) is the model itself on nodes that have no neighbours:
    the weights are shared, and for GCN, GAT and GIN its layers are exactly W x + b (nn((1 + eps) x) for GIN).  There
    labelled nodes are mixed with labelled ones at a hidden layer, and as many unlabelled nodes with one another, by
    guessed labels q: the mean prediction of several passes through the whole graph, without gradient, sharpened.  The
    terms are "gnn", "fcn", and "unlabelled" with a weight that ramps up.

    In SAGE and GraphConv the weight of the neighbours is not trained by the branch: only the own one is there without
    edges.  BatchNorm updates its running statistics with the branch's rows too.

    NOTE[DIFF] Both losses are added in each step; the released code takes one of them at random.  The branch costs a
    tenth of a pass through the graph, so that leaving out either saves little; the mean gradient is the same but for
    a factor 2.  `choice=OneAtRandom()` is the released form.

    NOTE[DIFF] The task's cross-entropy on the branch, also for guessed labels; the released code takes the binary one
    on softmax probabilities.

    NOTE[DIFF] The weight is 0 before the ramp, and nothing is guessed then; the released code starts at exp(-5) of it.

    Args:
        model: a `Data` -> logits (M, K) of its labelled rows (see `labelled_rows`), e.g. `NodeModel(...)`.
        task: what the logits mean: exclusive classes.
        place: where nodes of the branch are mixed: `AtSite` of a hidden layer of the model, the first in the paper.
        pairs: who mixes with whom, drawn for labelled and unlabelled nodes apart; None: `BetaPairs(1.0)`.
        guess: where guessed labels come from: `Passes(10)` of the model, or `FromTeacher()`.
        temperature: of the sharpening, positive; 1 leaves the guess as it is.
        ramp: the weight of the unlabelled nodes.  Guesses confirm themselves: a network without much dropout can fall
            to one class by weight 1 (a GCN of 16 channels did on Cora); follow validation rows, and lower it.
        choice: `Both()` losses in each step or `OneAtRandom()`.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.
        total_steps: steps of the whole training, which the ramp is about.

    Raises:
        ValueError: temperature is not positive, the task has no exclusive classes, a layer keeps the edges of its first
            batch (`cached=True`), or there is a ramp without total_steps.  (At a batch) targets are not those of the
            labelled rows; there is no `edge_index`, or several types of nodes.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        place: Placement,
        *,
        pairs: PairSampler | None = None,
        guess: Passes | FromTeacher | None = None,
        temperature: float = 0.1,
        ramp: Ramp | None = None,
        choice: Both | OneAtRandom | None = None,
        generator: Generator | None = None,
        total_steps: int | None = None,
    ) -> None:
        check_options(task, temperature)
        refuse_cached(model)
        chosen_ramp = Ramp() if ramp is None else ramp
        if chosen_ramp.end > 0 and not total_steps:
            raise ValueError(
                f"total_steps must be given for a ramp, got {total_steps=} and ramp={chosen_ramp}; "
                "Ramp(weight, 0, 0) has its weight from the first step on"
            )
        super().__init__(
            model,
            task,
            place,
            penalty=None,
            generator=generator,
            clean=Concatenated(),
            clean_weight=0.0,
            total_steps=total_steps,
        )
        self.ramp = chosen_ramp
        self.pairs: PairSampler = BetaPairs(1.0) if pairs is None else pairs
        self.guess = Passes() if guess is None else guess
        self.teacher = Teacher(model) if isinstance(self.guess, FromTeacher) else None
        self.temperature = temperature
        self.choice = Both() if choice is None else choice
        self._after_steps = AfterSteps()

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of one step; see the class."""
        if not isinstance(inputs, Data):
            raise ValueError(
                f"GraphMix needs a graph of one type of nodes, a Data, got {type(inputs).__name__}; heterogeneous "
                "graphs are mixed by TwoBranch()"
            )
        rows = labelled_rows(inputs)
        if len(rows) != len(targets):
            raise ValueError(f"targets must have a row a labelled node, got {len(targets)} for {len(rows)} nodes")
        if self.teacher is not None:
            check_followed(self.teacher, self.model, self._after_steps)
        with_edges, without = self.choice.draw(self.generator)
        weight = self.ramp.at(self.progress)
        self.steps += 1
        terms = {"gnn": self.task.loss(self.model(inputs), targets, weights)} if with_edges else {}
        if without:
            terms |= self._branch_terms(inputs, rows, targets, weights, weight)
        return terms

    def _branch_terms(
        self, inputs: Any, rows: Tensor, targets: Tensor, weights: Tensor | None, weight: float
    ) -> dict[str, Tensor]:
        """Return the terms of the branch without edges."""
        size, every, own = len(rows), targets, rows
        if weight > 0:
            others = unlabelled_rows(inputs, rows)
            chosen = others[random_order(len(others), self.generator)[:size].to(others.device)]
            if len(chosen):
                every = torch.cat([targets, self.guessed(inputs, chosen).to(targets.dtype)])
                own = torch.cat([rows, chosen])
        if weights is not None:
            weights = torch.cat([weights, weights.new_ones(len(own) - size, *weights.shape[1:])])
        pairing = self._pairing(every, size)
        passed = self._placed(
            isolated(inputs, own),
            lambda mixable: Blend().draw(mixable, pairing, self.generator),
            None,
            size=len(own),
            generator=self.generator,
        )
        mixed, share = mix_targets(passed.plan, every, weights)
        halves = [slice(size), slice(size, None)]
        losses = [
            self.task.loss(passed.mixed[half], mixed[half], None if share is None else share[half]) for half in halves
        ]
        return {"fcn": losses[0]} | ({"unlabelled": weight * losses[1]} if len(own) > size else {})

    def _pairing(self, targets: Tensor, size: int) -> Pairing:
        """Return pairs among the first `size` rows and pairs among the others."""
        first, second = (self.pairs(part, self.generator) for part in (targets[:size], targets[size:]))
        return Pairing(torch.cat([first.partner, second.partner + size]), torch.cat([first.lam, second.lam]))

    @torch.no_grad()
    def guessed(self, inputs: Any, rows: Tensor) -> Tensor:
        """Return guessed labels float (M, K) of the nodes `rows` (M,), sharpened."""
        asked = with_rows(inputs, rows)
        if self.teacher is not None:
            return sharpened(self.task.probabilities(self.teacher(asked)), self.temperature)
        assert isinstance(self.guess, Passes)
        with steady_norms(self.model):
            passes = [self.task.probabilities(self.model(asked)) for _ in range(self.guess.count)]
        return sharpened(torch.stack(passes).mean(0), self.temperature)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Check that `optimizer` holds everything, and let the teacher, if there is one, follow after its steps."""
        super().attach(optimizer)
        if self.teacher is not None:
            self._after_steps.attach(optimizer, self._after_step)

    def _after_step(self) -> None:
        """Let the teacher follow."""
        assert self.teacher is not None
        assert isinstance(self.guess, FromTeacher)
        self.teacher.follow(self.model, self.guess.momentum.at(max(0, self.steps - 1), self.total_steps))


def check_options(task: Task, temperature: float) -> None:
    """Raise ValueError for a task without exclusive classes or a temperature that is not positive."""
    if not isinstance(task, MultiClass):
        raise ValueError(f"GraphMix guesses one of K classes, got {task}; take MultiClass")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {temperature=}")
