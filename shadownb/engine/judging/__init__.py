"""Judging: a model as a scorer of answers, side by side and in several orders, with reasons.

Examples
--------
>>> print(snb.judging.RUBRIC[:46])
Judge how well each answer does what the task
"""

from __future__ import annotations

from shadownb.engine.judging.asking import Judge, Judgement
from shadownb.engine.judging.calibration import Calibration, calibrate
from shadownb.engine.judging.groups import JudgedGroups, judge, judge_group
from shadownb.engine.judging.rubric import RUBRIC

__all__ = ["RUBRIC", "Calibration", "Judge", "JudgedGroups", "Judgement", "calibrate", "judge", "judge_group"]
