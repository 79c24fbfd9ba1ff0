"""What SeqIO's tools print of a task, and when two vocabularies are one."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("seqio")

import tensorflow as tf

from t5coref.core.errors import ConfigError
from t5coref.data.task import task_vocabulary
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.tokenizer import Tokenizer


def test_targets_and_inputs_are_readable(task, documents):
    made = task(options={"window": 500})
    row = next(made.get_dataset(None, "validation", shuffle=False).as_numpy_iterator())
    vocabulary = made.output_features["targets"].vocabulary
    text = vocabulary.decode(row["targets"])
    opened = sum(len(c) for c in documents[8].annotation.clusters)
    assert text.split().count("<m>") == text.split().count("</m>") == opened
    assert "<copy> <m> <copy>" in text
    words = vocabulary.decode(row["inputs"])
    assert words.split()[-1] == "</s>"
    assert words.replace(" ", "").startswith("".join(documents[8].words[:5]))


def test_tensors_decode_as_lists_do(task):
    vocabulary = task_vocabulary(task())
    ids = vocabulary.encode("<m> <copy> | 0 </m>")
    rows = tf.constant([[*ids, 0, 0], [*ids, 1, 3]])
    texts = vocabulary.decode_tf(rows).numpy()
    assert [t.decode() for t in texts] == [vocabulary.decode(row) for row in rows.numpy().tolist()]
    assert vocabulary.decode_tf(rows[0]).numpy().decode() == "<m> <copy> | 0 </m>"
    assert vocabulary.encode_tf(tf.constant("<m> <copy> | 0 </m>")).numpy().tolist() == ids


def test_ids_are_their_own_encoding_and_sentinels_have_names(task):
    vocabulary = task_vocabulary(task())
    tokenizer = vocabulary.wrapped
    assert vocabulary.encode([5, 6, 7]) == [5, 6, 7]
    last = tokenizer.size - len(tokenizer.symbols) - 1
    assert vocabulary.encode("<extra_id_0> <extra_id_99>") == [last, last - 99]
    assert vocabulary.vocab_size == tokenizer.size
    assert vocabulary.decode([tokenizer.size + 5]).strip() == tokenizer.piece(tokenizer.unk_id)


def test_vocabularies_are_equal_by_fingerprint(task, tokenizer):
    one, other = task_vocabulary(task()), task_vocabulary(task("again"))
    assert one == other
    assert one is not other
    assert one != CorefVocabulary(lambda: tokenizer)
    assert one != CorefVocabulary(lambda: Tokenizer(one.wrapped.model, ("<m>",)))


def test_they_travel_to_other_processes_unresolved(task):
    vocabulary = task_vocabulary(task())
    assert vocabulary.vocab_size
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again == vocabulary


def test_the_tokenizer_is_looked_for_when_it_is_needed(task, monkeypatch):
    monkeypatch.delenv("T5COREF_TOKENIZER")
    vocabulary = task_vocabulary(task())
    assert vocabulary.eos_id == 1
    with pytest.raises(ConfigError, match="T5COREF_TOKENIZER"):
        _ = vocabulary.vocab_size
