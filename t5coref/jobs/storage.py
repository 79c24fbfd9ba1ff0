"""Folders of this machine and of object stores (gs://, s3://, ...) behind the same few calls.

A path with `://` is opened by fsspec, which has a package for every store (gcsfs for gs://); other
paths are this machine's files and need no fsspec. Whatever is written appears whole or not at all:
a local file is renamed into place, an object is visible once it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from typing import Any, Protocol

from t5coref.core.errors import ConfigError

OURS = "_job"
"""The sub-folder of an output folder that is no output."""

REQUESTS = 16
"""To a store at once."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


class Folder(Protocol):
    """A place for results that every process of a job can reach."""

    def name(self, name: str) -> str:
        """The full name of a file, for messages."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """The contents of files that are there."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file, replacing one that is there."""
        ...

    def publish(self, file: pathlib.Path, name: str) -> None:
        """Moves a file of this machine into the folder, replacing one that is there."""
        ...

    def names(self, under: str = "") -> set[str]:
        """The names of all files below a sub-folder, as they are below this folder."""
        ...

    def remove(self, name: str) -> None:
        """Removes a file, or a sub-folder with all that is in it; there may be none."""
        ...

    def scratch(self, job: str) -> pathlib.Path:
        """A folder of this machine for unfinished files of the job with this digest."""
        ...


def is_url(path: str) -> bool:
    """Whether a path is for fsspec; file:// is this machine's."""
    match = _URL.match(path)
    return match is not None and match[1].lower() != "file"


def is_pattern(path: str) -> bool:
    """Whether a path holds one of `*`, `?` and `[`."""
    return _PATTERN.search(path) is not None


def local(path: str) -> str:
    """The absolute path of a file of this machine."""
    return os.path.abspath(os.path.expanduser(path.removeprefix("file://")))


def open_folder(path: str) -> Folder:
    """The folder of that path or URL; it need not be there yet.

    Raises:
      ConfigError: fsspec or its package for the store is not installed, or the path is a file.
    """
    if is_url(path):
        return _RemoteFolder(path)
    folder = pathlib.Path(local(path))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; expected a folder for the outputs")
    return _LocalFolder(folder)


def files(path: str, endings: Sequence[str]) -> dict[str, int]:
    """The files that a path, pattern or URL stands for, with their sizes in bytes.

    A folder stands for its files with one of the endings (`.gz` may follow), not for those of
    folders in it; a pattern stands for files only.

    Raises:
      ConfigError: there is no such file, or the store cannot be reached.
    """
    found = _remote_files(path, endings) if is_url(path) else _local_files(path, endings)
    if not found:
        raise ConfigError(
            f"no input {path!r}; expected a file, a folder with files that end in one of "
            f"{', '.join(endings)}, or a pattern that matches some"
        )
    return found


@contextlib.contextmanager
def fetched(path: str) -> Iterator[pathlib.Path]:
    """The file on this machine: itself, or a copy under the same name for as long as it is used."""
    if not is_url(path):
        yield pathlib.Path(path)
        return
    fs, inside = _filesystem(path)
    with tempfile.TemporaryDirectory(prefix="t5coref-") as folder:
        copy = pathlib.Path(folder, pathlib.PurePosixPath(inside).name)
        try:
            fs.get_file(inside, str(copy))
        except FileNotFoundError:
            raise ConfigError(f"no input {path!r}; it was there when the job was begun") from None
        yield copy


def digest(file: pathlib.Path) -> str:
    """SHA-256 of a file of this machine."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _LocalFolder:
    """A folder of this machine, or one that several machines have mounted."""

    def __init__(self, root: pathlib.Path):
        self._root = root

    def name(self, name: str) -> str:
        return f"{self._root}/{name}"

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        return [(self._root / name).read_bytes() for name in names]

    def write(self, name: str, content: bytes) -> None:
        fresh = self._root / OURS / f"{uuid.uuid4().hex}.new"
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        self.publish(fresh, name)

    def publish(self, file: pathlib.Path, name: str) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        file.replace(target)

    def names(self, under: str = "") -> set[str]:
        # Not `rglob`, which fails if others remove a folder meanwhile.
        found = os.walk(self._root / under)
        paths = (pathlib.Path(folder, name) for folder, _, names in found for name in names)
        return {path.relative_to(self._root).as_posix() for path in paths}

    def remove(self, name: str) -> None:
        path = self._root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # others may be removing it as well
        else:
            path.unlink(missing_ok=True)

    def scratch(self, job: str) -> pathlib.Path:
        del job  # the folder holds one job
        return self._root / OURS / "work"


class _RemoteFolder:
    """A folder of an object store."""

    def __init__(self, url: str):
        self._url = url.rstrip("/")
        self._fs, self._root = _filesystem(self._url)

    def name(self, name: str) -> str:
        return f"{self._url}/{name}"

    def read(self, name: str) -> bytes | None:
        try:
            return self._fs.cat_file(self._inside(name))
        except FileNotFoundError:
            return None

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        with ThreadPoolExecutor(REQUESTS) as pool:
            return list(pool.map(lambda name: self._fs.cat_file(self._inside(name)), names))

    def write(self, name: str, content: bytes) -> None:
        with self._writing(name):
            self._fs.pipe_file(self._inside(name), content)

    def publish(self, file: pathlib.Path, name: str) -> None:
        with self._writing(name):
            self._fs.put_file(str(file), self._inside(name))
        file.unlink()

    def names(self, under: str = "") -> set[str]:
        self._fs.invalidate_cache()  # other processes write there
        found = self._fs.find(self._inside(under) if under else self._root)
        start = len(self._root.rstrip("/")) + 1
        return {path[start:] for path in found}

    def remove(self, name: str) -> None:
        # Not `rm`, which would take a name with a `*` for a pattern.
        for found in self.names(name):
            with contextlib.suppress(FileNotFoundError):  # others may be removing it as well
                self._fs.rm_file(self._inside(found))

    def scratch(self, job: str) -> pathlib.Path:
        digest = hashlib.sha256(f"{self._url} {job}".encode()).hexdigest()[:16]
        return (cache_folder("jobs") or pathlib.Path(tempfile.gettempdir(), "t5coref")) / digest

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has its own
            raise ConfigError(
                f"cannot write {self.name(name)}: {type(error).__name__}: {error}; is there such a "
                "bucket, and may you write to it?"
            ) from error

    def _inside(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def cache_folder(name: str) -> pathlib.Path | None:
    """A folder for what can be made again, in the user's cache; None if it cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(base, "t5coref", name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _local_files(path: str, endings: Sequence[str]) -> dict[str, int]:
    place = local(path)
    if os.path.isdir(place):
        found = [e.path for e in os.scandir(place) if e.is_file() and _ends(e.name, endings)]
    elif os.path.exists(place) or not is_pattern(place):
        found = [place] if os.path.isfile(place) else []
    else:
        found = [f for f in glob(place, recursive=True) if os.path.isfile(f)]
    return {f: os.path.getsize(f) for f in found}


def _remote_files(url: str, endings: Sequence[str]) -> dict[str, int]:
    fs, inside = _filesystem(url)
    scheme = url.partition("://")[0]
    try:
        if is_pattern(inside) and not fs.isfile(inside):
            found = list(fs.glob(inside, detail=True).values())
        else:
            found = [fs.info(inside)]
            if found[0]["type"] == "directory":
                found = [f for f in fs.ls(inside, detail=True) if _ends(f["name"], endings)]
    except FileNotFoundError:
        return {}
    except Exception as error:  # each store has its own
        raise ConfigError(f"cannot look up {url!r}: {type(error).__name__}: {error}") from error
    return {f"{scheme}://{f['name'].lstrip('/')}": f["size"] for f in found if f["type"] == "file"}


def _ends(name: str, endings: Sequence[str]) -> bool:
    return name.removesuffix(".gz").endswith(tuple(endings))


def _filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise ConfigError(f"{url} needs fsspec; pip install fsspec") from None
    scheme = url.partition("://")[0]
    package = _PACKAGES.get(scheme, "fsspec's package for it")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url} needs {package}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"cannot open {url}: {error}") from None


_PACKAGES: Mapping[str, str] = {
    "gs": 'gcsfs (pip install "t5coref[gcs]")',
    "gcs": 'gcsfs (pip install "t5coref[gcs]")',
    "s3": "s3fs (pip install s3fs)",
}
