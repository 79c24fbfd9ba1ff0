"""Rows as tf.train.Example records in TFRecord files; imports TensorFlow, and SeqIO to read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from t5coref.core.errors import FormatError
from t5coref.data import places
from t5coref.data.manifest import MANIFEST, Shard
from t5coref.data.rows import INTS, Row, document_of, rows_of
from t5coref.linearize import Linearization

_STRINGS = ("doc_id", "document")
_NUMBERS = ("turn", "turns")


def serialized(row: Row) -> bytes:
    """A row as the bytes of one record, the same wherever it is made."""
    features = {}
    for name, value in row.items():
        if name in _STRINGS:
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        else:
            flat = np.asarray(value).reshape(-1).tolist()
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def parse(record: tf.Tensor, feed_rank: int) -> dict[str, tf.Tensor]:
    """The row of a record, as tensors."""
    sequence = tf.io.FixedLenSequenceFeature
    description: dict[str, Any] = {
        name: sequence([], tf.int64, allow_missing=True) for name in INTS
    }
    if feed_rank == 2:
        description["feeds"] = sequence([2], tf.int64, allow_missing=True)
    description |= {name: tf.io.FixedLenFeature([], tf.int64) for name in _NUMBERS}
    description |= {name: tf.io.FixedLenFeature([], tf.string) for name in _STRINGS}
    parsed = tf.io.parse_single_example(record, description)
    return {k: tf.cast(v, tf.int32) if v.dtype == tf.int64 else v for k, v in parsed.items()}


def in_memory(rows: Sequence[Row], feed_rank: int) -> tf.data.Dataset:
    """Rows as a dataset whose place can be saved, which one of a Python generator cannot."""
    stored = np.empty(len(rows), object)
    stored[:] = [serialized(row) for row in rows]
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(stored, tf.string))
    return dataset.map(lambda r: parse(r, feed_rank), num_parallel_calls=tf.data.AUTOTUNE)


def file_source(files: Mapping[str, Sequence[str]], feed_rank: int):
    """A SeqIO source of the files of each split."""
    import seqio  # writing needs TensorFlow alone

    def read(paths: tf.data.Dataset) -> tf.data.Dataset:
        dataset = tf.data.TFRecordDataset(paths)
        return dataset.map(lambda r: parse(r, feed_rank), num_parallel_calls=tf.data.AUTOTUNE)

    return seqio.FileDataSource(read, {split: list(paths) for split, paths in files.items()})


def write_shard(folder: str, name: str, rows: Iterable[Row]) -> Shard:
    """Writes one file of records, which appears whole or not at all."""
    path, count = places.join(folder, name), 0
    fresh = f"{path}.new"
    with tf.io.TFRecordWriter(fresh) as writer:
        for row in rows:
            writer.write(serialized(row))
            count += 1
    size, digest = measure(fresh)
    tf.io.gfile.rename(fresh, path, overwrite=True)
    return Shard(name, count, size, digest)


def measure(path: str) -> tuple[int, str]:
    """Size and digest of a file."""
    digest, size = hashlib.sha256(), 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def make_folder(folder: str) -> None:
    """Makes a folder and those above it, where they are not there."""
    tf.io.gfile.makedirs(folder)


def has_size(path: str, size: int) -> bool:
    """Whether there is a file of that size."""
    return bool(tf.io.gfile.exists(path)) and tf.io.gfile.stat(path).length == size


def check_sizes(folder: str, shards: Iterable[Shard]) -> None:
    """Refuses files that were cut or lost after they were written.

    TensorFlow reads a file that was cut between two records to its end, as if that were all.

    Raises:
      FormatError: a file is missing, or has another size than the manifest says.
    """
    for shard in shards:
        path = places.join(folder, shard.file)
        if not has_size(path, shard.bytes):
            there = tf.io.gfile.exists(path)
            found = f"{tf.io.gfile.stat(path).length} bytes" if there else "no such file"
            raise FormatError(
                f"{path}: expected {shard.bytes} bytes, as {MANIFEST} says, got {found}; copy the "
                "folder again, or delete it and prepare it again (`t5coref prepare --check` looks "
                "at all files)"
            )


def problem(path: str, shard: Shard, feed_rank: int, linearization: Linearization) -> str | None:
    """What is wrong with a file of records; None if nothing is."""
    if not tf.io.gfile.exists(path):
        return "is missing"
    size, digest = measure(path)
    if (size, digest) != (shard.bytes, shard.sha256):
        return f"has {size} bytes with digest {digest[:16]}; expected {shard.bytes} with " \
            f"{shard.sha256[:16]}"  # fmt: skip
    rows = list(read_rows(path, feed_rank))
    if len(rows) != shard.examples:
        return f"has {len(rows)} records; expected {shard.examples}"
    if rows:
        made = rows_of(linearization, document_of(rows[0]["document"]))
        for stored, row in zip(rows, made, strict=False):
            if any(not np.array_equal(stored[name], row[name]) for name in row):
                return f"document {stored['doc_id'].decode()!r} comes out otherwise with this " \
                    "release; prepare it again"  # fmt: skip
    return None


def read_rows(path: str, feed_rank: int) -> Iterator[Row]:
    """The rows of a file of records."""
    dataset = tf.data.TFRecordDataset([path]).map(lambda r: parse(r, feed_rank))
    for row in dataset.as_numpy_iterator():
        yield cast(Row, row)
