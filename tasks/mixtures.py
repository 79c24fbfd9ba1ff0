"""Joint training on several corpora (Zhang et al. 2023): at most 2,000 documents of each set and
epoch.
"""

from t5coref.data.task import coref_mixture
from tasks import litbank, ontonotes, preco
from tasks.configuration import COREFERENCE, task_name

JOINT = (ontonotes.NAME, preco.NAME, litbank.NAMES[0])

for linearization in COREFERENCE:
    coref_mixture(
        task_name("joint", linearization), [task_name(corpus, linearization) for corpus in JOINT]
    )
