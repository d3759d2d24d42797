"""What one panel of a Studio means for the others: a button of a run opens the panel that does it, filled; rows go to Train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._finish import ACTIONS, model_at_hand
from ._naming import name_of

if TYPE_CHECKING:
    from .studio import Studio


def finish(studio: Studio, action: str, run: Any, steps: Sequence[int]) -> None:
    """Fill the panel that goes on with a run, and open its tab.

    Parameters
    ----------
    steps
        Checkpoints that are meant; empty for the run's result.
    """
    fill: dict[str, Callable[[], None]] = {
        "chat": lambda: _chat(studio, run, steps),
        "evaluate": lambda: studio.evaluate.fill(run),
        "save": lambda: studio.export.fill(run, "save"),
        "export": lambda: studio.export.fill(run, "export"),
        "push": lambda: studio.export.fill(run, "push"),
        "serve": lambda: studio.serve.fill(run),
        "branch": lambda: studio.train.branch(run, steps[0] if steps else None),
        "resume": run.resume,
    }
    fill[action]()
    studio.tab = ACTIONS[action][2]


def train_on(studio: Studio, choice: str) -> None:
    """Choose recorded data in Train, and open it."""
    studio.train.take_choice(choice)
    studio.tab = "train"


def train_on_data(studio: Studio) -> None:
    """Choose the rows of the Data tab in Train, those that are held out to evaluate on, and open it."""
    held_out = name_of(studio.data.held_out, studio.names)
    studio.train.take_split(f"var:{name_of(studio.data.dataset, studio.names)}", f"var:{held_out}" if held_out else "")
    studio.tab = "train"


def _chat(studio: Studio, run: Any, steps: Sequence[int]) -> None:
    """Let the run's result answer; checkpoints beside it where some are meant."""
    if steps:
        studio.chat.beside(run, steps)
        return
    _, model = model_at_hand(run, studio.names)
    if model is not None:
        studio.chat.use(model)
    else:
        studio.chat.use_run(run)
