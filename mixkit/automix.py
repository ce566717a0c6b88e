"""AutoMix: a Mix Block makes the mixed samples, trained end to end with the model through a momentum teacher."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from mixkit.block_losses import BlockLoss, BlockStep, MixedLoss
from mixkit.clean import Clean, Separate, choose, take
from mixkit.feature_tap import FeatureTap
from mixkit.mixblock import TokenMixer
from mixkit.mixed import MixingObjective, mix_targets
from mixkit.momentum import AfterSteps, Momentum, Teacher, check_followed
from mixkit.pairing import BetaPairs, Pairing, Sources
from mixkit.penalties import Penalty
from mixkit.placement import AtInputs, Placement
from mixkit.plan import Plan
from mixkit.tasks import Task
from mixkit.tokens import LearnedPlan, TokenSite


class SourceSampler(Protocol):
    """Draws partners and shares for a batch: a `PairSampler`, or one of several sources a sample."""

    @property
    def expected_partner_share(self) -> float:
        """E[a], 2 E[lam (1 - lam)] for pairs; asked for with a penalty only."""
        ...

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing | Sources:
        """Draw for `targets` float (B, K)."""
        ...


class AutoMix(MixingObjective):
    """Learned mixing (AutoMix, Liu et al. 2022, ECCV, arXiv:2103.13027), and SAMix and AdAutoMix on the same parts.

    Each step draws two independent sets of partners.  The teacher, a moving average of the model, gives features of the
    clean batch; the block makes weights of them.  Terms:

    * "mixed", "clean", perhaps "penalty": the model's losses on samples mixed by the block, its weights detached, and
      on clean ones.  Their gradient reaches the model only.
    * "block" and others of `block_loss`: the teacher's loss on samples mixed by the other partners, and a term that
      ties the weights to lam.  Their gradient reaches the block only.

    After each step of the optimizer the teacher follows the model: `attach(optimizer)` sees to it and must be called.
    `deploy()` is the teacher's network; `model` is the other candidate.  In `eval()` the loss is the teacher's.
    Everything that a resumed training needs is in the state dict.

    What a step costs is up to the arguments: the published form runs all clean rows apart (`clean=Separate()`).
    Cheaper are `clean=InBatch(0.5), clean_weight=0.0`, and a block that learns every fourth step (`block_every=4`),
    from a part of the batch (`block_fraction`), or only in the first part of the training (`freeze_after`).  The
    teacher's clean pass stops at the feature site, and is shared by both sets of partners.

    NOTE[DIFF] One lam a sample instead of one a batch, and the tie to lam per sample; one head instead of two; the
    teacher in evaluation mode (`Teacher`) with a warm-up (`Momentum`).

    Args:
        model: inputs -> logits (B, K).
        task: what the logits mean.
        tokens: where the teacher's features are taken and what weights mean, e.g. `MapTokens("layer3", 256)`.
        block: the mixer, e.g. `MixBlock(256)`.
        place: where samples are mixed; None: where the tokens say, or at the inputs.
        pairs: who mixes with whom: `BetaPairs(2.0)`; `BetaSources(1.0, count=3)` for a `GroupMixBlock` of three.
        penalty: on the clean rows, e.g. `MixupE(1e-3)`: AutoMix has their logits already, so that it costs nothing
            more.  MixupE's theory assumes a straight path between samples; here it is an extension.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.
        clean: how clean rows are had.
        clean_weight: weight of the clean rows' plain loss.
        blend_weight: weight of the loss on the same sources blended by their shares (AdAutoMix with K = 3); costs
            a forward and backward pass more.
        block_loss: what the block minimises: `MixedLoss()`, `Alternating()`.
        momentum: the teacher's schedule.
        lam_margin: samples whose smallest share is at most this are blended by their shares instead of by the block.
        label_by_weights: the model's labels follow the mean weights instead of the shares drawn (published); the
            block's follow the shares, or it would find it easiest to take one sample whole.
        block_rate: learning rate of the block's group in `param_groups()`; None: the optimizer's own.
        block_every: the block learns every so many steps.
        block_fraction: share of the batch from which it learns.
        freeze_after: share of the training after which it learns no more.
        total_steps: steps of the optimizer in the whole training, which all schedules count; without it the teacher's
            momentum stays at its start, and nothing else changes with time.

    Raises:
        ValueError: an argument is out of range, the block does not fit the tokens, a site does not exist.
        RuntimeError: (when called) steps were taken by an optimizer that was not attached.

    >>> from mixkit import MapTokens, MixBlock, MultiClass
    >>> stage = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    >>> model, task = nn.Sequential(stage, nn.Flatten(), nn.Linear(8 * 9, 5)), MultiClass(5)
    >>> objective = AutoMix(model, task, MapTokens("0", 8), MixBlock(8), total_steps=100)
    >>> optimizer = torch.optim.SGD(objective.param_groups(), lr=0.1)
    >>> objective.attach(optimizer)
    >>> sorted(objective(torch.rand(4, 3, 8, 8), task.encode([0, 1, 2, 3])))
    ['block', 'clean', 'lam', 'mixed']
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        tokens: TokenSite,
        block: TokenMixer,
        place: Placement | None = None,
        *,
        pairs: SourceSampler | None = None,
        penalty: Penalty | None = None,
        generator: Generator | None = None,
        clean: Clean | None = None,
        clean_weight: float = 1.0,
        blend_weight: float = 0.0,
        block_loss: BlockLoss | None = None,
        momentum: Momentum | None = None,
        lam_margin: float = 0.08,
        label_by_weights: bool = False,
        block_rate: float | None = None,
        block_every: int = 1,
        block_fraction: float = 1.0,
        freeze_after: float = 1.0,
        total_steps: int | None = None,
    ) -> None:
        if freeze_after < 1 and not total_steps:
            raise ValueError(f"total_steps must be given with freeze_after, got {freeze_after=} and {total_steps=}")
        if block_every < 1:
            raise ValueError(f"block_every must be at least 1, got {block_every=}")
        check_range("blend_weight", blend_weight, 0, math.inf)
        check_range("lam_margin", lam_margin, 0, 0.5)
        check_range("block_rate", 1.0 if block_rate is None else block_rate, 0, math.inf, open_low=True)
        check_range("block_fraction", block_fraction, 0, 1, open_low=True)
        check_range("freeze_after", freeze_after, 0, 1, open_low=True)
        if block.channels != tokens.channels:
            raise ValueError(f"block must have the tokens' {tokens.channels} channels, got {block.channels}")
        if block.by_position and not tokens.common_grid:
            raise ValueError(
                f"{type(tokens).__name__} has no common grid of positions, which the block's FromPair, on_pair or "
                "GroupMixBlock need; take MixBlock with Shared() and LinearValue()"
            )
        place = place or tokens.place or AtInputs()
        teacher = Teacher(model)  # before any hook is installed
        super().__init__(
            model,
            task,
            place,
            penalty=penalty,
            generator=generator,
            clean=Separate() if clean is None else clean,
            clean_weight=clean_weight,
            total_steps=total_steps,
        )
        self.teacher = teacher
        self.tokens = tokens
        self.block = block
        self.pairs: SourceSampler = BetaPairs(2.0) if pairs is None else pairs
        self.blend_weight = blend_weight
        self.block_loss: BlockLoss = MixedLoss() if block_loss is None else block_loss
        self.momentum = Momentum() if momentum is None else momentum
        self.lam_margin = lam_margin
        self.label_by_weights = label_by_weights
        self.block_rate = block_rate
        self.block_every = block_every
        self.block_fraction = block_fraction
        self.freeze_after = freeze_after
        self._teacher_placed = place.on(teacher.model)
        self._tap = FeatureTap(teacher.model, tokens.site)
        self._partner_share = 0.0 if penalty is None else self.pairs.expected_partner_share
        self._after_steps = AfterSteps()

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of one step; see the class."""
        check_followed(self.teacher, self.model, self._after_steps)
        learns = self._block_learns()
        features, logits = self._tap.look(
            self.teacher.model, inputs, whole=learns and self.block_loss.needs_clean_logits
        )
        # first, so that the teacher's activations are gone when the model's come
        block_terms = self._block_terms(inputs, targets, weights, features, logits) if learns else {}

        def draw(mixable: Any, keep: Tensor | None) -> Plan:
            sources = Sources.of(self.pairs(targets, self.generator))
            return self._model_plan(features, inputs, sources if keep is None else sources.keep(keep))

        terms, passed = self.mixed_terms(inputs, targets, weights, draw, self._partner_share)
        if self.blend_weight:
            terms["blend"] = self.blend_weight * self._blend_loss(inputs, targets, weights, passed.plan)
        return terms | block_terms

    def plan(self, inputs: Any, targets: Tensor) -> LearnedPlan:
        """Return a plan as the model's batches get them, without gradient: to look at, or to mix by hand."""
        features, _ = self._tap.look(self.teacher.model, inputs, whole=False)
        return self._model_plan(features, inputs, Sources.of(self.pairs(targets, self.generator)))

    def param_groups(self) -> list[dict[str, Any]]:
        """Return two groups for an optimizer: the model's parameters, and the block's with `block_rate`."""
        rate = {} if self.block_rate is None else {"lr": self.block_rate}
        model = [p for p in self.model.parameters() if p.requires_grad]
        return [{"params": model}, {"params": self._block_parameters(), **rate}]

    def _block_parameters(self) -> list[nn.Parameter]:
        """Return what the block's terms train."""
        return [p for module in (self.tokens, self.block) for p in module.parameters() if p.requires_grad]

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Check that `optimizer` holds model and block, and let the teacher follow after each of its steps.

        Attaching again, also to another optimizer, replaces the earlier attachment.

        Raises:
            ValueError: a parameter is missing from the optimizer.
        """
        super().attach(optimizer)
        self._after_steps.attach(optimizer, self._after_step)

    def deploy(self) -> nn.Module:
        """Return the network to ship: the teacher's, as in the paper."""
        return self.teacher.model

    def _after_step(self) -> None:
        """Let the teacher follow, and count the step."""
        self.teacher.follow(self.model, self.momentum.at(self.steps, self.total_steps))
        self.steps += 1

    def _block_learns(self) -> bool:
        """Return whether the block learns in this step."""
        due = self.steps % self.block_every == 0 and self.progress < self.freeze_after
        return due and bool(self._block_parameters())

    @torch.no_grad()
    def _model_plan(self, features: Tensor, inputs: Any, sources: Sources) -> LearnedPlan:
        """Return the plan that mixes the model's batch: without gradient, blended by shares near their ends."""
        plan = self._plan(features, inputs, sources)
        plan = plan.blend(sources.lam.amin(1) <= self.lam_margin)
        return plan.label_by_weights() if self.label_by_weights else plan

    def _plan(self, features: Tensor, inputs: Any, sources: Sources) -> LearnedPlan:
        """Return the block's plan."""
        tokens = self.tokens.tokens(features, inputs)
        index = sources.index.to(features.device)
        scored = self.block.score(
            tokens.values[index], sources.lam.to(features.device), None if tokens.real is None else tokens.real[index]
        )
        return self.tokens.plan(sources, scored, tokens)

    def _blend_loss(self, inputs: Any, targets: Tensor, weights: Tensor | None, plan: Plan) -> Tensor:
        """Return the model's loss on the same sources blended by their shares."""
        assert isinstance(plan, LearnedPlan)
        blend = plan.blend(torch.ones(len(plan), dtype=torch.bool, device="cpu"))
        passed = self._placed(inputs, lambda mixable: blend, None, size=len(targets), generator=self.generator)
        return self.task.loss(passed.mixed, *mix_targets(blend, targets, weights))

    def _block_terms(
        self, inputs: Any, targets: Tensor, weights: Tensor | None, features: Tensor, logits: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the block's terms, from the teacher's loss on samples that it mixed."""
        if self.block_fraction < 1:
            if not isinstance(inputs, Tensor):
                raise ValueError(
                    f"block_fraction needs inputs that are a tensor, got {type(inputs).__name__}; take block_every"
                )
            rows = choose(len(targets), self.block_fraction, self.generator)
            inputs, targets, features = take(inputs, rows), take(targets, rows), take(features, rows)
            weights = None if weights is None else take(weights, rows)
            logits = None if logits is None else take(logits, rows)
        plan = self._plan(features, inputs, Sources.of(self.pairs(targets, self.generator)))
        # labelled by the shares drawn, always: labelled by its weights it would take one sample whole
        passed = self._teacher_placed(inputs, lambda mixable: plan, None, size=len(targets), generator=self.generator)
        step = BlockStep(
            mixed=passed.mixed,
            clean=logits,
            plan=plan,
            targets=targets,
            weights=weights,
            task=self.task,
            steps=self.steps // self.block_every,
            progress=self.progress,
        )
        parameters = self._block_parameters()
        return {name: settled(term, parameters) for name, term in self.block_loss(step).items()}


def settled(term: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return `term` with the same value and the same gradient in `parameters`, but without the graph behind it.

    The gradient is taken at once, so that what the graph holds is freed before anything else is computed; the result is
    linear in the parameters.  Where no gradient is wanted, `term` is returned.
    """
    if not (torch.is_grad_enabled() and term.requires_grad):
        return term
    # times a power of two, which costs no precision: half-precision gradients would vanish without a loss scale
    scale = 1024.0
    slopes = torch.autograd.grad(scale * term, parameters, retain_graph=True, allow_unused=True)
    linear = [(p * (slope / scale)).sum() for p, slope in zip(parameters, slopes, strict=True) if slope is not None]
    moved = torch.stack(linear).sum() if linear else torch.zeros_like(term)
    return term.detach() + (moved - moved.detach()).to(term.dtype)


def check_range(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    """Raise ValueError unless `value` is in [low, high], or in (low, high]."""
    if not low <= value <= high or (open_low and value == low):
        raise ValueError(f"{name} must be in {'(' if open_low else '['}{low:g}, {high:g}], got {name}={value!r}")
