"""What the next run of the Train panel starts from. No widget, no thread.

The rule for what is chosen at first: "again" means again. A run starts from what the model was when it was chosen here, so that a
second run with another option is comparable with the first; to train the result of a run on is a choice.
"""

from __future__ import annotations

from typing import Any

BASE, TRAINED, FIRST, OFFERED = "base", "trained", "first", "checkpoint"


class StartChoice:
    """The choice for one model; another model begins a new one."""

    def __init__(self) -> None:
        self._model: Any = None
        self._first: dict[str, Any] | None = None  # the saved state when the model was chosen, None for its base
        self._picked: str | None = None
        self._offered: tuple[str, int, str] | None = None  # run, step and folder of a checkpoint

    def offer(self, run: str, step: int, folder: str) -> None:
        """Choose a checkpoint to start from, also for a model that is still to be loaded; another model by hand drops it."""
        self._offered, self._picked = (run, step, folder), OFFERED

    def withdraw(self) -> None:
        """Drop the checkpoint that was offered."""
        self._offered = None

    def follow(self, model: Any) -> None:
        """Take a model that was chosen or described again; only another one changes what is first."""
        if model is not self._model:
            from shadownb.engine.runs.chosen_start import saved_state
            from shadownb.engine.runs.store import default_store

            self._model, self._picked = model, OFFERED if self._offered is not None else None
            self._first = saved_state(model, default_store()) if model is not None else None

    def pick(self, choice: str) -> None:
        """Choose ``base``, ``trained`` (the model as it is), ``first`` (as it was when it was chosen) or ``checkpoint``."""
        self._picked = choice

    @property
    def chosen(self) -> str:
        """What is chosen: as picked where that is still there, else what the rule says."""
        ids = [choice["id"] for choice in self.choices()]
        if self._picked in ids:
            return str(self._picked)
        if self._first is None:
            return BASE
        return FIRST if FIRST in ids else TRAINED

    @property
    def from_base(self) -> bool:
        """Whether the next run starts from the fresh base."""
        return self.chosen == BASE

    def argument(self) -> str:
        """Return ``start`` as :meth:`Model.train` takes it."""
        chosen = self.chosen
        if chosen == OFFERED and self._offered is not None:
            return self._offered[2]
        return str(self._first["path"]) if chosen == FIRST and self._first is not None else chosen

    def choices(self) -> list[dict[str, str]]:
        """Return what can be chosen, each with what it means for the model; the base alone where nothing was trained."""
        model = self._model
        offered = []
        if model is not None and self._offered is not None:
            run, step, _ = self._offered
            offered = [
                {"id": OFFERED, "title": f"Train on from step {step} of run {run}", "note": "a checkpoint of that run"}
            ]
        if model is None or model.adapter is None:
            return [{"id": BASE, "title": "The base", "note": "nothing was trained on it yet"}, *offered]
        left = f'run {model.trained[0]} keeps its result: shadownb.load("{model.trained[0]}")' if model.trained else ""
        found = [
            {
                "id": BASE,
                "title": "The fresh base",
                "note": left or "what the model carries is taken off; its folder keeps it",
            },
            {"id": TRAINED, "title": f"Train on from {_in_words(model)}", "note": "the model as it is now"},
        ]
        if self._first is not None and not self._is_at_first():
            run = self._first["trained"]
            title = f"step {run[1]} of run {run[0]}" if run else f"the adapter in {self._first['path']}"
            found.append(
                {"id": FIRST, "title": f"Again from {title}", "note": "as the model was when it was chosen here"}
            )
        return [*found, *offered]

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        model = self._model
        loaded = model is not None and model.is_loaded
        gigabytes = model.weights.base_bytes / 1e9 if loaded and model.adapter is not None else None
        return {"choice": self.chosen, "choices": self.choices() if loaded else [], "copy_gb": gigabytes}

    def plan(self) -> tuple[str, str]:
        """Return (what the next run starts from, what that means), for the card of what will run."""
        choice = next(one for one in self.choices() if one["id"] == self.chosen)
        words = choice["title"].removeprefix("Train on from ").removeprefix("Again from ")
        return words[:1].lower() + words[1:], choice["note"]

    def _is_at_first(self) -> bool:
        from shadownb.engine.runs.chosen_start import is_at

        return is_at(self._model, self._first)


def _in_words(model: Any) -> str:
    if model.trained is not None:
        return f"step {model.trained[1]} of run {model.trained[0]}"
    return f"the adapter in {model.saved_at}" if model.saved_at is not None else "what it carries"
