"""Training on one machine: `loop.py` is the whole of it, the other files are its parts."""

from t5coref.train.listener import Listener, Plan, TrainResult
from t5coref.train.loop import TrainingError, data_mesh, dev_scorer, train

__all__ = ["Listener", "Plan", "TrainResult", "TrainingError", "data_mesh", "dev_scorer", "train"]
