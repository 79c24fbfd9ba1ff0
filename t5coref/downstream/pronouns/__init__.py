"""Ambiguous pronouns: readers, scoring by cloze, metrics, and the margin loss that teaches it.

`example` (one question), one reader for each layout of files, `sets` (which set is read and scored
how), `cloze` (a T5 fills the gap), `metrics`, `gap_scorer` and `objective`. Nothing is imported
here, so that readers and metrics need no jax. docs/pronouns.md.
"""
