"""Trajectories: episodes out of recorded calls, groups of attempts, training rows, and the check for leaks."""

from shadownb.engine.trajectories.episodes import Episodes, episodes
from shadownb.engine.trajectories.graph import RecordedCall
from shadownb.engine.trajectories.group import TrajectoryGroup, group, weighted_rows
from shadownb.engine.trajectories.leakage import LeakageReport, LeakedRow, leakage
from shadownb.engine.trajectories.rows import trajectories_of
from shadownb.engine.trajectories.trajectory import CallFacts, Trajectory

__all__ = [
    "CallFacts",
    "Episodes",
    "LeakageReport",
    "LeakedRow",
    "RecordedCall",
    "Trajectory",
    "TrajectoryGroup",
    "episodes",
    "group",
    "leakage",
    "trajectories_of",
    "weighted_rows",
]
