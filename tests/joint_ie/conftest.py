"""Documents of three sentences with three entities and three relations, and tiny networks."""

from __future__ import annotations

import functools

import pytest

from t5coref.core.document import Annotation, Document, Relation
from t5coref.joint_ie import joint_model, relations_of
from t5coref.model import Format, from_scratch
from t5coref.nn.joint_ie import (
    BilinearCoreference,
    EntityRelations,
    GraphCompatibility,
    GraphPropagation,
    JointIE,
    MentionDetector,
    MentionRelations,
    SpanRepresentation,
)
from t5coref.nn.stack import T5Config
from t5coref.train.inputs import vocabulary
from t5coref.train.listener import Listener
from t5coref.train.optimizers import adamw, encoder_and_task

TINY = T5Config(
    vocab_size=1,
    emb_dim=32,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=16,
    mlp_dim=64,
    dropout_rate=0.0,
)
PEOPLE = ("Anna", "Bela", "Carl", "Dora", "Emil", "Fritz")
FIRMS = ("Acme", "Borax", "Corvid")
CITIES = ("Paris", "Quito", "Riga")


def document(i: int) -> Document:
    """Mentions of one word, and one of two ("the firm")."""
    person, firm, city = PEOPLE[i], FIRMS[i % 3], CITIES[(i + i // 3) % 3]
    text = (
        f"{person} founded {firm} . the firm is in {city} . the founder of {firm} lives in {city} ."
    )
    words = tuple(text.split())
    clusters = (((0, 1), (10, 12)), ((2, 3), (4, 6), (13, 14)), ((8, 9), (16, 17)))
    relations = [Relation(0, 1, "founded"), Relation(1, 2, "based in")]
    relations += [Relation(0, 2, "lives in")] if i % 2 else []
    sentences = ((0, 4), (4, 10), (10, 18))
    return Document(
        doc_id=f"doc-{i}",
        words=words,
        sentences=sentences,
        annotation=Annotation(clusters, tuple(relations)),
    )


@pytest.fixture(scope="session")
def documents():
    return [document(i) for i in range(6)]


@pytest.fixture(scope="session")
def base(documents):
    tokenizer = vocabulary(documents=documents, size=90)
    options = {"window": 64, "max_clusters": 8, "max_depth": 4}
    return from_scratch(TINY, tokenizer, format=Format("full-copy", options))


def heads(setting: str) -> JointIE:
    """One of the published settings, with small parts and no dropout."""
    spans = SpanRepresentation(16)
    detector = MentionDetector(max_width=4, ratio=0.5, hidden_dim=32, dropout_rate=0.0)
    coreference = BilinearCoreference(dropout_rate=0.0)
    of_entities = EntityRelations(0, projection_dim=32, blocks=2, dropout_rate=0.0)
    of_mentions = MentionRelations(0, hidden_dim=16, dropout_rate=0.0, per_gold_pair=True)
    return {
        "coreference": lambda: JointIE(spans, detector, coreference),
        "relations": lambda: JointIE(spans, relations=of_entities),
        "joint": lambda: JointIE(spans, detector, coreference, of_entities),
        "joint-m": lambda: JointIE(spans, detector, coreference, of_mentions),
        "gp": lambda: JointIE(
            spans, detector, coreference, of_mentions, propagation=GraphPropagation()
        ),
        "gc": lambda: JointIE(
            spans, detector, coreference, of_mentions, compatibility=GraphCompatibility()
        ),
    }[setting]()


@pytest.fixture(scope="session")
def make_model(base, documents):
    """Makes an untrained model of a setting."""

    @functools.cache
    def make(setting="joint-m", **options):
        return joint_model(
            base=base,
            heads=heads(setting),
            relations=relations_of(documents=documents),
            setting=setting,
            **options,
        )

    return make


@functools.cache
def fast(total_steps):
    """One object for all runs, so that they share a program."""
    quick = functools.partial(adamw, peak=5e-3, warmup=0, decay="constant")
    return encoder_and_task(total_steps, encoder=quick, task=quick)


@pytest.fixture(scope="session")
def optimizer():
    return fast


class CrashError(Exception):
    """The end of a process, as far as the run can tell."""


@pytest.fixture
def dying():
    """Makes a listener that ends the run as a crash would, after a step."""

    class Dying(Listener):
        def __init__(self, step):
            self.step = step

        def stepped(self, row):
            if row["step"] == self.step:
                raise CrashError

    return Dying, CrashError
