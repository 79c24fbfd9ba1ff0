"""Makes the pictures of docs/pictures with headless Chromium: `python tests/docs/pictures.py`.

The documents come with t5coref. The two runs are rules of benchmarks/head_match.py, given the true
mentions: one links names and nouns alone, the other one pronouns too.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from browser import NAMES  # noqa: E402
from head_match import PRONOUNS, linked  # noqa: E402

from t5coref import cli, demo  # noqa: E402
from t5coref.core.document import Document  # noqa: E402
from t5coref.corpora import jsonl  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Writes the pages into a temporary folder, and what they look like into docs/pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        stories = list(demo.stories())
        jsonl.write(stories, folder / "stories.jsonl")
        jsonl.write([_by_rules(story, pronouns=False) for story in stories], folder / "nouns.jsonl")
        jsonl.write([_by_rules(story, pronouns=True) for story in stories], folder / "all.jsonl")
        os.chdir(folder)
        cli.main(["view", "--demo", "--output", "view.html"])
        cli.main(["view", "all.jsonl", "--gold", "stories.jsonl", "--output", "errors.html"])
        cli.main(["report", "stories.jsonl", "nouns.jsonl", "all.jsonl", "--output", "report.html"])
        _picture(folder / "view.html", "#d1e1", "view.png", 1180, 700)
        _picture(folder / "errors.html", "#d1", "errors.png", 1180, 560)
        _picture(folder / "report.html", "", "report.png", 1180, 900)


def _by_rules(story: Document, *, pronouns: bool) -> Document:
    assert story.annotation is not None
    spans = sorted({(start, end) for start, end, _ in story.annotation.mentions()})
    words = {span: " ".join(story.words[slice(*span)]).lower() for span in spans}
    return linked(story, [span for span in spans if pronouns or words[span] not in PRONOUNS])


def _picture(page: pathlib.Path, part: str, name: str, width: int, height: int) -> None:
    chromium = next(filter(None, map(shutil.which, NAMES)))
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={page.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--hide-scrollbars", f"--window-size={width},{height}", "--virtual-time-budget=5000",
            f"--screenshot={PICTURES / name}", page.as_uri() + part,
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


if __name__ == "__main__":
    main()
