"""Judging: a model as a scorer of answers, side by side and in several orders, with reasons.

Examples
--------
>>> print(snb.judging.RUBRIC[:46])
Judge how well each answer does what the task
"""

from __future__ import annotations

from shadownb.engine.judging.agreement import Position
from shadownb.engine.judging.asking import Judge
from shadownb.engine.judging.calibration import Calibration, calibrate
from shadownb.engine.judging.disagreements import Disagreement
from shadownb.engine.judging.groups import judge, judge_group
from shadownb.engine.judging.judged import JudgedGroups
from shadownb.engine.judging.judgement import Judgement
from shadownb.engine.judging.rubric import RUBRIC

__all__ = [
    "RUBRIC", "Calibration", "Disagreement", "Judge", "JudgedGroups", "Judgement", "Position", "calibrate", "judge", "judge_group",
]  # fmt: skip
