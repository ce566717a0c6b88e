"""Tables for mixkit: scikit-learn estimators trained with mixed rows, mixing for other estimators, and the adapter.

`ADAPTER` is what `mixkit compare` uses for files of rows and columns; it is found by entry point.
"""

from mixkit.comparison.problems import Adapter
from mixkit_tabular.augmented import MixupAugmented
from mixkit_tabular.classifier import MixupClassifier
from mixkit_tabular.embedded import embedded_problems
from mixkit_tabular.policies import ColumnSwap, UnitSwap
from mixkit_tabular.problem import load
from mixkit_tabular.readers import recognises
from mixkit_tabular.regressor import MixupRegressor
from mixkit_tabular.resampler import MixupResampler
from mixkit_tabular.restore import restore

__all__ = [
    "ADAPTER",
    "ColumnSwap",
    "MixupAugmented",
    "MixupClassifier",
    "MixupRegressor",
    "MixupResampler",
    "UnitSwap",
]

ADAPTER = Adapter(
    modality="table",
    embedded=embedded_problems,
    recognises=recognises,
    load=load,
    restore=restore,
)
