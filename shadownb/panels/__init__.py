"""The notebook layer: panels that show engine objects and enqueue commands. One module a panel, loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chat import ChatPanel
    from .run import RunPanel
    from .studio import Studio
    from .train import TrainPanel

__all__ = ["ChatPanel", "RunPanel", "Studio", "TrainPanel"]

_HOMES = {"ChatPanel": "chat", "RunPanel": "run", "Studio": "studio", "TrainPanel": "train"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
