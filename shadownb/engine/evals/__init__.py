"""Evaluation: whether training helped, on rows it has not seen, and how sure that is."""

from shadownb.engine.evals.compare import compare
from shadownb.engine.evals.comparison import Answer, ComparedRow, Comparison, UnscoredRow

__all__ = ["Answer", "ComparedRow", "Comparison", "UnscoredRow", "compare"]
