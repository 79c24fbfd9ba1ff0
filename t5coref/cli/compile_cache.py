"""Where compiled programs are kept from one command to the next."""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
MIN_SECONDS = 0.5  # programs that compile faster are not kept

HELP = f"""\
Compiled programs are kept in ~/.cache/t5coref/jax (or $XDG_CACHE_HOME/t5coref/jax), so that the
next command starts sooner; {VARIABLE} names another folder, and none if it is empty.
"""


def keep_compiled_programs() -> pathlib.Path | None:
    """Lets JAX keep its programs in the user's cache folder, unless it has been told where to.

    Must come before the first computation. Without a folder that can be written, nothing is kept.

    Returns:
      The folder, if it is ours.
    """
    if VARIABLE in os.environ:
        return None
    from t5coref.jobs.storage import cache_folder

    # Programs for a CPU do not run on every other one, and home folders are often shared.
    if (folder := cache_folder(f"jax/{_machine()}")) is None:
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    return folder


def _machine() -> str:
    """Tells processors apart that differ in their instructions."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
        features = next((x for x in text.splitlines() if x.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"
