"""Graphon estimators against plain loops, and on graphons that are known."""

import numpy as np
import pytest
import torch

from mixkit_graph.graphon import USVT, MatrixCompletion, SortAndSmooth, block_means, denoised
from mixkit_graph.graphon_blocks import BlockApproximation, LargestGap, row_distances

ESTIMATORS = [USVT(), SortAndSmooth(), LargestGap(), BlockApproximation(), MatrixCompletion()]
SBM = np.array([[0.8, 0.3], [0.3, 0.1]])


def block_truth(size):
    block = (np.arange(size) * 2) // size
    return torch.from_numpy(SBM[block[:, None], block])


def means_of(count, size=24, seed=0):
    """Return the mean adjacency of `count` graphs of the block model, and those of both halves."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((count, size, size)) < block_truth(size).numpy(), 1)
    graphs = torch.from_numpy((upper + upper.transpose(0, 2, 1)).astype(float))
    halves = [graphs[::2].mean(0), graphs[1::2].mean(0)]
    return graphs.mean(0), torch.stack(halves)


def error(estimator, count):
    found = [estimator(*means_of(count, seed=seed)) - block_truth(24) for seed in range(5)]
    return float(torch.stack(found).square().mean().sqrt())


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_error_on_a_block_model_falls_with_the_number_of_graphs(estimator):
    few, many = error(estimator, 4), error(estimator, 400)
    assert many < few
    assert many < (0.18 if isinstance(estimator, MatrixCompletion) else 0.13)


@pytest.mark.parametrize("estimator", [LargestGap(blocks=2), BlockApproximation(0.15)], ids=lambda e: type(e).__name__)
def test_block_estimators_find_the_two_blocks(estimator):
    found = estimator(*means_of(400))
    assert (found[:12, :12] == found[0, 0]).all()
    assert (found[12:, 12:] == found[-1, -1]).all()
    assert (found[:12, 12:] == found[0, -1]).all()
    assert abs(float(found[0, -1]) - 0.3) < 0.01


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_graphons_are_symmetric_and_between_0_and_1(estimator, generator):
    mean = torch.rand(9, 9, generator=generator)
    found = estimator((mean + mean.T).clamp(max=1))
    assert torch.equal(found, found.T)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_an_estimator_leaves_its_input_alone_and_a_constant_as_it_is(estimator):
    mean = torch.full((8, 8), 0.4)
    torch.testing.assert_close(estimator(mean), torch.full((8, 8), 0.4))
    assert torch.equal(mean, torch.full((8, 8), 0.4))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_smallest_matrices_have_graphons(estimator, size):
    assert estimator(0.5 * (1 - torch.eye(size))).isfinite().all()


def test_usvt_keeps_the_singular_values_above_the_threshold():
    mean = torch.diag(torch.tensor([0.9, 0.5, 0.1]))
    expected = torch.diag(torch.tensor([0.9, 0.5, 0.0]))
    torch.testing.assert_close(USVT(0.2)(mean), expected)  # 0.2 * sqrt(3) = 0.346


def test_the_threshold_of_a_single_graph_leaves_nothing_of_a_mean_of_many():
    mean = means_of(50)[0] / 4  # as dense as molecules
    assert float(USVT(0.2)(mean).max()) > 0.1
    assert float(USVT(2.02)(mean).max()) == 0.0


def test_matrix_completion_is_the_best_approximation_of_its_rank():
    mean, _ = means_of(10)
    left, values, right = np.linalg.svd(2 * mean.numpy() - 1)
    rank = 24 // int(np.log(24))
    loop = sum(values[k] * np.outer(left[:, k], right[k]) for k in range(rank))
    expected = np.clip((loop + 1) / 2, 0, 1)
    np.testing.assert_allclose(MatrixCompletion()(mean).numpy(), (expected + expected.T) / 2, atol=1e-9)


def test_largest_gap_cuts_where_degrees_jump_most():
    degrees = np.array([9.0, 8.8, 8.7, 5.0, 4.9, 1.0])
    mean = torch.from_numpy(np.minimum.outer(degrees, degrees) / 10)
    sums = mean.sum(1).numpy()
    gaps = np.abs(np.diff(sums))
    cuts = sorted(np.argsort(gaps)[-2:] + 1)
    blocks = np.split(np.arange(6), cuts)
    expected = np.zeros((6, 6))
    for p in blocks:
        for q in blocks:
            expected[np.ix_(p, q)] = mean.numpy()[np.ix_(p, q)].mean()
    np.testing.assert_allclose(LargestGap(blocks=3)(mean).numpy(), expected, atol=1e-12)


def test_row_distances_equal_a_loop_over_nodes():
    _, halves = means_of(6, size=7)
    a, b = halves.numpy()
    for i in range(7):
        for j in range(7):
            if i != j:
                total = sum((a[i, k] - a[j, k]) * (b[i, k] - b[j, k]) for k in range(7) if k not in {i, j})
                assert float(row_distances(*halves)[i, j]) == pytest.approx(np.sqrt(abs(total) / 5), abs=1e-6)


def test_block_approximation_equals_a_greedy_loop():
    mean, halves = means_of(20)
    distances = row_distances(*halves).numpy()
    pivots, block = [0], [0]
    for node in range(1, len(mean)):
        nearest = min(range(len(pivots)), key=lambda k, node=node: distances[node, pivots[k]])
        if distances[node, pivots[nearest]] > 0.1:
            pivots.append(node)
            nearest = len(pivots) - 1
        block.append(nearest)
    expected = block_means(mean, torch.tensor(block))[np.ix_(block, block)]
    torch.testing.assert_close(BlockApproximation(0.1)(mean, halves), (expected + expected.T) / 2)


def chambolle(image, weight, steps):
    """Return the same as `denoised`, cell by cell."""
    height, width = image.shape
    p = np.zeros((2, height, width))

    def divergence(i, j):
        down = (p[0, i, j] if i < height - 1 else 0) - (p[0, i - 1, j] if i > 0 else 0)
        return down + (p[1, i, j] if j < width - 1 else 0) - (p[1, i, j - 1] if j > 0 else 0)

    for _ in range(steps):
        u = np.array([[image[i, j] + divergence(i, j) for j in range(width)] for i in range(height)])
        new = p.copy()
        for i in range(height):
            for j in range(width):
                step = np.array([
                    u[i + 1, j] - u[i, j] if i < height - 1 else 0.0,
                    u[i, j + 1] - u[i, j] if j < width - 1 else 0.0,
                ])  # fmt: skip
                new[:, i, j] = (p[:, i, j] + 0.25 * step) / (1 + 0.25 / weight * np.linalg.norm(step))
        p = new
    return np.array([[image[i, j] + divergence(i, j) for j in range(width)] for i in range(height)])


def test_denoising_equals_a_loop_over_cells(generator):
    image = torch.rand(4, 5, dtype=torch.float64, generator=generator)
    np.testing.assert_allclose(denoised(image, 0.1, steps=20).numpy(), chambolle(image.numpy(), 0.1, 20), atol=1e-12)


def test_denoising_minimises_distance_plus_weighted_total_variation(generator):
    image = torch.rand(5, 5, dtype=torch.float64, generator=generator)

    def cost(u):
        down, across = torch.zeros_like(u), torch.zeros_like(u)
        down[:-1], across[:, :-1] = u.diff(dim=0), u.diff(dim=1)
        return float((u - image).square().sum() / 2 + 0.1 * (down**2 + across**2).sqrt().sum())

    best = denoised(image, 0.1, steps=3000)
    for _ in range(50):
        assert cost(best) <= cost(best + 0.01 * torch.randn(5, 5, dtype=torch.float64, generator=generator)) + 1e-6


def test_sort_and_smooth_gives_every_cell_the_mean_of_its_block():
    mean = torch.arange(49.0).view(7, 7)
    mean = (mean + mean.T) / 100
    found = SortAndSmooth(weight=0.0, width=3)(mean)
    assert float(found[4, 1]) == pytest.approx(float(mean[3:6, 0:3].mean()))
    assert float(found[6, 6]) == pytest.approx(float(mean[6, 6]))  # the last block is what is left over


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: USVT(0), "threshold must be positive, got threshold=0"),
        (lambda: MatrixCompletion(0), "rank must be at least 1, got rank=0"),
        (lambda: SortAndSmooth(-1.0), "weight must be non-negative"),
        (lambda: SortAndSmooth(width=0), "width must be at least 1"),
        (lambda: LargestGap(0), "blocks must be at least 1"),
        (lambda: BlockApproximation(0.0), "threshold must be positive"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
