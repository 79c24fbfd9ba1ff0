"""Comparing runs: what separates predictions from the key, counted, scored and shown.

    run = Run("a.jsonl", [Case.of(key, response) for key, response in pairs])
    page([run, other], title="dev")          one page that needs nothing but a browser
    summary([run, other])                    the same as JSON

docs/report.md defines every count.
"""

from t5coref.report.corrections import Correction, Kind, applied, corrections
from t5coref.report.english import English, MentionType
from t5coref.report.links import Link, Outcome, links
from t5coref.report.page import page
from t5coref.report.runs import Case, Run, summary

__all__ = [
    "Case",
    "Correction",
    "English",
    "Kind",
    "Link",
    "MentionType",
    "Outcome",
    "Run",
    "applied",
    "corrections",
    "links",
    "page",
    "summary",
]
