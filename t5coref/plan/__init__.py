"""What a TPU slice can train, found with its compiler and without the slice."""

from t5coref.plan.chips import CHIPS, Chip, Slice
from t5coref.plan.report import Report, estimates, plan, smallest
from t5coref.plan.work import SIZES, Work

__all__ = ["CHIPS", "SIZES", "Chip", "Report", "Slice", "Work", "estimates", "plan", "smallest"]
