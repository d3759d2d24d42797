"""Enough rows? Training on growing parts of the data, and what the held-out score says about more of it."""

from shadownb.engine.evals.learning.curve import LearningCurve, Point
from shadownb.engine.evals.learning.measuring import learning_curve

__all__ = ["LearningCurve", "Point", "learning_curve"]
