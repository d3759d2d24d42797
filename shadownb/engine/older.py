"""Names that the records of earlier versions use, and what they are called now; runs are read with today's names alone."""

from __future__ import annotations

from typing import Any

_OPTIONS = {"max_seq_length": "max_length", "dpo_loss": "loss_type", "train_on_completions": "assistant_only_loss"}
_METHOD = {"surface": "adapter"}
_FACTS = {"had": "actual_setup"}


def options(values: dict[str, Any]) -> dict[str, Any]:
    """Return a run's options under the names they have now."""
    return _renamed(values, _OPTIONS)


def record(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what was launched (``run.json``) under the names of now."""
    changed: dict[str, Any] = {}
    if isinstance(spec.get("model"), dict):
        changed["model"] = options(spec["model"])
    if isinstance(spec.get("method"), dict):
        changed["method"] = _renamed(spec["method"], _METHOD)
    if isinstance(spec.get("given"), list):
        changed["given"] = [_OPTIONS.get(name, name) for name in spec["given"]]
    return {**spec, **changed}


def facts(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a run's journal says that it ran with (``record`` events) under the names of now."""
    changed = {name: options(values[name]) for name in ("config", "model") if isinstance(values.get(name), dict)}
    return {**_renamed(values, _FACTS), **changed}


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
