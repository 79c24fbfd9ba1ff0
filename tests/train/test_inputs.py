"""Documents from files: patterns, folders, lists of ids, and what is said when there are none."""

from __future__ import annotations

import dataclasses

import pytest

from t5coref import corpora
from t5coref.core.errors import ConfigError
from t5coref.train.inputs import corpus_files, demo_stories, digest, together, vocabulary


@pytest.fixture(scope="module")
def folder(stories, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write = corpora.get("jsonl").module.write
    write(stories[:5], folder / "b.jsonl")
    write(stories[5:], folder / "a.jsonl")
    return folder


def names(documents):
    return [d.doc_id for d in documents]


def test_patterns_folders_and_lists(folder, stories):
    swapped = names(stories[5:]) + names(stories[:5])
    assert names(corpus_files(files=f"{folder}/*.jsonl", corpus="jsonl")) == swapped
    assert names(corpus_files(files=str(folder))) == swapped
    both = [f"{folder}/b.jsonl", f"{folder}/*.jsonl"]
    assert names(corpus_files(files=both)) == names(stories)  # no file is read twice


def test_ids_choose(folder, stories, tmp_path):
    (tmp_path / "some.ids").write_text(f"{stories[6].doc_id}\n\n{stories[1].doc_id}\n")
    chosen = corpus_files(files=f"{folder}/*", ids=str(tmp_path / "some.ids"))
    assert names(chosen) == [stories[6].doc_id, stories[1].doc_id]
    (tmp_path / "more.ids").write_text("unheard-of\n")
    with pytest.raises(ConfigError, match=r"lists 1 documents.*unheard-of.*have 12: generated"):
        corpus_files(files=f"{folder}/*", ids=str(tmp_path / "more.ids"))


def test_ids_may_hold_blanks(stories, tmp_path):
    titled = dataclasses.replace(stories[0], doc_id="The Turn of the Screw")
    corpora.get("jsonl").module.write([titled, stories[1]], tmp_path / "two.jsonl")
    (tmp_path / "one.ids").write_text(f"{titled.doc_id}\r\n")
    chosen = corpus_files(files=str(tmp_path / "two.jsonl"), ids=str(tmp_path / "one.ids"))
    assert names(chosen) == [titled.doc_id]


def test_nothing_there(folder):
    with pytest.raises(ConfigError, match=r"no file matches '.*\.conll'"):
        corpus_files(files=f"{folder}/*.conll")
    with pytest.raises(ConfigError, match="no files are given"):
        corpus_files(files=[])


def test_demo_stories_by_seed():
    assert names(demo_stories(count=2, seed=3)) == ["generated-3-0", "generated-3-1"]
    assert demo_stories(count=1, seed=1)[0].words != demo_stories(count=1, seed=2)[0].words


def test_vocabulary_spells_its_documents(stories):
    made = vocabulary(documents=stories, size=120)
    pieces = [made.pieces(d).ids for d in stories]
    assert all(made.unk_id not in ids for ids in pieces)


def test_digest(stories):
    assert digest(stories) == digest(list(stories))
    assert digest(stories) != digest(stories[1:])
    assert digest(stories[:1]) != digest([stories[0].with_annotation(None)])


def test_corpora_are_put_together():
    """They keep their order, and a corpus is seen as often as it is given."""
    first, second = (demo_stories(count=2, seed=seed) for seed in (1, 2))
    assert together(parts=[first, second, second]) == [*first, *second, *second]
