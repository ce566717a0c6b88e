"""Layers written out for forward mode equal torch's, and can be differentiated again."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixkit.forward_mode import WrittenOut, directional

NORMS = [
    nn.BatchNorm2d(4),
    nn.BatchNorm2d(4, affine=False, momentum=None),
    nn.BatchNorm2d(4, track_running_stats=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.GroupNorm(2, 4),
    nn.LayerNorm(5),
    nn.LayerNorm([3, 5], elementwise_affine=False),
    nn.Softmax(1),
    nn.LogSoftmax(-1),
]


@pytest.mark.parametrize("layer", NORMS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_layers_written_out_equal_torchs_with_their_running_averages(layer, training):
    layer.train(training)
    x = 3 * torch.randn(6, 4, 3, 5) + 1
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    expected, after = layer(x), {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.load_state_dict(before, strict=False)
    with WrittenOut():
        written = layer(x)
    torch.testing.assert_close(written, expected)
    torch.testing.assert_close(dict(layer.named_buffers()), after)


@pytest.mark.parametrize("function", [F.softmax, torch.softmax, F.log_softmax, torch.log_softmax])
def test_softmax_written_out_takes_masks_and_dtypes(function):
    x = torch.randn(3, 4).masked_fill(torch.eye(3, 4).bool(), -torch.inf)
    with WrittenOut():
        written, wide, method = function(x, dim=1), function(x, dim=1, dtype=torch.float64), x.softmax(-1)
    torch.testing.assert_close(written, function(x, dim=1))
    assert wide.dtype == torch.float64
    torch.testing.assert_close(method, F.softmax(x, -1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(4, 1)

    def forward(self, x):
        return (F.softmax(self.score(x), dim=1) * x).sum(1)


MODELS = [
    nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 2), nn.Flatten(), nn.Linear(6, 2)),
    nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.4), nn.Tanh(), nn.Flatten(), nn.Linear(18, 2), nn.LogSoftmax(1)),
    nn.Sequential(nn.Conv1d(3, 6, 3, padding=1), nn.InstanceNorm1d(6, affine=True), nn.GroupNorm(2, 6), nn.SiLU(),
                  nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 2)),
    nn.Sequential(Attention(), nn.Linear(4, 2)),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(MODELS)))
def test_directional_derivatives_have_the_gradient_of_finite_differences(index):
    model = MODELS[index].double()
    torch_generator = torch.Generator().manual_seed(0)
    x, v = (torch.randn(5, 3, 4, dtype=torch.float64, generator=torch_generator) for _ in range(2))

    def slope():
        with torch.random.fork_rng():
            torch.manual_seed(1)  # the same dropout every time
            return directional(model, x, v)[1].square().sum()

    def by_hand(h=1e-6):
        logits = []
        for sign in (1, -1):
            with torch.random.fork_rng():
                torch.manual_seed(1)
                logits.append(model(x + sign * h * v))
        return ((logits[0] - logits[1]) / (2 * h)).square().sum()

    parameters = list(model.parameters())
    torch.testing.assert_close(slope(), by_hand(), rtol=1e-6, atol=1e-7)
    own = torch.autograd.grad(slope(), parameters, allow_unused=True, materialize_grads=True)
    oracle = torch.autograd.grad(by_hand(), parameters, allow_unused=True, materialize_grads=True)
    for a, b in zip(own, oracle, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_model_that_breaks_the_path_is_refused():
    class Detached(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                return torch.from_numpy(super().forward(x.detach()).numpy())

    with pytest.raises(RuntimeError, match=r"forward mode needs logits that depend on the inputs, but Detached breaks"):
        directional(Detached(4, 2), torch.rand(3, 4), torch.rand(3, 4))


def test_attention_without_a_rule_is_loud():
    model = nn.Sequential(
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), nn.Flatten(), nn.Linear(12, 2)
    )
    with pytest.raises(RuntimeError, match=r"forward AD"):
        directional(model, torch.rand(5, 3, 4), torch.rand(5, 3, 4))
