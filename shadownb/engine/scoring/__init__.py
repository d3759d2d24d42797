"""Scorers: judge a model output against the expected answer. What one owes stands at :class:`Scorer`."""

from __future__ import annotations

from shadownb.engine.scoring.asking import ScorerFailed, Scoring
from shadownb.engine.scoring.base import Sample, Score, Scorer
from shadownb.engine.scoring.cached import Cached
from shadownb.engine.scoring.exact import Exact
from shadownb.engine.scoring.json_exact import JsonExact
from shadownb.engine.scoring.rewards import resolve, score_batch
from shadownb.engine.scoring.weighted import Weighted

__all__ = [
    "Cached",
    "Exact",
    "JsonExact",
    "Sample",
    "Score",
    "Scorer",
    "ScorerFailed",
    "Scoring",
    "Weighted",
    "resolve",
    "score_batch",
]
