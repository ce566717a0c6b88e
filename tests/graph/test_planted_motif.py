"""The block learns where it matters: in graphs whose class only a planted motif tells, the motif is kept."""

from dataclasses import dataclass, replace

import pytest
import torch
from graph_parts import seeded, total

from mixkit import AutoMix, FromEach, LamIgnored, LamPenalty, LamPrior, MixBlock, MixedLoss, MultiClass, NeckValue
from mixkit.mixed import mix_targets
from mixkit_graph import NodeTokens
from mixkit_graph._pyg import Batch
from mixkit_graph.aligned import AlignedPlan
from mixkit_graph.networks import GraphNet

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says

pytestmark = pytest.mark.slow

CLASSES, FEATURES, CHANNELS, MOTIF = 4, 8, 32, 3
TASK = MultiClass(CLASSES)
STEPS, BATCH = 300, 32


def planted(size, label, draw):
    """Return a random tree of noise with a triangle whose nodes carry a mark and the class's pattern."""
    motif = torch.randperm(size, generator=draw)[:MOTIF]
    edges = [(node, int(torch.randint(node, (), generator=draw))) for node in range(1, size)]
    edges += [(int(motif[a]), int(motif[b])) for a, b in ((0, 1), (1, 2), (2, 0))]
    pairs, x = torch.tensor(edges).T, torch.randn(size, FEATURES, generator=draw)
    x[motif, label] += 3.0
    x[motif, CLASSES] += 2.0
    mark = torch.zeros(size, dtype=torch.bool).index_fill_(0, motif, True)
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], 1), planted=mark)


def planted_batch(count, seed):
    """Return `count` graphs of 12 to 24 nodes, and their targets."""
    draw = seeded(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    sizes = torch.randint(12, 25, (count,), generator=draw)
    graphs = [planted(int(size), int(label), draw) for size, label in zip(sizes, labels, strict=True)]
    return Batch.from_data_list(graphs), TASK.encode(labels)


def trained(block, block_loss, seed):
    """Return an AutoMix objective after a short training, the block at the model's learning rate."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GraphNet(FEATURES, CLASSES, hidden=16, layers=2)
    tokens, draw = NodeTokens("readout:input", CHANNELS), seeded(seed)
    objective = AutoMix(model, TASK, tokens, block(draw), block_loss=block_loss, generator=draw, total_steps=STEPS)
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=1e-2)
    objective.attach(optimizer)
    batches = [planted_batch(BATCH, 1000 + k) for k in range(20)]
    for step in range(STEPS):
        optimizer.zero_grad()
        total(objective(*batches[step % len(batches)])).backward()
        optimizer.step()
    return objective


@dataclass
class Kept:
    """What weights keep of held-out graphs that are mixed with one of another class.

    Attributes:
        motif: mean own weight of the motif's nodes.
        noise: mean own weight of the others.
        loss: of the teacher on the mixed graphs.
        reach: share of the attention of the noise's nodes that goes to the partner's motif.
    """

    motif: float
    noise: float
    loss: float
    reach: float

    @property
    def gap(self):
        return self.motif - self.noise


@torch.no_grad()
def kept(objective, inputs, targets, plan: AlignedPlan):
    nodes = plan.nodes.spread(plan.weights()[:, 0, :, None])[:, 0]
    other_class = targets.argmax(1)[plan.pairing.partner] != targets.argmax(1)
    counted = (other_class & ~plan.blended)[inputs.batch]
    seen = plan.aligned(inputs.planted[:, None].float())[:, 0]
    passed = objective._teacher_placed(inputs, lambda mixable: plan, None, size=len(targets), generator=seeded())
    return Kept(
        motif=float(nodes[counted & inputs.planted].mean()),
        noise=float(nodes[counted & ~inputs.planted].mean()),
        loss=float(TASK.loss(passed.mixed, *mix_targets(plan, targets, None))),
        reach=float(seen[counted & ~inputs.planted].mean()),
    )


def at_random(plan):
    """Return the plan whose weights are shuffled over the nodes of each graph: a random mask of the same mean."""
    places = torch.rand(plan.real.shape, generator=seeded(1)).masked_fill(~plan.real, 2.0).argsort(1)
    return replace(plan, logits=plan.logits.gather(2, places[:, None].expand_as(plan.logits)))


def published(draw):
    return MixBlock(CHANNELS, lam=LamIgnored(), generator=draw)


def for_nodes(draw):
    return MixBlock(CHANNELS, projection=FromEach(), value=NeckValue(), lam=LamPrior(), generator=draw)


@pytest.mark.parametrize(
    ("block", "block_loss", "margin"),
    # published: one projection for both samples lays motif on motif, where shares are all there is to learn
    [(published, MixedLoss(), 0.03), (for_nodes, MixedLoss(LamPenalty(variance=2.0)), 0.2)],
    ids=["published", "for nodes"],
)
def test_the_motif_keeps_more_of_itself_than_noise_does_and_more_than_at_random(block, block_loss, margin):
    objective = trained(block, block_loss, seed=0)
    inputs, targets = planted_batch(400, 1)
    assert float((objective.deploy()(inputs).argmax(1) == targets.argmax(1)).float().mean()) > 0.95
    plan = objective.plan(inputs, targets)
    learned, random = (kept(objective, inputs, targets, each) for each in (plan, at_random(plan)))
    assert learned.gap > margin
    assert abs(random.gap) < 0.02


def test_noise_makes_room_for_the_partner_s_motif_so_that_the_mix_says_more_than_at_random():
    objective = trained(for_nodes, MixedLoss(LamPenalty(variance=2.0)), seed=1)
    inputs, targets = planted_batch(400, 2)
    plan = objective.plan(inputs, targets)
    learned, random = (kept(objective, inputs, targets, each) for each in (plan, at_random(plan)))
    by_chance = float((MOTIF / inputs.ptr.diff()).mean())  # of attention that is even
    assert learned.reach > 1.4 * by_chance
    assert learned.loss < random.loss - 0.08
