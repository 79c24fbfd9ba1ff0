"""Files that may lie in a bucket: read through TensorFlow where a path names a file system."""

from __future__ import annotations

import os
import pathlib


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path names its file system, as `gs://bucket/folder` does."""
    return "://" in os.fspath(path)


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def read_bytes(path: str) -> bytes:
    """The content of a file."""
    if not is_remote(path):
        return pathlib.Path(path).read_bytes()
    with _gfile().GFile(path, "rb") as file:
        return file.read()


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file that appears whole or not at all."""
    fresh = f"{path}.new"
    if not is_remote(path):
        pathlib.Path(fresh).write_bytes(content)
        os.replace(fresh, path)
        return
    with _gfile().GFile(fresh, "wb") as file:
        file.write(content)
    _gfile().rename(fresh, path, overwrite=True)


def remove(path: str) -> None:
    """Removes a file, if it is there."""
    if is_remote(path):
        if exists(path):
            _gfile().remove(path)
    else:
        pathlib.Path(path).unlink(missing_ok=True)


def join(folder: str, *names: str) -> str:
    """A path below a folder."""
    return "/".join((folder.rstrip("/"), *names))


def _gfile():
    import tensorflow as tf  # only for paths that name a file system

    return tf.io.gfile
