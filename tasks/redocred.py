"""Re-DocRED (Tan et al. 2022) and DocRED (Yao et al. 2019): entities and relations of documents."""

from t5coref.data.joint_ie import joint_task
from tasks.configuration import settings

NAME = "redocred_joint_ie"

joint_task(
    NAME,
    corpus="docred",
    files={
        "train": "redocred/train*.json",
        "validation": "redocred/dev*.json",
        "test": "redocred/test*.json",
    },
    relations="redocred/rel_info.json",
    settings=settings,
)
