"""LitBank (Bamman et al. 2020): openings of novels, with singletons; ten folds."""

from t5coref.data.documents import Files
from tasks.configuration import every_format

FOLDS = range(10)

for fold in FOLDS:
    every_format(
        f"litbank_fold{fold}",
        corpus="litbank",
        files={
            split: Files(("litbank/conll/*.conll",), f"litbank/splits/{fold}/{name}.ids")
            for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))
        },
    )
