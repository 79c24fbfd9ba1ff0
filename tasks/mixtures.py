"""Joint training on several corpora (Zhang et al. 2023, section 4): at most 2,000 documents of
each set and epoch.
"""

from t5coref.data.task import coref_mixture
from t5coref.linearize import FORMATS
from tasks.configuration import task_name

JOINT = ("ontonotes", "preco", "litbank_fold0")

for linearization in FORMATS:
    coref_mixture(
        task_name("joint", linearization), [task_name(corpus, linearization) for corpus in JOINT]
    )
