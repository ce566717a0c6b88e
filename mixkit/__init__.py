"""mixkit: one engine that mixes training samples, for images, tables, speech and graphs.

Three front doors: `Mixer` (own loop, own loss), `objective` / `Mixed` (own loop), and the command `mixkit compare`.
"""

from mixkit.clean import Concatenated, InBatch, Separate
from mixkit.method import Method, methods, objective
from mixkit.mix import Chain, Mix, OneOf
from mixkit.mixer import Mixer
from mixkit.objectives import Erm, Mixed, Objective
from mixkit.pairing import BetaPairs, OtherClassPairs, Pairing, SimilarPairs
from mixkit.penalties import FiniteDifference, ForwardMode, MixupE
from mixkit.placement import AtInputs, AtOneOf, AtSite
from mixkit.policies import Blend, CutMix
from mixkit.tasks import MultiClass, MultiLabel, Regression

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load `compare` when it is first asked for: it brings scikit-learn, which the engine does without."""
    if name != "compare":
        raise AttributeError(f"module 'mixkit' has no attribute {name!r}")
    from mixkit.comparison.own import compare  # noqa: PLC0415 - see above

    return compare


__all__ = [
    "AtInputs",
    "AtOneOf",
    "AtSite",
    "BetaPairs",
    "Blend",
    "Chain",
    "Concatenated",
    "CutMix",
    "Erm",
    "FiniteDifference",
    "ForwardMode",
    "InBatch",
    "Method",
    "Mix",
    "Mixed",
    "Mixer",
    "MixupE",
    "MultiClass",
    "MultiLabel",
    "Objective",
    "OneOf",
    "OtherClassPairs",
    "Pairing",
    "Regression",
    "Separate",
    "SimilarPairs",
    "__version__",
    "compare",
    "methods",
    "objective",
]
