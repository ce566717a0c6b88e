"""How single numbers are printed: scores and differences of a metric, probabilities, ratios, times."""

import math
from dataclasses import dataclass

# Metrics between 0 and 1, which people read in per cent and compare in points.
SHARES = frozenset(
    ["accuracy", "balanced_accuracy", "f1", "f1_macro", "f1_micro", "auc", "roc_auc", "average_precision"]
)

UNKNOWN = "-"


@dataclass(frozen=True)
class Scale:
    """How one metric is printed.

    Attributes:
        factor: printed number = factor * number.
        score_unit: unit of scores, e.g. "%".
        unit: unit of differences with a leading blank, e.g. " points"; empty: none.
        decimals: digits after the point.
    """

    factor: float
    score_unit: str
    unit: str
    decimals: int

    def number(self, value: float | None, *, decimals: int | None = None) -> str:
        """Return a score or a spread, without unit."""
        if value is None:
            return UNKNOWN
        digits = self.decimals if decimals is None else decimals
        return f"{_rounded(value * self.factor, digits):.{digits}f}"

    def signed(self, value: float | None) -> str:
        """Return a difference with its sign, without unit."""
        if value is None:
            return UNKNOWN
        number = _rounded(value * self.factor, self.decimals)
        return f"{number:+.{self.decimals}f}" if number else f"{number:.{self.decimals}f}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Return "[low, high]", without unit; a dash where it is not known."""
        return UNKNOWN if low is None or high is None else f"[{self.number(low)}, {self.number(high)}]"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # adding zero turns -0.0 into 0.0


def scale(metric: str, rope: float | None) -> Scale:
    """Return how `metric` is printed: shares in per cent and points, finely enough to tell `rope` from 0.

    >>> scale("accuracy", 0.005).signed(0.0123), scale("rmse", 0.006).signed(-0.0123)
    ('+1.2', '-0.012')
    """
    share = metric in SHARES
    factor = 100.0 if share else 1.0
    decimals = 1 if share else 3
    if rope:
        decimals = min(max(math.floor(-math.log10(rope * factor)) + 1, 1 if share else 0), 9)
    return Scale(factor, "%" if share else "", " points" if share else "", decimals)


def chance(value: float | None) -> str:
    """Return a probability with two digits that never claims certainty.

    >>> chance(0.984), chance(0.9999), chance(0.0)
    ('0.98', '> 0.99', '< 0.01')
    """
    if value is None:
        return UNKNOWN
    if value > 0.995:
        return "> 0.99"
    return "< 0.01" if value < 0.005 else f"{value:.2f}"


def ratio(value: float | None) -> str:
    """Return a cost ratio, e.g. "1.03 x"."""
    return UNKNOWN if value is None else f"{value:.2f} x"


def duration(seconds: float | None) -> str:
    """Return a time for people.

    >>> duration(8.25), duration(212.4), duration(7300)
    ('8.2 s', '3 min 32 s', '2 h 1 min')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return (
        f"{int(minutes)} min {int(seconds % 60)} s"
        if minutes < 60
        else f"{int(minutes / 60)} h {int(minutes % 60)} min"
    )
