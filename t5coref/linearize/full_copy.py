"""full-copy: the whole source is copied, mentions are bracketed, clusters are numbered.

Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference Resolution" (EMNLP 2023), the
integer format with the copy action: `<m> <copy> <copy> | 0 </m> <copy> <m> <copy> | 0 </m> <copy>`
for "the dog saw it". The last copy is that of `</s>`. The decoder reads the pieces themselves.
"""

from __future__ import annotations

from t5coref.linearize.full import WholeText


class FullCopy(WholeText):
    """The whole source as copy actions; mentions in brackets, clusters as numbers."""

    name = "full-copy"
