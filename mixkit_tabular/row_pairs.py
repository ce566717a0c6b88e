"""Drawing which rows mix: base rows evenly, partners by weight or by similar targets, lam at least one half."""

import numpy as np

from mixkit.pairing import check_positive
from mixkit_tabular.rows import FloatArray, IntArray

_PROPOSALS = 64  # of a partner, before its law is worked out over all rows
_REACH = 8.0  # bandwidths: exp(-32) of the kernel's top is beyond what 64 proposals could ever accept
_CELLS = 2**22  # of kernel values at a time


def random_generator(random_state: object) -> np.random.Generator:
    """Return a Generator for what scikit-learn calls a random state; the global one is neither read nor advanced.

    Args:
        random_state: None (fresh entropy), an int from 0, a `numpy.random.RandomState` (one draw of it is the seed),
            or a `numpy.random.Generator`, which is used itself.

    Raises:
        ValueError: it is none of these.

    >>> int(random_generator(3).integers(1000)) == int(random_generator(3).integers(1000))
    True
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31 - 1)))
    integer = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is None or (integer and int(random_state) >= 0):  # type: ignore[call-overload]  # an integer here
        return np.random.default_rng(random_state)  # type: ignore[arg-type]  # None or an integer here
    raise ValueError(f"random_state must be None, an int from 0, a RandomState or a Generator, got {random_state!r}")


def draw_lam(alpha: float, count: int, generator: np.random.Generator) -> FloatArray:
    """Return float64 (count,): Beta(alpha, alpha) folded to at least one half, so that the base row dominates.

    Raises:
        ValueError: alpha is not a positive finite number.
    """
    check_positive("alpha", alpha)
    lam = generator.beta(alpha, alpha, count)
    return np.maximum(lam, 1 - lam)


def draw_bases(rows: IntArray, count: int, generator: np.random.Generator) -> IntArray:
    """Return `count` of `rows` in random order, each as often as any other, give or take once.

    >>> np.bincount(draw_bases(np.arange(3), 7, np.random.default_rng(0))).tolist()
    [2, 2, 3]
    """
    rounds = -(-count // len(rows)) if count else 0
    orders = [generator.permutation(rows) for _ in range(rounds)]
    return np.concatenate([*orders, rows[:0]])[:count]


def draw_partners(base: IntArray, rows: IntArray, weights: FloatArray, generator: np.random.Generator) -> IntArray:
    """Return a partner (M,) for each base row, by weight among the other `rows`; a row alone gets itself.

    Args:
        base: (M,), row numbers, all of them in `rows`.
        rows: ascending numbers of the rows to draw from.
        weights: of all rows, positive at `rows`.
        generator: makes the draws.
    """
    place, everywhere = np.searchsorted(rows, base), np.zeros(len(base), dtype=np.int64)
    return rows[_draw_places(place, weights[rows], everywhere, everywhere + len(rows), generator)]


def draw_similar(
    base: IntArray,
    rows: IntArray,
    weights: FloatArray,
    generator: np.random.Generator,
    *,
    targets: FloatArray,
    bandwidth: float,
) -> IntArray:
    """Return a partner (M,) for each base row, likelier where targets are similar: C-Mixup over all rows.

    Row i takes j != i with probability proportional to w_j exp(-|y_i - y_j|^2 / (2 bandwidth^2)), with y in standard
    deviations (Yao et al. 2022, arXiv:2210.05775, eq. 6).

    Args:
        base: (M,), row numbers, all of them in `rows`.
        rows: ascending numbers of the rows to draw from.
        weights: of all rows, positive at `rows`.
        generator: makes the draws.
        targets: (n, outputs).
        bandwidth: in standard deviations of the targets.

    Raises:
        ValueError: bandwidth is not a positive finite number.
    """
    check_positive("bandwidth", bandwidth)
    spread = targets[rows].std(0)
    scaled = (targets / np.where(spread > 0, spread, 1.0) / bandwidth)[rows]
    order = np.argsort(scaled[:, 0], kind="stable")
    rows, scaled = rows[order], scaled[order]
    place_of = np.zeros(len(weights), dtype=np.int64)
    place_of[rows] = np.arange(len(rows))
    return rows[_draw_by_kernel(place_of[base], weights[rows], scaled, generator)]


def _draw_places(
    place: IntArray, weights: FloatArray, low: IntArray, high: IntArray, generator: np.random.Generator
) -> IntArray:
    """Return for each place another one in [low, high), by weight; the place itself where there is no other."""
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    own = weights[place]
    # a point on the line of the others' weights: jump over one's own stretch of it
    point = edges[low] + generator.random(len(place)) * (edges[high] - edges[low] - own)
    point = np.where(point >= edges[place], point + own, point)
    drawn = np.clip(np.searchsorted(edges[1:], point, side="right"), low, high - 1)
    neighbour = np.where(place + 1 < high, place + 1, np.maximum(place - 1, low))
    return np.where(drawn == place, neighbour, drawn)  # rounding may land on oneself


def _draw_by_kernel(
    place: IntArray, weights: FloatArray, scaled: FloatArray, generator: np.random.Generator
) -> IntArray:
    """Return for each place another one, by weight and Gaussian kernel of `scaled` (n, outputs), sorted by output 0."""
    # Proposals by weight among places near enough for the kernel to matter, accepted by the kernel, have the wanted law
    # and cost no (M, n) matrix.  Where nobody is near, none is accepted, and the law is worked out over all places.
    first = scaled[:, 0]
    low, high = np.searchsorted(first, first - _REACH), np.searchsorted(first, first + _REACH, side="right")
    drawn, todo = place.copy(), np.arange(len(place))
    for _ in range(_PROPOSALS):
        own = place[todo]
        proposed = _draw_places(own, weights, low[own], high[own], generator)
        kernel = np.exp(-_squares(scaled[own], scaled[proposed]) / 2)
        accepted = (proposed != own) & (generator.random(len(todo)) < kernel)
        drawn[todo[accepted]] = proposed[accepted]
        todo = todo[~accepted]
    step = max(1, _CELLS // scaled.size)
    for start in range(0, len(todo), step):
        part = todo[start : start + step]
        logits = np.log(weights) - _squares(scaled[place[part]][:, None], scaled[None]) / 2
        logits[np.arange(len(part)), place[part]] = -np.inf
        # the largest of logits plus Gumbel noise is a draw by their softmax, and nothing underflows
        drawn[part] = (logits + generator.gumbel(size=logits.shape)).argmax(1)
    return drawn


def _squares(own: FloatArray, other: FloatArray) -> FloatArray:
    squares: FloatArray = np.square(own - other).sum(-1)
    return squares
