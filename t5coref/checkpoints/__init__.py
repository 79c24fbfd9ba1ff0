"""Checkpoints in every layout, tensor by tensor.

A checkpoint is opened as named tensors that are read when they are asked for (`reading.py`), and
written by something that takes them one by one (`huggingface.py`, `orbax.py`, `legacy.py`). All of
them speak of a parameter by its path in an unscanned T5, as T5X has it; the one table of Hugging
Face's names is `t5coref.nn.checkpoint.NAMES`. So each layout is one file, and memory is needed for
one tensor at a time.
"""

from t5coref.checkpoints.reading import Checkpoint, home, load, open_checkpoint, t5x_tensors
from t5coref.checkpoints.shape import config_of
from t5coref.checkpoints.transfer import (
    HUGGING_FACE,
    T5X,
    T5X_LEGACY,
    Layout,
    Summary,
    transfer,
)

__all__ = [
    "HUGGING_FACE",
    "T5X",
    "T5X_LEGACY",
    "Checkpoint",
    "Layout",
    "Summary",
    "config_of",
    "home",
    "load",
    "open_checkpoint",
    "t5x_tensors",
    "transfer",
]
