"""What is released beside the code: gin files, and a model."""

from __future__ import annotations

import pathlib

from t5coref.core.errors import ConfigError

MODEL = "models/english-small"


def folder_with(inside: str) -> pathlib.Path:
    """The folder that holds `inside`: the package in a wheel, the repository otherwise.

    Raises:
      ConfigError: the installation is not whole.
    """
    package = pathlib.Path(__file__).parent
    for root in (package, package.parent):
        if (root / inside).is_dir():
            return root
    raise ConfigError(f"no {inside} in {package} or its parent; install t5coref again")


def default_model() -> pathlib.Path:
    """The folder of the model that is used where none is named: English, clusters of mentions.

    Raises:
      ConfigError: this installation has none.
    """
    try:
        return folder_with(MODEL) / MODEL
    except ConfigError:
        raise ConfigError(
            f"this installation comes without a model ({MODEL}); expected the folder of one, as "
            "`t5coref train` writes it, or the name of a published checkpoint"
        ) from None
