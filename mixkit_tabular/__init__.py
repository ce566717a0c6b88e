"""Tables for mixkit: reading, preprocessing, a network and an embedded problem, found by entry point.

`ADAPTER` is what `mixkit compare` uses for files of rows and columns.
"""

from mixkit.comparison.problems import Adapter
from mixkit_tabular.embedded import embedded_problems
from mixkit_tabular.problem import load
from mixkit_tabular.readers import recognises
from mixkit_tabular.restore import restore

__all__ = ["ADAPTER"]

ADAPTER = Adapter(
    modality="table",
    embedded=embedded_problems,
    recognises=recognises,
    load=load,
    restore=restore,
)
