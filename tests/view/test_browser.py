"""The page in headless Chromium: what its script does, and what a browser reads from its markup.

Skips, saying so, where no Chromium is installed (`tests/browser.py`).
"""

from __future__ import annotations

import pytest
from browser import driven

from t5coref import demo
from t5coref.core.document import Annotation, Document, Relation
from t5coref.view import compared, page, plain

HOSTILE = (
    "</script><script>document.documentElement.dataset.broken='1'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.broken='2'\">",
    "<svg onload=\"document.documentElement.dataset.broken='3'\">",
    "</mark></p></section>",
    "<!--",
    "a\rb",
    "\r\n",
    "&lt;",
    "שלום",
    "\u202e",
    "👩‍👩‍👧",
    "<plaintext>",
)


@pytest.fixture
def drive(tmp_path):
    """Opens a page, runs statements in it and returns what they put into `out`."""
    return lambda views, statements, hash_="": driven(page(views), tmp_path, statements, hash_)


def test_following_choosing_and_searching(drive):
    first, second, *_ = demo.biographies()
    out = drive(
        [plain(first), plain(second)],
        """
        out.first = shown();
        const hedda = one("#d1 .entities [data-e='1']");
        const point = (selector) =>
          one(selector).dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
        point("#d1 mark[data-e='1']");
        out.hovered = [on("mark"), one("#d1").matches(".following"), one(".chain").hidden];
        point("h1");
        out.left = on("mark");
        hedda.click();
        out.clicked = [on("mark"), one(".chain .name").textContent, place(), hedda.ariaPressed];
        one("[data-do=next]").click();
        out.next = place();
        press("ArrowUp"); press("ArrowUp");
        out.round = place();
        press("Escape");
        out.escaped = [on("mark"), one(".chain").hidden];
        const inner = one("#d1 mark mark");
        inner.click();
        out.inner = one(".chain .no").textContent === inner.dataset.e;
        inner.click();
        out.outer = one(".chain .no").textContent === inner.parentElement.closest("mark").dataset.e;
        inner.click();
        out.neither = one(".chain").hidden;
        out.stops = all("#d1 mark").filter((m) => m.tabIndex === 0).length;
        all("#d1 mark").find((m) => m.tabIndex === 0).focus();
        press("Enter");
        out.entered = place().length > 0;
        press("ArrowRight");
        out.moved = document.activeElement === one("mark.here");
        press("Escape");
        one("#d1 .label").dispatchEvent(new MouseEvent("click", { bubbles: true }));
        out.graph = one(".chain .no").textContent === one("#d1 .label").dataset.h;
        one("[data-do=enlarge]").click();
        out.enlarged = one("dialog").open && Boolean(one("dialog svg"));
        one("dialog [data-do=close]").click();
        await soon();
        out.back = Boolean(one("#d1 figure svg"));
        press("]", document.body);
        await soon();
        out.second = [shown(), location.hash, one(".at").textContent.trim(), one(".chain").hidden];
        const search = one(".chooser input");
        search.value = "CLOCKMAKING";
        search.dispatchEvent(new Event("input", { bubbles: true }));
        out.found = all(".chooser li").map((li) => li.hidden);
        const filter = one("#d2 .entities input");
        filter.value = "vesper";
        filter.dispatchEvent(new Event("input", { bubbles: true }));
        out.entities = all("#d2 .entities li").filter((li) => !li.hidden).length;
        one("[data-do=theme]").click();
        const root = document.documentElement;
        out.theme = [root.dataset.theme, getComputedStyle(root).colorScheme];
        """,
    )
    hedda = first.annotation.clusters[0]
    n = len(hedda)
    assert out["first"] == ["d1"]
    assert out["hovered"] == [n, True, True]
    assert out["left"] == 0
    assert out["clicked"] == [n, "Hedda Torvik", f"1 of {n}", "true"]
    assert out["next"] == f"2 of {n}"
    assert out["round"] == f"{n} of {n}"
    assert out["escaped"] == [0, True]
    for key in ("inner", "outer", "neither", "entered", "moved", "graph", "enlarged", "back"):
        assert out[key] is True, key
    assert out["stops"] == 1
    assert out["second"] == [["d2"], "#d2", f"2/2  {second.doc_id}", True]
    assert out["found"] == [False, True]
    assert out["entities"] == 2
    assert out["theme"] == ["light", "light"]


def test_links_lead_to_a_document_and_an_entity(drive):
    views = [plain(d) for d in demo.biographies()]
    out = drive(views, "await soon(); out.at = [shown(), one('.chain .no').textContent];", "#d3e2")
    assert out["at"] == [["d3"], "2"]


def test_errors_can_be_hidden_and_visited(drive):
    key = Document(doc_id="d", words=tuple("abcde"), annotation=Annotation((((0, 1), (1, 2)),)))
    found = key.with_annotation(Annotation((((0, 1), (4, 5)), ((2, 4),))))
    out = drive(
        [compared(found, key)],
        """
        const colour = (selector) => getComputedStyle(one(selector)).borderBottomColor;
        press("e", document.body);
        out.first = [one("mark.here").textContent, place()];
        press("e", document.body);
        out.second = one("mark.here").textContent;
        press("Escape");
        const before = colour("mark.missed");
        one("[data-show=missed]").click();
        out.hidden = [before !== colour("mark.missed"), colour("mark.missed")];
        press("e", document.body);
        out.skipped = one("mark.here").textContent;
        """,
    )
    assert out["first"] == ["b", "2 of 3 · missed: only the key has it"]
    assert out["second"] == "c d"
    assert out["hidden"] == [True, "rgba(0, 0, 0, 0)"]
    assert out["skipped"] == "c d"


def test_a_browser_reads_the_text_as_it_was_written_and_runs_none_of_it(drive):
    n = len(HOSTILE)
    text = " ".join(HOSTILE)
    offsets, at = [], 0
    for word in HOSTILE:
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    annotation = Annotation(
        tuple(((i, i + 2), (i + 1, i + 2)) for i in range(n - 1)),
        tuple(Relation(i, i + 1, HOSTILE[i]) for i in range(n - 2)),
        types=HOSTILE[: n - 1],
    )
    document = Document(
        doc_id=HOSTILE[0],
        words=HOSTILE,
        text=text,
        word_offsets=tuple(offsets),
        annotation=annotation,
        extra={"error": HOSTILE[1]},
    )
    out = drive(
        [plain(document), plain(document)],
        """
        one("#d1 .entities button").click();
        await soon();
        out.text = one("#d1 .text").textContent;
        out.title = one("#d2 h1").textContent;
        out.broken = document.documentElement.dataset.broken || null;
        out.scripts = all("script").length;
        out.images = all("img, #d1 svg svg").length;
        """,
    )
    assert out == {
        "text": text, "title": HOSTILE[0], "broken": None, "scripts": 2, "images": 0,
    }  # fmt: skip
