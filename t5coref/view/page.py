"""The page: its head, a bar to choose documents, and one article a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from t5coref.view.article import article
from t5coref.view.markup import counted, element, escaped
from t5coref.view.model import View
from t5coref.view.shell import asset, filled, policy

PACKAGE = "t5coref.view"

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def page(
    views: Sequence[View],
    *,
    title: str = "t5coref",
    relation_names: Mapping[str, str] = _NO_NAMES,
) -> str:
    """A self-contained HTML page.

    Args:
      views: the documents, in the order in which they can be leafed through.
      title: of the page.
      relation_names: what to call relation types: `{"P17": "country"}`; others stand as they are.
    """
    script = asset(PACKAGE, "page.js")
    parts = {
        "policy": policy(script),
        "title": escaped(title),
        "style": asset(PACKAGE, "page.css"),
        "chooser": _chooser(views) if len(views) > 1 else "",
        "articles": "".join(
            article(number, view, relation_names) for number, view in enumerate(views, 1)
        ),
        "script": script,
    }
    return filled(asset(PACKAGE, "page.html"), parts)


def _chooser(views: Sequence[View]) -> str:
    items = []
    for number, view in enumerate(views, 1):
        about = counted(len(view.document.words), "word")
        if view.compared:
            about += ", " + counted(view.errors, "error")
        name = element("bdi", escaped(view.document.doc_id))
        link = element("a", name + element("small", about), href=f"#d{number}")
        items.append(element("li", link) + "\n")
    return _CHOOSER.format(count=counted(len(views), "document"), items="".join(items))


_CHOOSER = """\
<nav aria-label="Documents">
<button type="button" class="live" data-do="back" title="previous document ([)">‹</button>
<details class="chooser"><summary><span class="at">{count}</span></summary><div class="panel">
<input class="live" type="search" aria-label="Find documents" placeholder="Find in titles and texts">
<ol>
{items}</ol>
<p class="nothing" hidden>No document has that.</p>
</div></details>
<button type="button" class="live" data-do="forward" title="next document (])">›</button>
</nav>
"""  # noqa: E501
