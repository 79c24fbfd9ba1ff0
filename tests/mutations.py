"""Broken versions of files: a few edits of bytes, or of a format's own signs."""

from __future__ import annotations

import contextlib
import os
import signal
import tracemalloc

from hypothesis import strategies as st

SIGNS = [
    b"", b"\n", b"\n\n", b"\r\n", b"\t", b" ", b"(", b")", b"|", b"-", b"=", b",", b"[", b"]",
    b"{", b"}", b'"', b"\\", b"<", b">", b"#", b"_", b"*", b"[MASK]", b"[1/2]", b"[0/0]", b"[2/2]",
    b"0", b"-1", b"1.5", b"1e999", b"NaN", b"null", b"true", b"99999999999999999999", b"9" * 5000,
    b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u00b2".encode(),
    "\u0663".encode(), "\u2028".encode(), "\u3000".encode(), b"\\ud800", b"[" * 2000,
    b'{"a":' * 2000, b"#begin document (x); part 000", b"#end document", b"# newdoc id = x",
    b"# newdoc", b"# global.Entity = head-eid", b"# global.columns = IDENTITY",
    b"# global.columns = ID IDENTITY FORM", b"# global.columns =", b"&lol;", b"<!DOCTYPE x>",
    b'<?xml version="1.0" encoding="utf-7"?>', b'<?xml version="1.0" encoding="shift_jis"?>',
]  # fmt: skip
"""What is put in: brackets, numbers that are none, too large ones, deep nesting, bad UTF-8."""

SECONDS = 60
"""After so long something that reads a few kilobytes is taken to hang."""

MEGABYTES = 64
"""So much memory reading a few kilobytes may take at most."""


@st.composite
def mutations(draw, samples: list[bytes]) -> bytes:
    """One of the samples after one to six edits."""
    content = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 6))):
        n = len(content)
        start = draw(st.integers(0, n))
        end = min(n, start + draw(st.one_of(st.just(0), st.integers(1, 12), st.integers(0, n))))
        kind = draw(st.sampled_from(["put", "put", "put", "flip", "repeat", "cut", "line", "swap"]))
        if kind == "put":
            new = draw(st.one_of(st.sampled_from(SIGNS), st.binary(max_size=4)))
            content = content[:start] + new + content[end:]
        elif kind == "flip" and start < n:
            changed = bytes([content[start] ^ (1 << draw(st.integers(0, 7)))])
            content = content[:start] + changed + content[start + 1 :]
        elif kind == "repeat":
            content = content[:end] + content[start:end] * draw(st.integers(1, 3)) + content[end:]
        elif kind == "cut":
            content = content[:start]
        else:
            lines = content.split(b"\n")
            i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if kind == "line":
                lines.insert(i, lines[j])
            else:
                lines[i], lines[j] = lines[j], lines[i]
            content = b"\n".join(lines)
    return content


@contextlib.contextmanager
def bounded():
    """Fails what hangs, and what takes more memory than a small file can need."""

    def hangs(*_):
        raise AssertionError(f"still reading after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
        assert peak < MEGABYTES << 20, f"{peak >> 20} MB"
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def examples(few: int) -> int:
    """How many examples to try: `T5COREF_FUZZ` times as many as usual."""
    return few * int(os.environ.get("T5COREF_FUZZ", "1"))
