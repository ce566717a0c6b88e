"""mixkit: one engine that mixes training samples, for images, tables, speech and graphs.

Three front doors: `Mixer` (own loop, own loss), `objective` / `Mixed` (own loop), and the command `mixkit compare`.
"""

from mixkit.automix import AutoMix
from mixkit.averaged import Averaged
from mixkit.block_losses import Alternating, LamPenalty, MixedLoss
from mixkit.clean import Concatenated, InBatch, Separate
from mixkit.lam_embedding import LamConcatenated, LamIgnored, LamMultiplied, LamPrior
from mixkit.method import Method, methods, objective
from mixkit.mix import Chain, Mix, OneOf
from mixkit.mixblock import FromEach, FromPair, GroupMixBlock, LinearValue, MixBlock, NeckValue, Shared
from mixkit.mixed import Mixed
from mixkit.mixer import Mixer
from mixkit.momentum import Momentum, Teacher
from mixkit.objectives import Erm, Objective
from mixkit.pairing import BetaPairs, BetaSources, OtherClassPairs, Pairing, SimilarPairs, Sources
from mixkit.penalties import FiniteDifference, ForwardMode, MixupE
from mixkit.placement import AtInputs, AtOneOf, AtSite
from mixkit.policies import Blend, CutMix
from mixkit.tasks import MultiClass, MultiLabel, Regression
from mixkit.tokens import MapTokens, PatchTokens, SpanTokens

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load `compare` when it is first asked for: it brings scikit-learn, which the engine does without."""
    if name != "compare":
        raise AttributeError(f"module 'mixkit' has no attribute {name!r}")
    from mixkit.comparison.own import compare  # noqa: PLC0415 - see above

    return compare


__all__ = [
    "Alternating",
    "AtInputs",
    "AtOneOf",
    "AtSite",
    "AutoMix",
    "Averaged",
    "BetaPairs",
    "BetaSources",
    "Blend",
    "Chain",
    "Concatenated",
    "CutMix",
    "Erm",
    "FiniteDifference",
    "ForwardMode",
    "FromEach",
    "FromPair",
    "GroupMixBlock",
    "InBatch",
    "LamConcatenated",
    "LamIgnored",
    "LamMultiplied",
    "LamPenalty",
    "LamPrior",
    "LinearValue",
    "MapTokens",
    "Method",
    "Mix",
    "MixBlock",
    "Mixed",
    "MixedLoss",
    "Mixer",
    "MixupE",
    "Momentum",
    "MultiClass",
    "MultiLabel",
    "NeckValue",
    "Objective",
    "OneOf",
    "OtherClassPairs",
    "Pairing",
    "PatchTokens",
    "Regression",
    "Separate",
    "Shared",
    "SimilarPairs",
    "Sources",
    "SpanTokens",
    "Teacher",
    "__version__",
    "compare",
    "methods",
    "objective",
]
