"""smoothjax: dense prediction without grid artifacts, in JAX and Flax NNX.

The layers, each importing only those above it::

    names      the choices by name, without JAX
    ops        pure functions on arrays, built on one primitive, `reinterlace`
    nn         Flax NNX layers that hold the parameters of the operations
    models     networks made of these layers
    weights    published parameters
    data       images and labels, augmentation, pipelines; NumPy out
    datasets   preparation of data sets
    training   state, step, schedules, checkpoints, the loop
    metrics    the confusion matrix and measures derived from it
    analysis   measures of the artifacts, on arrays
    diagnose   the command that looks for them in pictures and networks

`command_line` holds what all commands share.

`import smoothjax` is cheap: subpackages are imported on first use, and `smoothjax.ops` imports only JAX and chex.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import analysis as analysis
    from . import command_line as command_line
    from . import data as data
    from . import datasets as datasets
    from . import diagnose as diagnose
    from . import metrics as metrics
    from . import models as models
    from . import names as names
    from . import nn as nn
    from . import ops as ops
    from . import training as training
    from . import weights as weights

__version__ = "0.1.0"

_PACKAGES = (
    "analysis",
    "command_line",
    "data",
    "datasets",
    "diagnose",
    "metrics",
    "models",
    "names",
    "nn",
    "ops",
    "training",
    "weights",
)


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES})
