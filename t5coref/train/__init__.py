"""Training on one machine: `loop.py` is the whole of it, the other files are its parts.

`fit` learns any objective (`objective.py` says what one is); `train` is `fit` for linearizations.
"""

from t5coref.train.linearized import LinearizationObjective, dev_scorer, train
from t5coref.train.listener import Listener, Plan, TrainResult
from t5coref.train.loop import TrainingError, data_mesh, fit
from t5coref.train.objective import Objective

__all__ = [
    "LinearizationObjective",
    "Listener",
    "Objective",
    "Plan",
    "TrainResult",
    "TrainingError",
    "data_mesh",
    "dev_scorer",
    "fit",
    "train",
]
