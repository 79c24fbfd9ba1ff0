"""Small corpora, a small vocabulary, and settings that point to them."""

from __future__ import annotations

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent
THIRD_PARTY = (
    "ignore:.*:DeprecationWarning",
    "ignore:.*:PendingDeprecationWarning",
    "ignore:.*:FutureWarning",
    "ignore:.*:ResourceWarning",
)
"""TensorFlow's and SeqIO's own, which they emit on import and while they run."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def documents():
    from t5coref.train.inputs import demo_stories

    return demo_stories(count=12, seed=3)


@pytest.fixture(scope="session")
def vocabulary_folder(tmp_path_factory, documents):
    """A folder with a spiece.model that spells the documents."""
    from t5coref.train.inputs import vocabulary

    folder = tmp_path_factory.mktemp("vocabulary")
    vocabulary(documents=documents, size=120).save(folder)
    return folder


@pytest.fixture
def corpus(tmp_path, documents, vocabulary_folder, monkeypatch):
    """A data folder with train.jsonl and dev.jsonl, named in the environment."""
    from t5coref.corpora import jsonl

    folder = tmp_path / "corpora"
    folder.mkdir()
    jsonl.write(documents[:8], folder / "train.jsonl")
    jsonl.write(documents[8:], folder / "dev.jsonl")
    monkeypatch.setenv("T5COREF_DATA", str(folder))
    monkeypatch.setenv("T5COREF_TOKENIZER", str(vocabulary_folder))
    monkeypatch.delenv("T5COREF_PREPARED", raising=False)
    return folder


@pytest.fixture
def task(corpus):
    """Makes tasks of the corpus, which are forgotten after the test."""
    import seqio

    from t5coref.data.task import coref_task

    made = []

    def make(name="stories", **changes):
        made.append(name)
        usual = {
            "linearization": "full-copy",
            "corpus": "jsonl",
            "files": {"train": "train.jsonl", "validation": "dev.jsonl"},
            "options": {"window": 24},
        }
        return coref_task(name, **usual | changes)

    yield make
    for name in made:
        seqio.TaskRegistry.remove(name)
