"""The lab: does a scorer tell right answers from wrong ones, and what fools it? Asked before a training learns to."""

from shadownb.engine.scoring.laboratory.hacks import HACKS, Hack
from shadownb.engine.scoring.laboratory.report import Fooled, LabReport, Scored
from shadownb.engine.scoring.laboratory.trying import lab

__all__ = ["HACKS", "Fooled", "Hack", "LabReport", "Scored", "lab"]
