"""Who is evaluated: models with their base, checkpoints, prompts, endpoints, each by a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shadownb.engine.evals.answers import weights_of
from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.sides import Side
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.errors import ConfigError


@dataclass(frozen=True)
class Contender:
    """One of those that are evaluated.

    Examples
    --------
    >>> sides = {"plain": model, "prompted": snb.Contender(model, use="tuned", system="Answer with a queue.")}
    >>> snb.evaluate(sides, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), max_new_tokens=8).sides
    ('plain', 'prompted')

    Attributes
    ----------
    model
        A :class:`~shadownb.engine.ports.chat_model.ChatModel`: a loaded model or an endpoint.
    use
        Which of a loaded model's weights: ``"tuned"``, ``"base"``, a run, a checkpoint, a folder; None: as it is.
    system
        A system prompt that is put before every question, in the place of one that is there; None: none is added.
    name
        What it is called in tables; made from the model's name and ``use`` where it is left out.
    """

    model: Any
    use: Any = None
    system: str | None = None
    name: str = ""

    @property
    def side(self) -> Side:
        """It as whoever asks takes it."""
        return Side(self.name, self.model, self.use)

    def cases(self, cases: Sequence[Case]) -> list[Case]:
        """Return questions with its system prompt."""
        if self.system is None:
            return list(cases)
        first = {"role": "system", "content": self.system}
        return [
            replace(case, messages=[first, *(turn for turn in case.messages if turn.get("role") != "system")])
            for case in cases
        ]

    def identity(self) -> dict[str, Any]:
        """Return what tells it from all others, as plain JSON values: an evaluation goes on with the same ones alone."""
        model = self.model
        told: dict[str, Any] = {"name": self.name, "system": self.system}
        if (address := getattr(model, "base_url", None)) is not None:
            return {**told, "endpoint": str(address), "model": str(model.model)}
        return {**told, "use": _words(self.use), "weights": weights_of(model, self.use)}

    def origin(self) -> dict[str, Any]:
        """Return where it comes from, for people: model, address, base, run and step, as far as each is known."""
        model, use = self.model, self.use
        told: dict[str, Any] = {"model": str(getattr(model, "model", None) or getattr(model, "name", ""))}
        if (address := getattr(model, "base_url", None)) is not None:
            return {**told, "endpoint": str(address)}
        if isinstance(use, Checkpoint):
            return {**told, "run": use.path.parent.parent.name, "step": use.step}
        if (run := getattr(use, "id", None)) is not None:
            return {**told, "run": str(run)}
        trained = getattr(model, "trained", None)
        if use != "base" and isinstance(trained, tuple):
            return {**told, "run": str(trained[0]), "step": int(trained[1])}
        return told


def contenders(models: Any) -> list[Contender]:
    """Return those that are meant, each with a name of its own.

    Parameters
    ----------
    models
        A loaded model (base and tuned, or the base alone where it is not trained), an endpoint, a :class:`Contender`, several in
        a list, or a dict of them by name.

    Raises
    ------
    ConfigError
        There is none, one answers no conversations, or two have one name.
    """
    if isinstance(models, Mapping):
        found = [replace(each, name=str(name)) for name, model in models.items() for each in _single(model)]
    else:
        listed = models if isinstance(models, list | tuple) else [models]
        found = [each for model in listed for each in _several(model)]
    if not found:
        raise ConfigError("models is empty.", fix="Give a loaded model, an endpoint, or several.")
    names = [each.name for each in found]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"Two of those evaluated are called {double!r}.", fix="Name them: {'small': model, 'large': endpoint}."
        )
    return found


def _several(model: Any) -> list[Contender]:
    if isinstance(model, Contender):
        return [model if model.name else replace(model, name=_name(model))]
    _check(model)
    if not getattr(model, "has_base", False):
        return [Contender(model, name=str(getattr(model, "name", None) or type(model).__name__))]
    if getattr(model, "trained", True) is None:
        return [Contender(model, "base", name="base")]
    return [Contender(model, use, name=use) for use in ("base", "tuned")]


def _single(model: Any) -> list[Contender]:
    """Return the one that a name stands for: of a loaded model its weights as they are."""
    if isinstance(model, Contender):
        return [model]
    _check(model)
    return [Contender(model, "tuned" if getattr(model, "has_base", False) else None)]


def _name(contender: Contender) -> str:
    _check(contender.model)
    parts = [contender.use if contender.use in ("base", "tuned") else getattr(contender.model, "name", "model")]
    if isinstance(contender.use, Checkpoint):
        parts = [f"step {contender.use.step}"]
    elif contender.use not in ("base", "tuned", None):
        parts.append(_words(contender.use) or "")
    if contender.system is not None:
        parts.append("prompted")
    return " ".join(map(str, parts))


def _words(use: Any) -> str | None:
    """Return what ``use`` is called, the same in every process."""
    if isinstance(use, Checkpoint):
        return f"step {use.step} of {use.path.parent.parent.name}"
    return None if use is None else str(getattr(use, "id", None) or getattr(use, "name", None) or use)


def _check(model: Any) -> None:
    if not callable(getattr(model, "chat", None)):
        raise ConfigError(
            f"models has {model!r:.80}, which answers no conversations.",
            fix="Give a loaded model, a snb.Endpoint, or a snb.Contender.",
        )
