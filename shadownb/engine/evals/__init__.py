"""Evaluation: whether training helped, on rows it has not seen, and how sure that is."""

from shadownb.engine.evals.compare import compare
from shadownb.engine.evals.comparison import ComparedRow, Comparison, UnscoredRow

__all__ = ["ComparedRow", "Comparison", "UnscoredRow", "compare"]
