"""Random documents with zeros, heads, parts, split antecedents and bridging, for the tests."""

from __future__ import annotations

from hypothesis import strategies as st

from t5coref.core.anaphora import Anaphora, Entity, Link, Mention, Nodes, Zero, spans, text_order
from t5coref.core.document import ANAPHORA, Annotation, Document

SENTENCES = ((0, 4), (4, 7), (7, 8))
COREFUD_FIELDS = ("eid", "etype", "head", "other")


def document(found: Anaphora, sentences=SENTENCES) -> Document:
    """A document of words that has this anaphora."""
    clusters = tuple(spans(found, Nodes(sentences, found.zeros)))
    return Document(
        doc_id="d",
        words=tuple(f"w{i}" for i in range(sentences[-1][1] if sentences else 0)),
        sentences=sentences,
        annotation=Annotation(clusters),
        extra={ANAPHORA: found.to_json()},
    )


@st.composite
def anaphoras(draw, fields=COREFUD_FIELDS, silent=False, links=False) -> Anaphora:
    """Mentions with different nodes, each of one entity; crossing ones, too."""
    places = [(s, k) for s, (start, end) in enumerate(SENTENCES) for k in range(end - start + 1)]
    zeros = []
    for sentence, after in sorted(draw(st.lists(st.sampled_from(places), max_size=3))):
        number = 1 + sum(zero[:2] == (sentence, after) for zero in zeros)
        deps = draw(st.sampled_from(["_", "1:nsubj", "2:nsubj", "2:obj", "1:obj|2:obl:of"]))
        zeros.append(Zero(sentence, after, number, ("_",) * 7 + (deps, "_")))
    n = len(Nodes(SENTENCES, zeros))
    points = st.sets(st.integers(0, n), min_size=2, max_size=4).map(sorted)
    cuts = draw(st.lists(points, max_size=7, unique_by=tuple))
    entities = draw(st.integers(1, 4))
    mentions = []
    for ends in cuts:
        ends = ends if len(ends) != 3 else ends[:2]
        parts = tuple(zip(ends[::2], ends[1::2], strict=True))
        nodes = [node for start, end in parts for node in range(start, end)]
        head = draw(st.sampled_from(nodes)) if "head" in fields else None
        if any(mention.parts == parts for mention in mentions):
            continue
        mentions.append(Mention(draw(st.integers(0, entities - 1)), parts, head))
    mentions.sort(key=text_order)
    split, bridging = [], []
    if links and mentions:
        of = st.integers(0, entities - 1)
        for anaphor, antecedent in draw(st.lists(st.tuples(of, of), max_size=5, unique=True)):
            split += [Link(anaphor, antecedent)] if antecedent < anaphor else []
        one = st.integers(0, len(mentions) - 1)
        for anaphor, anchor in draw(st.lists(st.tuples(one, one), max_size=3)):
            bridging.append(
                Link(mentions[anaphor].entity, mentions[anchor].entity, anaphor, anchor, "part")
            )
    refers = draw(st.tuples(*[st.booleans() if silent else st.just(True)] * entities))
    return Anaphora(
        entities=tuple(Entity(f"e{i}", None, refer) for i, refer in enumerate(refers)),
        mentions=tuple(mentions),
        zeros=tuple(zeros),
        split=tuple(split),
        bridging=tuple(bridging),
        fields=fields if mentions else (),
    )
