"""LitBank (Bamman et al. 2020): openings of novels, with singletons; ten folds."""

from t5coref.data.documents import Files
from tasks.configuration import every_format, every_mention_given_format

NAMES = tuple(f"litbank_fold{fold}" for fold in range(10))

for fold, name in enumerate(NAMES):
    files = {
        split: Files(("litbank/conll/*.conll",), f"litbank/splits/{fold}/{ids}.ids")
        for split, ids in (("train", "train"), ("validation", "dev"), ("test", "test"))
    }
    every_format(name, corpus="litbank", files=files)
    every_mention_given_format(name, corpus="litbank", files=files)
