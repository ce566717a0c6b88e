"""What nodes as tokens refuse: blocks that need a grid, features and inputs that are not the batch's nodes."""

from types import SimpleNamespace

import pytest
import torch
from graph_parts import TASK, batch, graphs, lively, own_net, plan_of, sources

from mixkit import AutoMix, FromPair, GroupMixBlock, LinearValue, MixBlock
from mixkit.mixblock import Scored
from mixkit_graph import NodeTokens
from mixkit_graph.aligned import graph_of_nodes

PARTNER, LAM = [2, 3, 1, 0], [0.3, 0.5, 0.8, 0.6]


@pytest.mark.parametrize(
    "block",
    [MixBlock(16, projection=FromPair()), MixBlock(16, value=LinearValue(on_pair=True)), GroupMixBlock(16, count=2)],
    ids=["FromPair", "on_pair", "GroupMixBlock"],
)
def test_blocks_that_need_a_common_grid_are_refused(block):
    with pytest.raises(ValueError, match=r"NodeTokens has no common grid of positions, which the block's FromPair"):
        AutoMix(own_net(), TASK, NodeTokens("readout:input", 16), block, total_steps=10)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.rand(4, 8), r"features at 'head' must be \(15, 8\), a row a node, got \(4, 8\); give NodeTokens a site"),
        (torch.rand(15, 6), r"features at 'head' must be \(15, 8\), a row a node, got \(15, 6\)"),
        (torch.rand(15, 2, 8), r"features at 'head' must be \(15, 8\), a row a node, got \(15, 2, 8\)"),
    ],
)
def test_features_that_are_not_the_batch_s_nodes_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        NodeTokens("head", 8).tokens(features, batch())


@pytest.mark.parametrize("inputs", [torch.rand(3, 4), graphs((4,))[0], SimpleNamespace(batch=None, num_graphs=1)])
def test_inputs_that_are_no_batch_of_graphs_are_refused(inputs):
    with pytest.raises(ValueError, match=r"inputs must be a Batch of graphs with `batch` and `num_graphs`, got "):
        graph_of_nodes(inputs)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.rand(4, 8),
            r"x must be features \(15, D\) of the nodes that the plan was drawn for, got shape",
        ),
        (torch.ones(15, 8, dtype=torch.long), "Blend averages values, got torch.int64"),
        (batch(), "Blend mixes tensors, got DataBatch"),
    ],
)
def test_a_plan_of_nodes_mixes_features_of_these_nodes_only(x, message):
    inputs = batch()
    plan = plan_of(inputs.x, inputs, sources(PARTNER, LAM), lively(5))
    with pytest.raises(ValueError, match=message):
        plan.apply(x)


def test_the_number_of_tokens_must_be_positive():
    with pytest.raises(ValueError, match="most_tokens must be positive, got most_tokens=0"):
        NodeTokens("any", 5, most_tokens=0)


def test_a_block_without_attention_between_samples_is_refused():
    site, inputs = NodeTokens("any", 5), batch()
    with pytest.raises(ValueError, match=r"NodeTokens needs a block that aligns tokens of two samples; take MixBlock"):
        site.plan(sources(PARTNER, LAM), Scored(torch.zeros(4, 2, 7)), site.tokens(inputs.x, inputs))
