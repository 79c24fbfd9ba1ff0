"""Pages in headless Chromium.

Tests skip, saying so, where none is installed (Debian: `apt-get install chromium`). CHROMIUM may
name the program.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from pages import parsed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

REPORT = """
<script id="driver">
addEventListener("load", async () => {
  const out = {};
  const soon = () => new Promise((done) => setTimeout(done, 30));
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const shown = () => all("article").filter((a) => !a.hidden).map((a) => a.id);
  const press = (key, target = document.activeElement) =>
    target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const place = () => one(".chain .place").textContent;
  const on = (kind) => all(`article:not([hidden]) ${kind}.on`).length;
  try {
    DRIVE
  } catch (error) {
    out.error = String(error.stack || error);
  }
  const report = document.createElement("pre");
  report.id = "report";
  report.textContent = JSON.stringify(out);
  document.body.append(report);
});
</script>
</body>
"""


def driven(html: str, folder: pathlib.Path, statements: str, hash_: str = "") -> dict[str, Any]:
    """Opens a page, runs statements in it and returns what they put into `out`."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES)]
    chromium = next(filter(None, found), None)
    if chromium is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH; install chromium")
    driver = REPORT.replace("DRIVE", statements)
    script = driver.split(">", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The page's own policy, widened by exactly this driver.
    html = html.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    html = html.replace("</body>\n", driver, 1)
    path = folder / "page.html"
    path.write_text(html, "utf-8", newline="\n")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=1280,900", "--virtual-time-budget=20000", "--dump-dom",
            path.as_uri() + hash_,
        ],
        capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert "</html>" in done.stdout, done.stderr
    report = done.stdout.split('<pre id="report">')[1].split("</pre>")[0]
    out = json.loads(parsed(f"<p>{report}</p>").text)
    assert "error" not in out, out["error"]
    return out
