"""The one place that imports torch_geometric, which takes seconds and warns on new versions of torch."""

import warnings

try:
    with warnings.catch_warnings():
        # torch_geometric compiles parts of itself with torch.jit, which new versions of torch call deprecated
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=FutureWarning)
        from torch_geometric.data import Batch
except ImportError as error:
    raise ImportError(
        f'graphs need torch_geometric, which can\'t be imported ({error}); pip install "mixkit[graph]"'
    ) from error

__all__ = ["Batch"]
