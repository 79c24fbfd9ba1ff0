"""Which relation types there are, and the heads' composition on a card."""

from __future__ import annotations

import json

import pytest

from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.headed import describe
from t5coref.joint_ie.composition import build
from t5coref.joint_ie.inventory import inventory, relations_in_file, relations_of


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"Na": 0, "P2": 2, "P1": 1}', ("P1", "P2")),
        ('{"P6": "head of government", "P17": "country"}', ("P6", "P17")),
        ('["b", "a"]', ("b", "a")),
        ("b\na\n", ("b", "a")),
    ],
)
def test_files(tmp_path, content, names):
    path = tmp_path / "relations"
    path.write_text(content)
    assert relations_in_file(file=path) == names


def test_refused_inventories(tmp_path, documents):
    path = tmp_path / "relations"
    path.write_text("[1, 2]")
    with pytest.raises(FormatError, match="expected names of relations"):
        relations_in_file(file=path)
    with pytest.raises(ConfigError, match="twice: a"):
        inventory(["a", "b", "a"])
    with pytest.raises(ConfigError, match="no relation type"):
        relations_of(documents=[])
    assert relations_of(documents=documents) == ("based in", "founded", "lives in")


def test_the_files_of_redocred(shared):
    folder = shared / "data" / "redocred"
    names = relations_in_file(file=folder / "rel_info.json")
    assert len(names) == 96
    assert sorted(relations_in_file(file=folder / "rel2id.json")) == sorted(names)


@pytest.mark.parametrize("setting", ["coreference", "relations", "joint", "joint-m", "gp", "gc"])
def test_compositions_come_back(make_model, setting):
    heads = make_model(setting).heads
    assert build(json.loads(json.dumps(describe(heads)))) == heads
    if heads.relations is not None:
        assert heads.relations.types == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "Telepathy"}, "a part 'Telepathy'"),
        ({"part": "Prediction"}, "a part 'Prediction'"),
        ({"guess": 3}, "part JointIE cannot be made"),
    ],
)
def test_cards_of_another_version(make_model, change, message):
    with pytest.raises(MismatchError, match=message):
        build(describe(make_model("joint-m").heads) | change)
