"""What is released beside the code: gin files, and a model."""

from __future__ import annotations

import os
import pathlib

from t5coref.core.errors import ConfigError

NAME = "english-small"
"""Of the model, wherever one is named."""

MODEL = f"models/{NAME}"


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


def named(model: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """What a name of a model stands for: the folder of the released one, or what was given.

    Args:
      model: a folder, which may have the name of the released model; the name of a checkpoint; or
        None for the released one.

    Raises:
      ConfigError: it is the released model, and this installation has none.
    """
    if model is None or (os.fspath(model) == NAME and not os.path.isdir(model)):
        return default_model()
    return model
