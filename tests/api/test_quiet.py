"""In a fresh process: spaCy finds the component by its entry point; nothing is said, fetched or
changed that is the user's.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

ENTRY_POINT = "t5coref = t5coref.api.spacy_component:make_component"
"""What setup.py declares in the group `spacy_factories`."""

SCRIPT = """
import logging, socket, sys

heard = []
class Listening(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())
logging.getLogger().addHandler(Listening(level=logging.WARNING))
def refused(*args, **kwargs):
    raise AssertionError("the network was asked for")
socket.socket.connect = socket.getaddrinfo = refused

import spacy
nlp = spacy.blank("en")
heavy = {"jax", "t5coref.corpora", "t5coref.view", "t5coref.api.pipeline"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
nlp.add_pipe("t5coref", config={"model": sys.argv[1]})
assert "jax" not in sys.modules, "the component loads its model before the first document"

import jax
def state():
    return {
        **jax.config.values,
        "handlers": list(logging.getLogger().handlers),
        "levels": [logging.getLogger(name).level for name in (None, "jax", "absl")],
    }
before = state()
import t5coref
found = t5coref.load(sys.argv[1]).predict("the dog saw it and she saw him .")
doc = nlp(found.text)
assert doc._.coref.clusters == found.clusters, (doc._.coref.clusters, found.clusters)
assert found.clusters, found
changed = {key: value for key, value in state().items() if before[key] != value}
assert not changed, changed
assert heard == [], heard
"""


def test_a_silent_process_without_network(model_folder, tmp_path):
    installed = tmp_path / "t5coref_spacy_factories-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: t5coref-factories\nVersion: 0\n"
    )
    (installed / "entry_points.txt").write_text(f"[spacy_factories]\n{ENTRY_POINT}\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(model_folder)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_predictions_need_no_accelerator_libraries():
    modules = ("entities", "prediction", "pronouns", "resolve", "table", "spacy_documents")
    blocked = ["jax", "jaxlib", "flax", "tensorflow", "torch", "pandas", "pyarrow"]
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
    code += "\n".join(f"import t5coref.api.{module}" for module in modules)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
