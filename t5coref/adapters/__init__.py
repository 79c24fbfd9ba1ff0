"""Adapters of a T5 as files: our own folder, and that of the PEFT library."""

from t5coref.adapters.extract import extracted
from t5coref.adapters.folder import SETTINGS, Adapters, fingerprint
from t5coref.adapters.peft import from_peft, save_peft
from t5coref.adapters.t5x import from_t5x

__all__ = ["SETTINGS", "Adapters", "extracted", "fingerprint", "from_peft", "from_t5x", "save_peft"]
