"""The attributes `Entity`, `SplitAnte` and `Bridge` that a document's nodes get in CoNLL-U."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from t5coref.core.anaphora import Anaphora, Link, Mention, Nodes, highest, tree
from t5coref.core.document import Document, Span, crosses
from t5coref.corpora.brackets import place
from t5coref.corpora.conllu_entities import BRIDGE, ENTITY, HEAD, NAMES, SPLIT, TYPES
from t5coref.corpora.report import Report

FIELDS = ("eid", "etype", "head", "other")
"""The fields of a bracket where the document was not read from CoNLL-U."""

_NAME = re.compile(r"[^-()\[\]|=,<:\s]+")


def fields_of(found: Anaphora) -> tuple[str, ...]:
    """The fields that brackets of a document have."""
    return found.fields if any(name in found.fields for name in NAMES) else FIELDS


def coreference(
    document: Document, found: Anaphora, nodes: Nodes, report: Report | None
) -> list[list[str]]:
    """The attributes of each node.

    What brackets cannot hold is left out and counted: mentions that do not refer, the later one of
    two that cross in one entity, and links of entities without mentions.
    """
    names = _names(found)
    kept = [m for cluster in _by_entity(found) for m in _writable(document, found, cluster, report)]
    kept.sort()  # positions in text order, whatever their entities
    numbers = _head_numbers(document, found, nodes)
    spans: list[Span] = []
    keys: list[str] = []
    brackets: list[str] = []
    for m in kept:
        mention = found.mentions[m]
        for k, part in enumerate(mention.parts, start=1):
            suffix = f"[{k}/{len(mention.parts)}]" if len(mention.parts) > 1 else ""
            spans.append(part)
            keys.append(names[mention.entity] + suffix)
            brackets.append("-".join(_values(found, mention, keys[-1], numbers[m])))
    out: list[list[str]] = [[] for _ in range(len(nodes))]
    for node, (closing, whole, opening) in enumerate(zip(*place(spans, len(nodes)), strict=True)):
        # An opening bracket runs up to the next parenthesis: nothing but one may follow it.
        cell = [f"{keys[i]})" for i in closing] + [f"({brackets[i]})" for i in whole]
        cell += [f"({brackets[i]}" for i in opening]
        if cell:
            out[node].append(f"{ENTITY}={''.join(cell)}")
    for attribute, links in ((BRIDGE, found.bridging), (SPLIT, found.split)):
        at: dict[int, list[str]] = defaultdict(list)
        for link in links:
            node = _place_of(found, link, kept)
            if node is None or not found.entities[link.antecedent].referring:
                _count(
                    report,
                    "dropped_relations",
                    f"document {document.doc_id!r}: {attribute} of entity "
                    f"{found.entities[link.anaphor].name!r} has no place in CoNLL-U",
                )
                continue
            relation = f":{link.relation}" if link.relation else ""
            at[node].append(f"{names[link.antecedent]}<{names[link.anaphor]}{relation}")
        for node, items in at.items():
            out[node].append(f"{attribute}={','.join(items)}")
    return out


def _names(found: Anaphora) -> list[str]:
    """Names that brackets can hold, all different; the documents' own where they can."""
    taken = {entity.name for entity in found.entities}
    out = []
    for i, entity in enumerate(found.entities):
        name, k = entity.name, i
        if not _NAME.fullmatch(name):
            while (name := f"e{k}") in taken:
                k += 1
            taken.add(name)
        out.append(name)
    return out


def _by_entity(found: Anaphora) -> Iterator[list[int]]:
    own: list[list[int]] = [[] for _ in found.entities]
    for i, mention in enumerate(found.mentions):
        own[mention.entity].append(i)
    yield from own


def _writable(
    document: Document, found: Anaphora, mentions: Sequence[int], report: Report | None
) -> list[int]:
    kept: list[int] = []
    for m in mentions:
        mention = found.mentions[m]
        name = found.entities[mention.entity].name
        rival = next((k for k in kept if _clash(found.mentions[k], mention)), None)
        if rival is None and found.entities[mention.entity].referring:
            kept.append(m)
            continue
        reason = (
            "does not refer, which CoNLL-U cannot say"
            if rival is None
            else f"crosses {found.mentions[rival].parts} of the same entity; brackets cannot hold "
            "both"
        )
        _count(
            report,
            "dropped_mentions",
            f"document {document.doc_id!r}: mention {mention.parts} of entity {name!r} {reason}",
        )
    return kept


def _clash(one: Mention, other: Mention) -> bool:
    """Whether the brackets of two mentions of an entity would be taken for each other's."""
    if len(one.parts) != len(other.parts):
        return False
    if len(one.parts) == 1:
        return crosses(one.parts[0], other.parts[0])
    return not (_apart(one, other) or _apart(other, one))


def _apart(one: Mention, other: Mention) -> bool:
    """Whether a mention ends before the other begins, or lies between two of its parts."""
    start, end = one.parts[0][0], one.parts[-1][1]
    gaps = zip(other.parts, other.parts[1:], strict=False)
    return end <= other.parts[0][0] or any(a[1] <= start and end <= b[0] for a, b in gaps)


def _head_numbers(document: Document, found: Anaphora, nodes: Nodes) -> list[int]:
    """The head of each mention among its nodes, from 1: as known, by the tree, or the first."""
    depths = tree(document)
    of_word = [node for node in range(len(nodes)) if nodes.is_word(node)]
    out = []
    for mention in found.mentions:
        head = mention.head
        runs = nodes.runs(mention)
        if head is None and depths is not None and runs:
            words = (highest(run, depths) for run in runs)
            head = of_word[min(words, key=lambda word: (depths[word], word))]
        own = [node for start, end in mention.parts for node in range(start, end)]
        out.append(1 if head is None else own.index(head) + 1)
    return out


def _values(found: Anaphora, mention: Mention, key: str, head: int) -> Iterator[str]:
    for field in fields_of(found):
        if field in NAMES:
            yield key
        elif field in TYPES:
            yield found.entities[mention.entity].type or ""
        elif field == HEAD:
            yield str(head)
        else:
            yield mention.attributes.get(field, "")


def _place_of(found: Anaphora, link: Link, kept: Sequence[int]) -> int | None:
    """The first node of the mention that a link is written at."""
    own = [m for m in kept if found.mentions[m].entity == link.anaphor]
    if link.mention in own:
        own = [link.mention]
    return found.mentions[own[0]].parts[0][0] if own else None


def _count(report: Report | None, kind: str, message: str) -> None:
    if report is not None:
        report.add(kind, message)  # type: ignore[arg-type]
