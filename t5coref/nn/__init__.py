"""The model: T5, its losses and its checkpoints."""

from t5coref.nn.checkpoint import load_hf, save_hf, scan_params, unscan_params
from t5coref.nn.losses import token_loss
from t5coref.nn.t5 import T5, T5Config, for_decoding

__all__ = [
    "T5",
    "T5Config",
    "for_decoding",
    "load_hf",
    "save_hf",
    "scan_params",
    "token_loss",
    "unscan_params",
]
