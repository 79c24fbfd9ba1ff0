"""Mention reference prediction (Ye et al. 2020) beside span corruption, and mixed with coreference.

The rows are those of `t5coref prepare mrp`, below the folder of data.
"""

from t5coref.data.mrp import mrp_mixture, mrp_task
from tasks.configuration import settings, task_name
from tasks.mixtures import JOINT

NAME = "mrp"
MIXTURE = "mrp_joint_full_copy"
FOLDERS = {"train": "mrp/train", "validation": "mrp/validation"}

mrp_task(NAME, folders=FOLDERS, settings=settings)

# A third of the rows is of coreference.
mrp_mixture(
    MIXTURE,
    mrp=NAME,
    coreference={task_name(corpus, "full-copy"): 1.0 for corpus in JOINT},
    rate=2.0 * len(JOINT),
)
