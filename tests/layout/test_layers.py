"""Who may import whom (docs/architecture.md, section 4), and what works without jax."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "t5coref"

# Layer -> the layers of ours that it may import, besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "core": set(),
    "released": {"core"},
    "linearize": {"core"},
    "corpora": {"core"},
    "demo": {"core", "corpora"},
    "view": {"core"},
    "report": {"core", "view"},
    "tokenizer": {"core"},
    "nn": set(),
    "checkpoints": {"nn"},
    "decode": {"core"},
    "published": {"core", "linearize", "tokenizer", "nn"},
    "model": {
        "_version", "checkpoints", "core", "linearize", "nn", "published", "released", "tokenizer",
    },
    "headed": {"checkpoints", "core", "model", "nn", "tokenizer"},
    "adapters": {"checkpoints", "core", "model", "nn", "tokenizer"},
    "convert": {"checkpoints", "core", "linearize", "model", "nn", "published", "tokenizer"},
    "compress": {"checkpoints", "core", "model", "nn"},
    "rounds": {"core", "nn"},
    "predict": {"core", "linearize", "tokenizer", "decode", "nn", "model", "rounds"},
    "questions": {"core", "linearize", "model", "nn", "predict", "rounds"},
    "predictors": {"linearize", "model", "predict", "questions"},
    "jobs": {"core", "corpora", "predict"},
    "serve": {"_version", "core", "corpora", "mentions", "predict"},
    "data": {
        "_version", "core", "corpora", "downstream", "joint_ie", "linearize", "mrp", "tokenizer",
    },
    "train": {
        "adapters", "core", "corpora", "demo", "linearize", "tokenizer", "nn", "decode", "model",
        "predict", "predictors",
    },
    "joint_ie": {
        "checkpoints", "core", "headed", "linearize", "model", "nn", "predict", "rounds",
        "tokenizer", "train",
    },
    "downstream": {
        "adapters", "checkpoints", "core", "corpora", "decode", "headed", "joint_ie", "model", "nn",
        "predict", "tokenizer", "train",
    },
    "mentions": {
        "adapters", "core", "corpora", "downstream", "headed", "joint_ie", "linearize", "model",
        "nn", "predict", "rounds", "tokenizer", "train",
    },
    "extractors": {
        "core", "decode", "joint_ie", "mentions", "model", "predict", "predictors", "released",
    },
    "api": {
        "core", "corpora", "decode", "extractors", "mentions", "model", "predict", "released",
        "view",
    },
    "mrp": {
        "_version", "core", "corpora", "downstream", "jobs", "model", "nn", "tokenizer", "train",
    },
    "t5x_adapter": {"core", "data", "decode", "nn", "train"},
    "t5x_joint_ie": {"core", "data", "joint_ie", "nn", "t5x_adapter"},
    "t5x_mrp": {"core", "data", "mrp", "nn", "t5x_adapter"},
    "plan": {"core", "linearize", "tokenizer", "nn", "decode", "predict", "train"},
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": {"*"},
}  # fmt: skip

# What decode may take of core: the table, nothing of documents.
DECODE_OF_CORE = {"t5coref.core.rules", "t5coref.core.errors"}

NO_ACCELERATOR_LIBRARIES = ("jax", "jaxlib", "flax", "tensorflow", "torch", "seqio", "t5x")


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: pathlib.Path) -> set[str]:
    """Modules that a file imports, wherever in the file; `from t5coref import x` counts as x."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "t5coref":
                found |= {f"t5coref.{alias.name}" for alias in node.names}
            else:
                found.add(node.module or "")
    return found


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, layer(".".join(("t5coref", *path.relative_to(PACKAGE).with_suffix("").parts)))


def test_table_names_every_layer():
    there = {name for _, name in sources()}
    assert there <= set(MAY_IMPORT), f"without a row: {there - set(MAY_IMPORT)}"
    assert set(MAY_IMPORT) <= there, f"without a file: {set(MAY_IMPORT) - there}"


def test_layers_import_only_what_they_may():
    wrong = []
    for path, name in sources():
        allowed = MAY_IMPORT[name]
        for module in imports(path):
            if not module.startswith("t5coref"):
                continue
            target = layer(module)
            if target != name and target not in allowed and "*" not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
            if name == "decode" and target == "core" and module not in DECODE_OF_CORE:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_only_the_command_line_prints():
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, name in sources()
        if name not in ("cli", "__main__")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert printing == []


def test_no_gin_configurable_in_the_library():
    marked = [path for path, _ in sources() if "@gin.configurable" in path.read_text("utf-8")]
    assert marked == []


def test_gin_holds_no_package():
    assert list((ROOT / "gin").rglob("__init__.py")) == []
    assert list((ROOT / "gin").rglob("*.gin"))


BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked here")
sys.meta_path.insert(0, Blocker())
import {modules}
"""


@pytest.mark.parametrize(
    "modules",
    [
        "t5coref, t5coref.core.metrics, t5coref.core.automaton, t5coref.core.segment",
        "t5coref.linearize, t5coref.tokenizer, t5coref.corpora, t5coref.demo",
        "t5coref.cli.score, t5coref.cli.linearize, t5coref.cli.predict, t5coref.cli.train",
        "t5coref.cli.view, t5coref.cli.show, t5coref.view, t5coref.cli.report, t5coref.report",
    ],
)
def test_light_layers_need_no_accelerator_libraries(modules):
    code = BLOCK.format(blocked=set(NO_ACCELERATOR_LIBRARIES), modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
