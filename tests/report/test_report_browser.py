"""The report in headless Chromium: its script, its plots, and text that would like to be markup."""

from __future__ import annotations

from browser import driven

from t5coref.core.document import Annotation, Document
from t5coref.report import Case, Run, page

HOSTILE = (
    "</script><script>document.documentElement.dataset.broken='1'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.broken='2'\">",
    "<svg onload=\"document.documentElement.dataset.broken='3'\">",
    "</title></text></svg>",
    "a\rb",
    "&lt;",
)


def test_a_browser_shows_it_sorts_it_and_runs_nothing_of_a_document(tmp_path):
    words = tuple(HOSTILE * 3)
    cases, others = [], []
    for n in range(3):
        key = Document(
            doc_id=f"{n} {HOSTILE[n]}",
            words=words[: 6 * (n + 1)],
            annotation=Annotation((((0, 1), (2, 3), (4, 5)),)),
        )
        found = key.with_annotation(Annotation((((0, 1), (1, 2), (4, 6)),)))
        cases.append(Case.of(key, found))
        others.append(Case.of(key, key))
    html = page([Run(HOSTILE[0], cases), Run(HOSTILE[3], others)], title=HOSTILE[1])
    out = driven(
        html,
        tmp_path,
        """
        const root = document.documentElement;
        out.sections = all("main > section").map((s) => s.id);
        const first = () => one("#documents tbody td").textContent;
        const words = all("#documents th")[1].firstChild;
        words.click();
        out.most = first();
        words.click();
        out.fewest = first();
        one("[data-do=theme]").click();
        out.light = [getComputedStyle(root).colorScheme, getComputedStyle(one("rect")).fill];
        one("[data-do=theme]").click();
        out.dark = [getComputedStyle(root).colorScheme, getComputedStyle(one("rect")).fill];
        const box = one("#errors svg").getBoundingClientRect();
        out.drawn = box.width > 300 && box.height > 100;
        out.wide = root.scrollWidth <= root.clientWidth;
        all("details").forEach((d) => { d.open = true; });
        out.example = one("#examples li mark").textContent;
        out.broken = root.dataset.broken || null;
        out.scripts = all("script").length;
        out.images = all("img, svg svg").length;
        """,
    )
    assert out["sections"] == ["scores", "errors", "mended", "links", "documents", "examples"]
    assert out["most"] == f"2 {HOSTILE[2]}"
    assert out["fewest"] == f"0 {HOSTILE[0]}"
    assert out["light"][0] == "light"
    assert out["dark"][0] == "dark"
    assert out["light"][1] != out["dark"][1]
    assert out["example"] in HOSTILE
    assert (out["broken"], out["scripts"], out["images"]) == (None, 2, 0)
    assert out["drawn"] is True
    assert out["wide"] is True
