"""The checkpoints of a run in its panel: which is its result, and how well each knows the rows that were held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from shadownb.errors import ModelError, ShadowWarning

from ._finish import base_at_hand

NOT_MEASURED: dict[str, Any] = {"stage": "none"}


def listed(run: Any, state: Any) -> list[dict[str, Any]]:
    """Return the checkpoints as the page shows them: step, folder, whether it is there still, final, best, the result."""
    folder = run.path / "checkpoints"
    chosen = promoted_or_final(run, state)
    best = next(
        (each["step"] for each in reversed(state.checkpoints) if each.get("best")), None
    )  # earlier ones were, then
    found = []
    for each in state.checkpoints:
        path, is_best = folder / each["path"], best is not None and each["step"] == best
        here = {"path": str(path), "gone": not path.is_dir(), "result": each["path"] == chosen, "best": is_best}
        found.append({**each, **here})
    return found


def promoted_or_final(run: Any, state: Any) -> str:
    """Return the folder name of the checkpoint that the run is loaded with; empty while that is open."""
    from shadownb.engine.runs.promoting import promoted

    final = next((each["path"] for each in reversed(state.checkpoints) if each.get("final")), "")
    return promoted(run.folder) or str(final)


def measure(run: Any, names: Mapping[str, Any], told: Callable[[dict[str, Any]], None]) -> None:
    """Tell the mean loss on the run's held-out rows of the base and of each checkpoint that is there, one after the other.

    The model of a variable is asked where one has the same base; else the run's is loaded, and let go afterwards. Whole weights
    are loaded one checkpoint at a time.

    Raises
    ------
    ShadowError
        The run held no rows out, or they are gone.
    """
    from shadownb.engine import runs
    from shadownb.engine.models import load

    rows = runs.rows(run.id, "held_out")
    kept = run.checkpoints()
    state: dict[str, Any] = {"stage": "working", "rows": len(rows), "done": 0, "total": len(kept) + 1, "losses": {}}
    told(state)
    _, at_hand = base_at_hand(run, names)
    model = at_hand if at_hand is not None else load(run.id)
    try:
        for which, use in [("base", "base"), *((str(each.step), each) for each in kept)]:
            with warnings.catch_warnings():  # of rows that are cut, once for each checkpoint; the run has told of them
                warnings.simplefilter("ignore", ShadowWarning)
                loss = _loss(model, use, rows, run.config)
            state = {**state, "done": state["done"] + 1, "losses": {**state["losses"], which: round(loss, 4)}}
            told(state)
    finally:
        if at_hand is None:
            model.unload()
    told({**state, "stage": "ready"})


def _loss(model: Any, use: Any, rows: Any, config: Any) -> float:
    """Return the loss of some weights; those that cannot answer beside others are loaded, and let go again."""
    from shadownb.engine.models import load
    from shadownb.engine.models.adapters import weights_asked

    asked: dict[str, Any] = {"loss_on": config.loss_on, "max_length": config.max_length}
    try:
        weights_asked(use, model)
    except ModelError:
        if isinstance(use, str):
            raise
        whole = load(str(use.path), device=model.device.type)
        try:
            return float(whole.loss(rows, **asked))
        finally:
            whole.unload()
    return float(model.loss(rows, use=use, **asked))
