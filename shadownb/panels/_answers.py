"""What the Chat panel says about an answer and the model that gives it, and its settings. No widget, no thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine.inference.types import EFFORTS

from ._tries import run_of

SIDES = ("tuned", "base")
_MOST_STEPS = 4  # checkpoints that answer too; more columns cannot be read

# None leaves it as the model was trained: its rows' system prompt, their tools, chat or plain text.
DEFAULTS: dict[str, Any] = {
    "system": None,
    "tools": None,
    "plain": None,
    "alone": False,
    "temperature": 0.7,
    "top_p": 0.95,
    "max_new_tokens": 256,
    "seed": None,
    "stop": [],
    "compare": True,
    "steps": [],  # checkpoints that answer too, as sides
    "enable_thinking": None,
    "reasoning_effort": None,
}


_TEMPLATE_OPTIONS: dict[str, tuple[Any, ...]] = {"enable_thinking": (True, False), "reasoning_effort": EFFORTS}


def template_options(model: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is chosen of that which the model's chat template can be told; what it does not know is left out."""
    known = model.renderer.known_variables if model is not None else ()
    return {name: settings[name] for name in known if settings.get(name) is not None}


def empty_side() -> dict[str, Any]:
    return {
        "status": "queued",
        "text": "",
        "reasoning": "",
        "badge": "",
        "note": "",
        "tokens": 0,
        "finish": "",
        "seconds": None,
        "error": None,
    }


def describe(model: Any) -> dict[str, Any]:
    if model is None:
        return {"stage": "none"}
    return {
        "stage": "ready",
        "name": model.name,
        "run": run_of(model) or "",
        "base_hash": model.base_hash[:12],
        "answering": badge_of(model, "tuned"),
        "training": is_live(model),
        "can_compare": can_compare(model),
        # What the chat template can be told, each with the values to choose from.
        "template_options": {name: list(_TEMPLATE_OPTIONS[name]) for name in model.renderer.known_variables},
    }


def loadable_name(model: Any, *, trained: bool = True) -> str:
    """Return what ``shadownb.load`` takes to give this model again, as trained as its newest checkpoint, or its base."""
    from shadownb.engine.models.catalog import find

    run = getattr(model, "active_run", None)
    if trained and (run is not None or model.trained is not None):
        return str(run.id if run is not None else model.trained[0])
    return str(model.name if find(model.name) is not None else model.source)


def is_training(model: Any) -> bool:
    """Whether a run works on the model, or waits to."""
    return getattr(model, "active_run", None) is not None


def is_live(model: Any) -> bool:
    """Whether what answers is being trained: a worker process has a copy of its own, and a run in line has done nothing."""
    run = getattr(model, "active_run", None)
    return run is not None and run.shares_memory and run.status != "queued" and run.step > 0


def waits_for_steps(model: Any) -> bool:
    """Whether an answer gets its turn between two training steps."""
    run = getattr(model, "active_run", None)
    return run is not None and run.shares_memory and run.status == "running"


def can_compare(model: Any) -> bool:
    return model.trained is not None or model.saved_at is not None or is_live(model)


def badge_of(model: Any, side: str) -> str:
    """Return which weights answer: the base, a live step, or a finished run's step."""
    if side in SIDES:
        return "the base, without what was trained" if side == "base" else str(model.answering)
    return f"step {step_of(side)[1]} of run {step_of(side)[0]}"


def side_of(run: str, step: int) -> str:
    """Return the name of the side that a checkpoint answers on."""
    return f"{run}@{step}"


def step_of(side: str) -> tuple[str, int]:
    """Return (run, step) of a checkpoint's side."""
    run, _, step = side.rpartition("@")
    return run, int(step)


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return sampling settings with their types and ranges held."""
    ranges = {"temperature": (0.0, 2.0, float), "top_p": (0.01, 1.0, float), "max_new_tokens": (1, 32768, int)}
    found = dict(values)
    for name, (low, high, kind) in ranges.items():
        if name in found:
            try:
                found[name] = min(high, max(low, kind(float(found[name]))))
            except (TypeError, ValueError):
                found[name] = DEFAULTS[name]
    if "tools" in found:
        found["tools"] = False if found["tools"] is False else None
    if "steps" in found:
        given = found["steps"] if isinstance(found["steps"], list) else []
        found["steps"] = [side for side in map(str, given) if side.rpartition("@")[2].isdigit()][:_MOST_STEPS]
    if isinstance(found.get("stop"), str):
        found["stop"] = [line for line in found["stop"].splitlines() if line]
    for name, allowed in _TEMPLATE_OPTIONS.items():
        if name in found and found[name] not in allowed:
            found[name] = None
    if "seed" in found:
        text = str(found["seed"]).strip()
        found["seed"] = int(text) if text.isdigit() else None
    return found


def utf16_length(text: str) -> int:
    """Return the length as JavaScript counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
