"""Evaluation: several models on the same items of several suites, kept in a folder, with intervals."""

from shadownb.engine.evals.evaluation.contenders import Contender
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.gates import Gate, GateError
from shadownb.engine.evals.evaluation.graded import Cell
from shadownb.engine.evals.evaluation.running import evaluate

__all__ = ["Cell", "Contender", "Evaluation", "Gate", "GateError", "evaluate"]
