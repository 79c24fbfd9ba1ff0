"""How often the rule for "her" is right, where tags are known (docs/python.md states it)."""

from __future__ import annotations

from t5coref import Annotation, Document, Prediction, corpora


def test_her_in_gum(shared):
    right = total = 0
    for path in sorted((shared / "data" / "gum").glob("*/*.conllu")):
        for document in corpora.read(path, "gum"):
            for start, end in document.sentences:
                words = document.words[start:end]
                for i, word in enumerate(words):
                    tag = document.pos[start + i]
                    if word.lower() != "her" or not tag.startswith("PRP"):
                        continue
                    untagged = Document(
                        doc_id="d",
                        words=("Anna", ".", *words),
                        sentences=((0, 2), (2, 2 + len(words))),
                        annotation=Annotation((((0, 1), (2 + i, 3 + i)),)),
                    )
                    (made,) = Prediction(untagged).resolve().replacements
                    total += 1
                    right += (made.end - made.start == len("Anna 's")) == (tag == "PRP$")
    assert total == 188
    assert right == 179
