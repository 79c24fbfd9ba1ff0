"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from t5coref.nn.weight_files import CheckpointError

try:
    import fcntl
except ImportError:  # not a POSIX system: two writers of one folder go unnoticed
    fcntl = None


@contextlib.contextmanager
def appearing(
    destination: Path, *, overwrite: bool, foreign: Callable[[Sequence[str]], list[str]]
) -> Iterator[Path]:
    """A new folder to fill, which becomes `destination` when the block ends without an error.

    Until then it is hidden beside it; what a killed process left there is removed first.

    Args:
        destination: must not exist, or be empty, unless `overwrite`.
        overwrite: replace what is there.
        foreign: which of the names in it must not be there, so that nothing is deleted by mistake.

    Raises:
        CheckpointError: it exists, holds other files, or another process is writing it.
    """
    check_destination(destination, overwrite=overwrite, foreign=foreign)
    destination.parent.mkdir(parents=True, exist_ok=True)
    hidden = destination.parent / f".{destination.name}.unfinished"
    fresh, old = hidden / "new", hidden / "old"
    hidden.mkdir(exist_ok=True)
    with (hidden / "lock").open("w") as lock:
        _take(lock, destination)
        try:
            _put_back(old, destination)
            check_destination(destination, overwrite=overwrite, foreign=foreign)
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            yield fresh
            if destination.exists():
                destination.rename(old)
            fresh.rename(destination)
        finally:
            _put_back(old, destination)
            shutil.rmtree(hidden, ignore_errors=True)


def _take(lock: IO[str], destination: Path) -> None:
    """Takes the hidden folder for this process; the system gives it back when the process ends."""
    if fcntl is None:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CheckpointError(
            f"another process is writing {destination}; wait for it, or give another folder"
        ) from None


def _put_back(old: Path, destination: Path) -> None:
    """Undoes what a process did that ended between moving the old folder and the new one."""
    if old.exists() and not destination.exists():
        old.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


def check_destination(
    destination: Path, *, overwrite: bool, foreign: Callable[[Sequence[str]], list[str]]
) -> None:
    """Raises `CheckpointError` where `appearing` would refuse the folder for what is in it."""
    if not destination.exists():
        return
    if not destination.is_dir():
        raise CheckpointError(f"{destination}: expected a folder or nothing, there is a file")
    there = sorted(child.name for child in destination.iterdir())
    if there and not overwrite:
        raise CheckpointError(
            f"{destination} exists and is not empty; give another folder, or --overwrite to "
            "replace it"
        )
    others = foreign(there)
    if others:
        raise CheckpointError(
            f"{destination}: expected nothing but one checkpoint to replace, found {others[:8]}; "
            "remove the folder yourself, or give another"
        )
