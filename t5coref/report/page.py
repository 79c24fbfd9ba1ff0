"""The report as one HTML page: scores, errors, links, documents and examples of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from t5coref.core.document import Document, Span
from t5coref.core.metrics import PRF
from t5coref.report.charts import colour, curves, stacked_bars
from t5coref.report.corrections import Correction, Kind
from t5coref.report.english import MentionType
from t5coref.report.links import Outcome, bin_names
from t5coref.report.runs import METRICS, Case, Run
from t5coref.view.markup import counted, element, escaped
from t5coref.view.shell import asset, filled, policy

PACKAGE = "t5coref.report"
EXAMPLES = 10
"""Examples of each kind of error that a page shows of each run."""
CONTEXT = 8
"""Words on either side of an example."""

_TITLES = {
    "muc": "MUC", "b3": "B³", "ceafe": "CEAF-e", "lea": "LEA", "conll": "CoNLL",
    "mentions": "mentions",
}  # fmt: skip


def page(runs: Sequence[Run], *, title: str = "t5coref report") -> str:
    """A self-contained HTML page; the runs are compared with the first of them."""
    script = asset(PACKAGE, "report.js")
    parts = {
        "policy": policy(script),
        "title": escaped(title),
        "style": asset("t5coref.view", "page.css") + asset(PACKAGE, "report.css"),
        "content": "\n".join(_sections(runs)),
        "script": script,
    }
    return filled(asset(PACKAGE, "report.html"), parts)


def _sections(runs: Sequence[Run]) -> Iterator[str]:
    documents = [case.document for case in runs[0].cases]
    words = sum(len(document.words) for document in documents)
    clusters = sum(len(case.key) for case in runs[0].cases)
    mentions = sum(len(cluster) for case in runs[0].cases for cluster in case.key)
    said = [
        counted(len(runs), "run"),
        counted(len(documents), "document"),
        counted(words, "word"),
        counted(mentions, "mention"),
        counted(clusters, "entity", "entities"),
    ]
    yield element("p", "The key: " + " · ".join(said[1:]) + f". {said[0]}.", class_="summary")
    yield _section("scores", "Scores", _scores(runs))
    yield _section("errors", "Errors", _errors(runs))
    yield _section("mended", "What each kind of error costs", _mended(runs))
    yield _section("links", "Links", _links(runs))
    yield _section("documents", "Documents", _documents(runs))
    yield _section("examples", "Examples", "".join(_examples(run) for run in runs))


def _section(name: str, title: str, content: str) -> str:
    return element("section", element("h2", title) + content, id=name)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, sorted_: bool = False) -> str:
    """A table of cells that are HTML already; all columns but the first hold numbers."""
    titles = "".join(
        element(
            "th",
            element("button", name, type="button") if sorted_ else name,
            scope="col",
            class_="n" if c else None,
        )
        for c, name in enumerate(head)
    )
    body = "\n".join(element("tr", "".join(row)) for row in rows)
    content = element("thead", element("tr", titles)) + element("tbody", body)
    return element("table", content, class_="sorted" if sorted_ else None)


def _name(name: str) -> str:
    return element("bdi", escaped(name))


def _number(value: float | int, *, best: bool = False, title: str | None = None) -> str:
    said = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return element("td", said, class_="n best" if best else "n", title=title)


def _scores(runs: Sequence[Run]) -> str:
    out = []
    for remove, heading in ((False, "With singletons"), (True, "Without singletons")):
        scores = [run.scores(remove_singletons=remove) for run in runs]
        top = {name: max(s[name].f1 for s in scores) for name in METRICS}
        rows = []
        for run, of_run in zip(runs, scores, strict=True):
            cells = [element("td", _name(run.name))]
            for name in METRICS:
                best = len(runs) > 1 and of_run[name].f1 == top[name]
                cells.append(_number(100 * of_run[name].f1, best=best, title=_prf(of_run[name])))
            if not remove:
                cells.append(_range(run.interval.bounds()))
                if len(runs) > 1:
                    cells.append(
                        element("td", "", class_="n")
                        if run is runs[0]
                        else _range(run.interval.bounds(runs[0].interval), signed=True)
                    )
            rows.append(cells)
        head = ["F1 in percent", *(_TITLES[name] for name in METRICS)]
        if not remove:
            head += ["CoNLL, 95 %"] + ["minus the first run"] * (len(runs) > 1)
        out.append(element("h3", heading) + _table(head, rows))
    note = (
        "Precision and recall stand in the titles of the cells. The intervals are of documents "
        "drawn anew, 1,000 times; a difference whose interval has 0 in it may be chance."
    )
    return "".join(out) + element("p", note)


def _prf(score: PRF) -> str:
    return f"precision {100 * score.precision:.2f}, recall {100 * score.recall:.2f}"


def _range(bounds: tuple[float, float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    said = " … ".join(f"{100 * value:{sign}.1f}" for value in bounds)
    return element("td", said, class_="n")


def _errors(runs: Sequence[Run]) -> str:
    groups = {
        kind.value: [(run.name, [run.errors[kind, type_] for type_ in MentionType]) for run in runs]
        for kind in Kind
    }
    rows = []
    for kind in Kind:
        cells = [element("td", kind)]
        for run in runs:
            cells.append(_number(sum(run.errors[kind, t] for t in MentionType)))
            cells.append(_number(run.mentions[kind]))
        rows.append(cells)
    head = ["kind"]
    for run in runs:
        head += [_name(run.name), "mentions"]
    note = (
        "Corrections that turn the predictions into the key, by the most telling mention of each: "
        "a name, a nominal, else a pronoun. docs/report.md defines them."
    )
    chart = stacked_bars(groups, [t.value for t in MentionType])
    return element("p", note) + chart + _table(head, rows)


def _mended(runs: Sequence[Run]) -> str:
    note = (
        "The CoNLL score as it is, and after mending each kind of error in turn, those to the left "
        "included. A steep step is where most can be gained."
    )
    stages = ["as it is", *(kind.value for kind in Kind)]
    low = max(0.0, min(value for run in runs for value in run.mended) - 0.02)
    rows = [
        [element("td", _name(run.name)), *(_number(100 * value) for value in run.mended)]
        for run in runs
    ]
    plot = curves(stages, [(run.name, run.mended) for run in runs], low=int(20 * low) / 20)
    return element("p", note) + plot + _table(["CoNLL F1", *stages], rows)


def _links(runs: Sequence[Run]) -> str:
    note = (
        "An anaphor is a mention with an earlier one in its cluster; it is resolved if the other "
        "side has it together with some earlier mention of that cluster. Of the key's anaphors "
        "the share resolved is the recall of MUC, of the predicted ones its precision. Distances "
        "are words from the nearest earlier mention of the cluster."
    )
    out = [element("p", note)]
    names = [outcome.value for outcome in Outcome]
    for of_key, side in ((True, "the key's anaphors"), (False, "predicted anaphors")):
        counts = [run.anaphors(of_key=of_key) for run in runs]
        by_type = _groups(runs, counts, list(MentionType), lambda entry: entry[0])
        by_bin = _groups(runs, counts, bin_names(), lambda entry: bin_names()[entry[1]])
        out.append(element("h3", f"{side}, by type") + stacked_bars(by_type, names, shares=True))
        out.append(element("h3", f"{side}, by distance") + stacked_bars(by_bin, names, shares=True))
    return "".join(out)


def _groups(
    runs: Sequence[Run],
    counts: Sequence[dict[tuple[MentionType, int, Outcome], int]],
    groups: Sequence[str],
    group_of: Callable[[tuple[MentionType, int, Outcome]], str],
) -> dict[str, list[tuple[str, list[int]]]]:
    out = {}
    for group in groups:
        bars = []
        for run, count in zip(runs, counts, strict=True):
            here = [
                sum(n for entry, n in count.items() if group_of(entry) == group and entry[2] == o)
                for o in Outcome
            ]
            bars.append((run.name, here))
        if any(sum(values) for _, values in bars):
            out[str(group)] = bars
    return out


def _documents(runs: Sequence[Run]) -> str:
    head = ["document", "words"]
    for run in runs:
        head += [f"{_name(run.name)} CoNLL", "errors"]
    scores = [
        [scorer.compute()["conll"].f1 for scorer in run.scorers(remove_singletons=False)]
        for run in runs
    ]
    rows = []
    for d, case in enumerate(runs[0].cases):
        top = max(of_run[d] for of_run in scores)
        cells = [element("td", _name(case.document.doc_id)), _number(len(case.document.words))]
        for run, of_run in zip(runs, scores, strict=True):
            cells.append(_number(100 * of_run[d], best=len(runs) > 1 and of_run[d] == top))
            cells.append(_number(len(run.cases[d].corrections)))
        rows.append(cells)
    note = "CoNLL F1 with singletons, and the number of corrections. Click a title to sort."
    return element("p", note) + _table(head, rows, sorted_=True)


def _examples(run: Run) -> str:
    out = [element("h3", _name(run.name))]
    for kind in Kind:
        found = [(case, c) for case in run.cases for c in case.corrections if c.kind is kind]
        if not found:
            continue
        # Spread over the corpus, and the same ones each time.
        step = max(1, len(found) // EXAMPLES)
        items = "".join(_example(case, c) for case, c in found[::step][:EXAMPLES])
        title = element("summary", f"{kind} <small>{len(found):,}</small>")
        out.append(element("details", title + element("ul", items, class_="examples")))
    return "".join(out)


def _example(case: Case, correction: Correction) -> str:
    document, spans = case.document, correction.spans
    key = correction.key
    shown = _in_context(document, spans[0], 3)
    if correction.kind is Kind.WRONG_SPAN:
        assert key is not None
        shown += " — the key has " + _quoted(document, key)
    elif key is not None:
        joined = "is joined with" if correction.kind is Kind.SPLIT else "belongs to"
        shown += f" — {joined} " + _quoted(document, key)
    if len(spans) > 1:
        shown += " " + element("small", f"and {counted(len(spans) - 1, 'more mention')}")
    return element("li", element("small", _name(document.doc_id)) + " " + shown)


def _in_context(document: Document, span: Span, series: int) -> str:
    start, end = span
    before = " ".join(document.words[max(0, start - CONTEXT) : start])
    after = " ".join(document.words[end : end + CONTEXT])
    mark = element("mark", escaped(" ".join(document.words[start:end])), class_=colour(series))
    text = " ".join(filter(None, (escaped(before), mark, escaped(after))))
    return element("bdi", text)


def _quoted(document: Document, span: Span) -> str:
    words = escaped(" ".join(document.words[slice(*span)]))
    return element("bdi", element("mark", words, class_=colour(2)))
