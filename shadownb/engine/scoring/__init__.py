"""Scorers: judge a model output against the expected answer. What one owes stands at :class:`Scorer`.

>>> reward = snb.scoring.resolve({"numeric": 1.0, "repetition": 0.2})
>>> snb.scoring.score_batch([reward], ["2 + 2?"], ["The answer is 4."], {"answer": ["4"]})[0][0].value
1.0
>>> snb.scoring.lab("exact", rows).sound  # does it tell right from wrong, and does anything fool it
True

One file a family; those that need the sandbox (``code``) or an embedder (``similarity``) live above and are known by name.
"""

from __future__ import annotations

from shadownb.engine.scoring.asking import ScorerFailed, Scoring
from shadownb.engine.scoring.base import Sample, Score, Scorer
from shadownb.engine.scoring.cached import Cached
from shadownb.engine.scoring.contains import Contains
from shadownb.engine.scoring.exact import Exact
from shadownb.engine.scoring.finding import make
from shadownb.engine.scoring.form import Format
from shadownb.engine.scoring.json_exact import JsonExact
from shadownb.engine.scoring.json_fields import JsonFields
from shadownb.engine.scoring.laboratory import LabReport, lab
from shadownb.engine.scoring.length import Length
from shadownb.engine.scoring.numeric import Numeric
from shadownb.engine.scoring.overlap import Rouge, TokenF1
from shadownb.engine.scoring.regex import Regex
from shadownb.engine.scoring.repetition import Repetition
from shadownb.engine.scoring.rewards import resolve, score_batch
from shadownb.engine.scoring.steps import ReasoningSteps
from shadownb.engine.scoring.tags import Tags
from shadownb.engine.scoring.tool_call import ToolCall
from shadownb.engine.scoring.weighted import Weighted

__all__ = [
    "Cached", "Contains", "Exact", "Format", "JsonExact", "JsonFields", "LabReport", "Length", "Numeric", "ReasoningSteps", "Regex",
    "Repetition", "Rouge", "Sample", "Score", "Scorer", "ScorerFailed", "Scoring", "Tags", "TokenF1", "ToolCall", "Weighted",
    "lab", "make", "resolve", "score_batch",
]  # fmt: skip
