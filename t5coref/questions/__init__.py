"""Questions about mentions: a model's answers, what they say together, and weights for that."""

from t5coref.questions.inference import Weights, clusters
from t5coref.questions.integrated import IntegratedPredictor
from t5coref.questions.predict import QuestionPredictor
from t5coref.questions.scores import QuestionScores
from t5coref.questions.tuning import Tuned, tune

__all__ = [
    "IntegratedPredictor",
    "QuestionPredictor",
    "QuestionScores",
    "Tuned",
    "Weights",
    "clusters",
    "tune",
]
