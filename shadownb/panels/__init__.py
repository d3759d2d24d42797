"""The notebook layer: panels that show engine objects and enqueue commands. One module a panel, loaded on first use.

A panel of another package is a :class:`Panel` that is registered (``add("panel", "hello", "our_package.hello:HelloPanel")``, see
:mod:`shadownb.engine.registry`): Studio has a tab for it, and ``%shadow panel hello`` shows it alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._base import Panel
    from .capture import CapturePanel
    from .chat import ChatPanel
    from .data import DataPanel
    from .evaluate import EvaluatePanel
    from .export import ExportPanel
    from .facts import FactsPanel
    from .judge import JudgePanel
    from .rewards import RewardsPanel
    from .run import RunPanel
    from .runs import RunsPanel
    from .serve import ServePanel
    from .studio import Studio
    from .sweep import SweepPanel
    from .train import TrainPanel
    from .trajectories import TrajectoriesPanel

__all__ = [
    "CapturePanel",
    "ChatPanel",
    "DataPanel",
    "EvaluatePanel",
    "ExportPanel",
    "FactsPanel",
    "JudgePanel",
    "Panel",
    "RewardsPanel",
    "RunPanel",
    "RunsPanel",
    "ServePanel",
    "Studio",
    "SweepPanel",
    "TrainPanel",
    "TrajectoriesPanel",
]

_HOMES = {
    "CapturePanel": "capture",
    "ChatPanel": "chat",
    "DataPanel": "data",
    "EvaluatePanel": "evaluate",
    "ExportPanel": "export",
    "FactsPanel": "facts",
    "JudgePanel": "judge",
    "Panel": "_base",
    "RewardsPanel": "rewards",
    "RunPanel": "run",
    "RunsPanel": "runs",
    "ServePanel": "serve",
    "Studio": "studio",
    "SweepPanel": "sweep",
    "TrainPanel": "train",
    "TrajectoriesPanel": "trajectories",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
