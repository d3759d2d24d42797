"""Who a distillation's teacher is: a model, a server, or the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine import functions, registry
from shadownb.engine.objectives.teaching.teacher import Likely, Taught, Teacher
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import SourceRun
    from shadownb.engine.objectives.teaching.options import DistillOptions

_SERVERS = ("http://", "https://")


def find(own: DistillOptions, run: SourceRun) -> Teacher:
    """Return the teacher that the options name, once it is seen that this student can learn from it.

    Raises
    ------
    ShadowError
        It cannot be had, or compared with the student.
    """
    if not own.teacher:
        return OfRows()
    given: Any = own.teacher
    if functions.is_of_this_process(own.teacher):
        given = functions.load("teacher", own.teacher)
    served = given.startswith(_SERVERS) if isinstance(given, str) else hasattr(given, "base_url")
    kind: Callable[..., Teacher] = registry.resolve("teacher", "served" if served else "model")
    return kind(given, run, model=own.teacher_model)


class OfRows:
    """Rows that have a teacher's probabilities of their own tokens; there is nobody to ask."""

    name, identity = "rows' teacher", "rows"
    tells, why, answers = True, "", False

    def say(
        self, asked: Sequence[Example], *, most: int, temperature: float, seed: int, stopped: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Say nothing: it is never asked."""
        raise NotImplementedError

    def likely(self, rows: Sequence[Taught], k: int, temperature: float) -> list[Likely]:
        """Say nothing: it is never asked."""
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing."""
