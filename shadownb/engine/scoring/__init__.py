"""Scorers: judge a model output against the expected answer."""

from __future__ import annotations

from shadownb.engine.scoring.base import Score, Scorer
from shadownb.engine.scoring.exact import Exact
from shadownb.engine.scoring.json_exact import JsonExact

__all__ = ["Exact", "JsonExact", "Score", "Scorer"]
