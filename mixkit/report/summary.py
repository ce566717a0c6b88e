"""The shape of a comparison's results (`summary.json`) and of a gallery, as types; nothing is computed here.

Every number that is not known is None: NaN never appears.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Verdict = Literal["helps", "hurts", "equivalent", "undecided", "reference"]


class Probability(TypedDict):
    """Posterior probabilities of the three answers; they sum to 1."""

    helps: float
    equivalent: float
    hurts: float


class Split(TypedDict, total=False):
    """How rows were split: folds x repeats of resampling, or seeds on an official split; sizes are rows."""

    kind: Literal["resampled", "official"]
    folds: int
    repeats: int
    seeds: int
    train: int
    validation: int
    test: int


Descriptive = dict[str, float | None]
"""Numbers beside the primary metric by name, means over cells: those of every classifier (`_scaled` is after
temperature scaling), and what a kind of data tests besides, under the names that are printed."""


class Cost(TypedDict, total=False):
    """What training took; ratios are to the reference method."""

    seconds_per_epoch: float | None
    seconds_per_epoch_ratio: float | None
    peak_memory_ratio: float | None
    seconds: float | None


class Curve(TypedDict):
    """Learning curve, means over cells; `validation` is the primary metric on validation rows."""

    epoch: list[int]
    train_loss: list[float | None]
    validation: list[float | None]


class Reliability(TypedDict):
    """Bins of predicted confidence: mean confidence, accuracy and number of rows; empty bins hold None."""

    confidence: list[float | None]
    accuracy: list[float | None]
    count: list[int]


class MethodSummary(TypedDict, total=False):
    """One method on one problem.

    `difference`, `low` and `high` are the method's score minus the reference's, in the metric's own unit and
    direction: where lower is better, a negative difference is good.
    """

    score: float | None
    score_sd: float | None
    scores: list[float | None]
    difference: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    degrees: float | None
    runs: int
    verdict: Verdict
    probability: Probability | None
    detectable: float | None
    runs_needed: int | None
    descriptive: Descriptive | None
    cost: Cost | None
    paper: str | None
    summary: str | None
    configuration: dict[str, Any] | None
    curve: Curve | None
    reliability: Reliability | None


class ProblemSummary(TypedDict):
    """One data set: what it is, how it was split, each method's results; `rope` is in the metric's unit."""

    modality: str
    title: str
    notes: list[str]
    rows: int
    classes: list[str]
    metric: str
    higher_is_better: bool
    rope: float
    reference: str
    split: Split
    methods: dict[str, MethodSummary]
    winner: str | None
    snippet: str | None


class AcrossSummary(TypedDict):
    """One method over all problems: random-effects mean, prediction interval, signed-rank summary.

    Differences here are oriented so that positive is better.
    """

    problems: int
    mean: float | None
    low: float | None
    high: float | None
    prediction_low: float | None
    prediction_high: float | None
    signed_rank: Probability | None


class Missing(TypedDict):
    """A part that is not installed, and the command that adds it."""

    what: str
    remedy: str


class Failure(TypedDict):
    """A run that did not finish."""

    problem: str
    method: str
    message: str


class Summary(TypedDict):
    """Everything a report needs, as written to `summary.json`."""

    mixkit: str
    command: str
    created: str
    settings: dict[str, Any]
    seconds: float
    problems: dict[str, ProblemSummary]
    across: dict[str, AcrossSummary] | None
    missing: list[Missing]
    failures: list[Failure]


@dataclass(frozen=True)
class GalleryItem:
    """One mixed sample of a gallery.

    Its HTML fragments go into the page as they are: whoever draws them has escaped the user's text.

    Attributes:
        method: name of the method that mixed.
        own: HTML fragment that draws the sample itself: an image, a player, a table, an SVG drawing.
        partner: the same for its partner.
        mixed: the same for the mixture; None where mixing happens inside the network.
        caption: plain text, escaped by the report, e.g. "0.63 of 'seven' + 0.37 of 'two'".
        further: HTML fragments that draw the partners after the first, in mixes of three samples and more.
        weights: HTML fragment that draws how much of each sample is taken where; None: nothing to tell.
        trained: plain text on how the mixer was trained, the same for all items of a method; None: it learns nothing.
    """

    method: str
    own: str
    partner: str
    mixed: str | None
    caption: str
    further: tuple[str, ...] = ()
    weights: str | None = None
    trained: str | None = None


def plain(text: object) -> str:
    r"""Return `text` as one printable line.

    Names of files, columns and classes may hold line breaks, terminal escape codes or bytes that are no text;
    they must not reach a terminal, an XML parser or a UTF-8 file as they are.

    >>> plain("two\nlines"), plain("\x1b[31mred")
    ('two lines', '�[31mred')
    """
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
