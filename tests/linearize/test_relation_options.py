"""The names of relations and of entity types: symbols, and what is refused."""

from __future__ import annotations

import pytest
from formats import document
from relations import STORY, WIDE, make, typed

from t5coref.core.errors import ConfigError, DocumentError
from t5coref.linearize import FORMATS, RELATIONS, examples, get, inventory, symbols_of
from t5coref.tokenizer import Tokenizer


@pytest.mark.parametrize("name", RELATIONS)
def test_unknown_names_are_refused_with_the_document(tokenizer, name):
    lin = make(tokenizer, name, **WIDE | {"relations": ("a", "b")})
    with pytest.raises(DocumentError, match=r"document 'd': relation type 'c' is none of the 2"):
        examples(lin, STORY)
    lin = typed(tokenizer, name, entity_types=("X",))
    with pytest.raises(DocumentError, match=r"document 'd': entity type 'Y' is none of the 1"):
        examples(lin, STORY)


@pytest.mark.parametrize("name", RELATIONS)
def test_options_that_are_no_names(tokenizer, name):
    for options, message in [
        ({"relations": "P17"}, "relations is 'P17'; expected a list of names"),
        ({"relations": ["P17", ""]}, "expected a list of names"),
        ({"entity_types": ["X", "Y", "X"]}, "entity_types has 'X' more than once"),
    ]:
        with pytest.raises(ConfigError, match=message):
            symbols_of(name, options)
    bare = Tokenizer(tokenizer.model, FORMATS[name].symbols)
    with pytest.raises(ConfigError, match="no symbol '<rel:a>'"):
        get(name, bare, relations=["a"])


@pytest.mark.parametrize("name", RELATIONS)
def test_symbols_depend_on_the_options(tokenizer, name):
    fixed = FORMATS[name].symbols
    assert symbols_of(name) == fixed
    lin = typed(tokenizer, name)
    own = lin.symbols[len(fixed):]  # fmt: skip
    kinds = ["<type:X>", "<type:Y>"] if name == "relation-text" else [
        "<type>", "<type:X>", "<type:Y>"
    ]  # fmt: skip
    assert list(own) == [*kinds, "<rel:a>", "<rel:b>", "<rel:c>"]
    assert symbols_of("full-copy", {"window": 40}) == FORMATS["full-copy"].symbols


def test_the_inventory_of_documents():
    assert inventory([STORY, document("the dog"), document("the dog", [])]) == {
        "relations": ("a", "b", "c"),
        "entity_types": ("X", "Y"),
    }
