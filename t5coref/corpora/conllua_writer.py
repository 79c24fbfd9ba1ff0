"""Writes one document as CONLL-UA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from t5coref.core.anaphora import Anaphora, Nodes, anaphora
from t5coref.core.document import Document, Span, crosses
from t5coref.corpora.brackets import check_name, place
from t5coref.corpora.files import one_cell
from t5coref.corpora.report import Report

CELLS = 9
"""Columns from FORM to MISC."""


def dump(document: Document, columns: Sequence[str], report: Report | None) -> str:
    """A document under a header with these columns: CoNLL-U's, IDENTITY, BRIDGING, others."""
    name = check_name(document)
    found = anaphora(document)
    nodes = Nodes(document.sentences, found.zeros)
    named = _markable_names(found)
    identity = _identity(found, named)
    bridging = _bridging(document, found, named, report)
    brackets = [_column(found, named, cells, len(nodes)) for cells in (identity, bridging)]
    kept = [found.columns.get(column, {}) for column in columns[CELLS + 3 :]]
    rows = [
        [*(cells[node] for cells in brackets), *(column.get(node, "_") for column in kept)]
        for node in range(len(nodes))
    ]
    out = [f"# global.columns = {' '.join(columns)}", f"# newdoc id = {name}"]
    speaker: str | None = None
    behind = iter(rows)
    zeros = list(reversed(found.zeros))
    for number, (start, end) in enumerate(document.sentences):
        out.append(f"# sent_id = {name}-{number + 1}")
        own = _speaker(document, number, report)
        if own != speaker:
            out.append(f"# speaker = {'_' if own is None else one_cell(own)}")
            speaker = own
        out.append(f"# text = {one_cell(document.span_text((start, end)))}")
        for after in range(end - start + 1):
            if after:
                word = document.words[start + after - 1]
                out.append(_line(str(after), [word, *"_" * (CELLS - 1)], next(behind)))
            while zeros and (zeros[-1].sentence, zeros[-1].after) == (number, after):
                zero = zeros.pop()
                out.append(_line(f"{after}.{zero.number}", zero.cells, next(behind)))
        out.append("")
    return "\n".join(out) + "\n"


def _line(number: str, cells: Sequence[str], brackets: Sequence[str]) -> str:
    return "\t".join(map(one_cell, [number, *cells, *brackets]))


def _speaker(document: Document, number: int, report: Report | None) -> str | None:
    start, end = document.sentences[number]
    if document.speakers is None:
        return None
    speakers = set(document.speakers[start:end])
    if len(speakers) == 1:
        return speakers.pop()
    if report is not None:
        report.add(
            "lost_speakers",
            f"document {document.doc_id!r}: sentence {number} has several speakers; CONLL-UA holds "
            "one a sentence",
        )
    return None


def _markable_names(found: Anaphora) -> list[str]:
    """The mentions' own names, and new ones for those without."""
    taken = {mention.name for mention in found.mentions}
    out = []
    k = 0
    for mention in found.mentions:
        name = mention.name
        while name is None:
            k += 1
            if f"markable_{k}" not in taken:
                name = f"markable_{k}"
        out.append(name)
    return out


def _identity(found: Anaphora, names: Sequence[str]) -> dict[int, list[str]]:
    """What the bracket of each mention says."""
    elements: dict[int, list[str]] = defaultdict(list)
    for link in found.split:
        own = [i for i, m in enumerate(found.mentions) if m.entity == link.antecedent]
        if own:
            at = link.mention if link.mention in own else own[-1]
            elements[at].append(_name(found, link.anaphor))
    out = {}
    for i, mention in enumerate(found.mentions):
        fields = {"EntityID": _name(found, mention.entity), "MarkableID": names[i]}
        if mention.minimum is not None:
            first, end = mention.minimum
            fields["Min"] = str(end) if end == first + 1 else f"{first + 1},{end}"
        if i in elements:
            fields["ElementOf"] = ",".join(elements[i])
        out[i] = [_bracket(fields | dict(mention.attributes))]
    return out


def _bridging(
    document: Document, found: Anaphora, names: Sequence[str], report: Report | None
) -> dict[int, list[str]]:
    """What the brackets of bridging anaphors say; anchors that are not known are counted."""
    out: dict[int, list[str]] = defaultdict(list)
    for link in found.bridging:
        if link.mention is None or link.anchor is None:
            if report is not None:
                report.add(
                    "dropped_relations",
                    f"document {document.doc_id!r}: bridging of entity "
                    f"{_name(found, link.anaphor)!r} has no mention as anchor, as CONLL-UA needs",
                )
            continue
        fields = {"MarkableID": names[link.mention]}
        if link.relation is not None:
            fields["Rel"] = link.relation
        fields["MentionAnchor"] = names[link.anchor]
        fields["EntityAnchor"] = _name(found, link.antecedent)
        out[link.mention].append(_bracket(fields))
    return out


def _bracket(fields: Mapping[str, str]) -> str:
    return "|".join(f"{key}={value}" for key, value in fields.items())


def _name(found: Anaphora, entity: int) -> str:
    return found.entities[entity].name


def _column(
    found: Anaphora, names: Sequence[str], brackets: Mapping[int, list[str]], length: int
) -> list[str]:
    """The cells of a column in which each of these mentions has its brackets.

    A bare `)` closes what was opened last; where mentions cross, all brackets are closed by name.
    """
    spans: list[Span] = []
    texts: list[tuple[str, str]] = []
    for i, own in brackets.items():
        for part in found.mentions[i].parts:
            for text in own:
                spans.append(part)
                texts.append((text, names[i]))
    by_name = _any_cross(spans)
    out = []
    for closing, whole, opening in zip(*place(spans, length), strict=True):
        cell = [f"{texts[i][1] if by_name else ''})" for i in closing]
        cell += [f"({texts[i][0]})" for i in whole] + [f"({texts[i][0]}" for i in opening]
        out.append("".join(cell) or "_")
    return out


def _any_cross(spans: Sequence[Span]) -> bool:
    """Whether any two spans cross; a stack of open ones finds it in one pass."""
    stack: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        while stack and stack[-1][1] <= span[0]:
            stack.pop()
        if stack and crosses(stack[-1], span):
            return True
        stack.append(span)
    return False
