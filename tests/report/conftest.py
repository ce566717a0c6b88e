"""A small, invented summary in the shape that a comparison writes, and a gallery, as fixtures."""

from copy import deepcopy
from typing import Any

import pytest

from mixkit.report import html
from mixkit.report.summary import GalleryItem, Summary

_CURVE = {"epoch": [1, 2, 3], "train_loss": [2.0, 1.1, 0.6], "validation": [0.6, 0.9, 0.95]}
_RELIABILITY = {
    "confidence": [0.3, None, 0.9],
    "accuracy": [0.25, None, 0.88],
    "count": [10, 0, 200],
}


def _method(verdict: str, difference: float | None, *, spread: float, probability: Any, **more: Any) -> dict[str, Any]:
    low = None if difference is None else round(difference - spread, 6)
    high = None if difference is None else round(difference + spread, 6)
    return {
        "score": 0.972 + (difference or 0.0),
        "score_sd": 0.004,
        "scores": [0.97, 0.98] * 5,
        "difference": difference,
        "low": low,
        "high": high,
        "verdict": verdict,
        "probability": probability,
        "detectable": 0.004,
        "runs_needed": None,
        "descriptive": {
            "log_loss": 0.31,
            "log_loss_scaled": 0.12,
            "ece": 0.08,
            "temperature": 0.61,
            "accuracy_pgd": None,
        },
        "cost": {
            "seconds_per_epoch": 0.2,
            "seconds_per_epoch_ratio": 1.034,
            "peak_memory_ratio": None,
            "seconds": 5.0,
        },
        "paper": "Zhang et al. 2018, arXiv:1710.09412",
        "summary": "Blends pairs of samples and of labels.",
        "configuration": {"alpha": 1.0},
        "curve": deepcopy(_CURVE),
        "reliability": deepcopy(_RELIABILITY),
        **more,
    }


def _methods() -> dict[str, Any]:
    sure = {"helps": 0.98, "equivalent": 0.02, "hurts": 0.0}
    torn = {"helps": 0.4, "equivalent": 0.5, "hurts": 0.1}
    same = {"helps": 0.01, "equivalent": 0.97, "hurts": 0.02}
    worse = {"helps": 0.0, "equivalent": 0.001, "hurts": 0.999}
    return {
        "erm": _method("reference", None, spread=0.0, probability=None),
        "mixup": _method("helps", 0.009, spread=0.007, probability=sure),
        "mixupe": _method("undecided", 0.003, spread=0.006, probability=torn, runs_needed=24),
        "label-smoothing": _method("equivalent", 0.0002, spread=0.003, probability=same),
        "manifold": _method("hurts", -0.012, spread=0.004, probability=worse),
    }


def _problem() -> dict[str, Any]:
    return {
        "modality": "image",
        "title": "digits: 1,797 images of 8 x 8, 10 classes (scikit-learn)",
        "notes": ["3 files could not be read"],
        "rows": 1797,
        "classes": [str(digit) for digit in range(10)],
        "metric": "accuracy",
        "higher_is_better": True,
        "rope": 0.005,
        "reference": "erm",
        "split": {
            "kind": "resampled",
            "folds": 5,
            "repeats": 2,
            "train": 1222,
            "validation": 216,
            "test": 359,
        },
        "methods": _methods(),
        "winner": "mixup",
        "snippet": "mixer = mixkit.Mixer(mix, task)\ninputs, targets = mixer(inputs, labels)",
    }


def _regression() -> dict[str, Any]:
    """Return a problem with a metric of which less is better, on an official split, where nothing helped."""
    problem = _problem()
    problem.update(
        modality="table",
        title="concrete: 1,030 rows",
        notes=[],
        classes=[],
        metric="rmse",
        higher_is_better=False,
        rope=0.006,
    )
    problem.update(split={"kind": "official", "seeds": 5, "train": 700, "validation": 130, "test": 200}, winner=None)
    problem["snippet"] = None
    worse = _method("hurts", 0.0215, spread=0.01, probability={"helps": 0.0, "equivalent": 0.02, "hurts": 0.98})
    problem["methods"] = {"erm": problem["methods"]["erm"], "mixup": worse}
    for method in problem["methods"].values():
        method.update(reliability=None, descriptive=None, scores=[0.6] * 5)
    return problem


@pytest.fixture
def summary() -> Summary:
    """Return a summary that a test may change."""
    return _summary()


@pytest.fixture(scope="session")
def page() -> str:
    """Return the report of the unchanged summary, rendered once."""
    return html.render(_summary(), _gallery())


def _summary() -> Summary:
    """Return a whole summary: two problems, results over both, a missing extra and a failed run."""
    odds = {"helps": 0.7, "equivalent": 0.2, "hurts": 0.1}
    whole: Any = {
        "mixkit": "0.1.0",
        "command": "mixkit compare --folds 5",
        "created": "2026-11-21T12:00:00",
        "settings": {"folds": 5, "jobs": 2},
        "seconds": 212.4,
        "problems": {"digits": _problem(), "concrete": _regression()},
        "across": {
            "mixup": {"problems": 5, "mean": 0.004, "low": -0.001, "high": 0.009}
            | {"prediction_low": -0.01, "prediction_high": 0.018, "signed_rank": odds}
        },
        "missing": [{"what": "audio", "remedy": 'pip install "mixkit[audio]"'}],
        "failures": [{"problem": "digits", "method": "cutmix", "message": "loss became infinite"}],
    }
    return whole  # type: ignore[no-any-return]  # a literal of this size is spelt as plain JSON, as the file would be


@pytest.fixture
def gallery() -> dict[str, list[GalleryItem]]:
    """Return a gallery that a test may change."""
    return _gallery()


def _gallery() -> dict[str, list[GalleryItem]]:
    """Return a gallery with a drawn mixture and with one that happens inside the network."""
    pixel = '<img alt="seven" src="data:image/png;base64,iVBORw0KGgo=">'
    return {
        "digits": [
            GalleryItem("mixup", pixel, pixel, pixel, "0.63 of 'seven' + 0.37 of 'two'"),
            GalleryItem("manifold", pixel, pixel, None, "0.50 of 'one' + 0.50 of 'two'"),
        ]
    }
