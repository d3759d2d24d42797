"""Trajectories: episodes out of recorded calls, groups of attempts, and training rows."""

from shadownb.engine.trajectories.episodes import Episodes, episodes
from shadownb.engine.trajectories.graph import RecordedCall
from shadownb.engine.trajectories.group import TrajectoryGroup, group, weighted_rows
from shadownb.engine.trajectories.rows import trajectories_of
from shadownb.engine.trajectories.trajectory import CallFacts, Trajectory

__all__ = [
    "CallFacts",
    "Episodes",
    "RecordedCall",
    "Trajectory",
    "TrajectoryGroup",
    "episodes",
    "group",
    "trajectories_of",
    "weighted_rows",
]
