"""Re-DocRED (Tan et al. 2022) and DocRED (Yao et al. 2019): entities and relations of documents."""

from t5coref.data.joint_ie import joint_task
from tasks.configuration import every_relation_format, settings

NAME = "redocred_joint_ie"
FILES = {
    "train": "redocred/train*.json",
    "validation": "redocred/dev*.json",
    "test": "redocred/test*.json",
}
RELATIONS = "redocred/rel_info.json"
ENTITY_TYPES = ("LOC", "MISC", "NUM", "ORG", "PER", "TIME")

joint_task(NAME, corpus="docred", files=FILES, relations=RELATIONS, settings=settings)

every_relation_format(
    "redocred", corpus="docred", files=FILES, entity_types=ENTITY_TYPES, relations=RELATIONS
)
