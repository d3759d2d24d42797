"""Problems by languages in the Evaluate panel: a square an item, as one model did, and what another made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.evaluation.parts import grid
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation
    from shadownb.engine.evals.evaluation.graded import Graded


def squares(evaluation: Evaluation, suite: str, side: str, to: str) -> dict[str, Any]:
    """Return a suite's problems by its parts as the page gets them.

    Parameters
    ----------
    side, to
        Whose scores they are, and whose stand beside them to see what changed.

    Raises
    ------
    DataError
        No problem of this suite is in two of its parts.
    """
    found = grid(evaluation.items(suite, side))
    if found is None:
        raise DataError(f"{suite} has no problem in several parts.", fix="Look at its items.")
    before = {each.item.id: each.score for each in evaluation.items(suite, to)}
    return {
        "suite": suite,
        "side": side,
        "to": to,
        "parts": found.parts,
        "lines": [
            {"problem": problem, "squares": [_square(each, before) for each in line]} for problem, line in found.lines
        ],
    }


def _square(graded: Graded | None, before: dict[str, float | None]) -> dict[str, Any] | None:
    if graded is None:
        return None
    return {"id": graded.item.id, "score": graded.score, "before": before.get(graded.item.id)}
