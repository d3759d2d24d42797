"""A loaded model as a teacher: it answers, and says how likely each token of an answer is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from shadownb.engine.models.loading import load
from shadownb.engine.objectives.teaching.teacher import Likely, Taught, joined, narrowed
from shadownb.engine.ports.abilities import TellsDistributions
from shadownb.engine.rendering.examples import Example
from shadownb.engine.teachers.vocabularies import require_same
from shadownb.errors import ConfigError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import SourceRun


class LocalTeacher:
    """A model in memory.

    Parameters
    ----------
    given
        A loaded model, or what :func:`shadownb.load` takes; what is loaded here is freed by :meth:`close`.

    Raises
    ------
    ConfigError
        It is the student itself, or its tokens are not the student's.
    """

    def __init__(self, given: Any, run: SourceRun, *, model: str = "") -> None:
        self._own = isinstance(given, str)
        self._run = run
        if not self._own and run.trains(given):
            raise ConfigError(
                "teacher= is the very model that is trained, so it would change while it teaches.",
                fix="Load it a second time with snb.load(...), or use method='sdft' with demonstrations.",
            )
        if not self._own and not hasattr(given, "renderer"):
            raise ConfigError(
                f"teacher= is a {type(given).__name__}, which is no model.",
                fix="Give a loaded Model, an Endpoint, or the name of a model.",
            )
        self.model = self._loaded(given) if self._own else given
        self.name = f"teacher {self.model.name!r}"
        self.answers = True
        try:
            self.model.require_loaded()
            self.tells = isinstance(self.model.backend, TellsDistributions)
            self.why = (
                "" if self.tells else f"backend={self.model.backend_name!r} tells no probabilities of all tokens."
            )
            if self.tells:
                require_same(run.renderer, self.model.renderer, self.name)
        except BaseException:
            self.close()
            raise
        self._identity: str | None = None

    def _loaded(self, name: str) -> Any:
        self._run.phase("loading the teacher")
        try:
            return load(name)
        except ShadowError as error:
            raise type(error)(f"teacher={name!r}: {error.what}", why=error.why, fix=error.fix) from error

    @property
    def identity(self) -> str:
        """The sha256 of what tells its weights from others."""
        if self._identity is None:
            facts = [self.model.base_hash, self.model.weights.identity()]
            self._identity = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
        return self._identity

    def say(
        self, asked: Sequence[Example], *, most: int, temperature: float, seed: int, stopped: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Return its answer to each question; calls of tools are calls."""
        how: dict[str, Any] = {
            "system": None, "max_new_tokens": most, "temperature": temperature, "top_p": 1.0, "should_stop": stopped
        }  # fmt: skip
        found: list[Any] = []
        for tools, group in groupby(asked, key=lambda example: [dict(tool) for tool in example.tools]):
            questions = [[dict(turn) for turn in example.said] for example in group]
            found += self.model.chat(questions, tools=tools or None, seed=seed, **how)
        return [reply.to_message() for reply in takewhile(lambda reply: reply.finish_reason != "cancelled", found)]

    def likely(self, rows: Sequence[Taught], k: int, temperature: float) -> list[Likely]:
        """Return what it says of each row's trained tokens."""
        parts: list[list[Likely]] = [[] for _ in rows]
        done = -1
        for number, targets, logs in self.model.backend.distributions(self.model, [each.row for each in rows], "tuned"):
            parts[number].append(narrowed(logs, targets, k, temperature))
            if number != done:
                done = number
                self._run.phase("asking the teacher", number, len(rows), "rows")
                self._run.check()
        return [joined(of_row) for of_row in parts]

    def close(self) -> None:
        """Unload it, if it was loaded for the run."""
        if self._own and self.model.is_loaded:
            self.model.unload()
