"""DWIE (Zaporojets et al. 2021): entities and relations of news articles.

The annotations come without the articles' text: `t5coref.corpora.dwie` says how it is added. The
lists of ids are those of the tags "train" and "test"; a tenth of the first is for development.
"""

from t5coref.data.documents import Files
from t5coref.data.joint_ie import joint_task
from tasks.configuration import settings

NAME = "dwie_joint_ie"

joint_task(
    NAME,
    corpus="dwie",
    files={
        split: Files(("dwie/annos_with_content/*.json",), f"dwie/{ids}.ids")
        for split, ids in (("train", "train"), ("validation", "dev"), ("test", "test"))
    },
    settings=settings,
)
