"""RewardModel: what method ``reward`` trained, as a scorer in training and evaluation, and to choose the best of several answers.

It loads its own copy of the base when it is first asked, and keeps what it said. ``"reward_model@RUN"`` is its name wherever a
scorer is named, so that a file, a shell and another process have it, too.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.loaded.rewarding import REWARD
from shadownb.engine.messages import canonical_messages
from shadownb.engine.objectives.reward import STEP_SEPARATOR, read_answer, read_steps
from shadownb.engine.ports.backend import TellsValues
from shadownb.engine.scoring.base import Sample, Score
from shadownb.engine.scoring.cached import Cached
from shadownb.errors import ConfigError, DataError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model
    from shadownb.engine.rendering import Rendered
    from shadownb.engine.runs.handle import Run

Messages = Sequence[dict[str, Any]]
_NAME = "reward_model"
_REDUCED: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda values: math.fsum(values) / len(values),
    "prod": math.prod,
    "last": lambda values: values[-1],
}
_open: weakref.WeakValueDictionary[str, RewardModel] = weakref.WeakValueDictionary()


class RewardModel:
    """A trained reward model: give it wherever a scorer is taken.

    Parameters
    ----------
    source
        A run of method ``reward``, its id, a folder that ``model.save`` wrote (or trl's RewardTrainer, of a LoRA run), or a loaded
        model.
    reduce
        What the probabilities of an answer's steps become, of one that was trained on steps: ``min``, ``mean``, ``prod`` or
        ``last``.
    device
        As of :func:`shadownb.load`.
    size
        Verdicts that are kept.

    Raises
    ------
    ConfigError
        ``reduce`` is none of these.
    ModelError
        When it is first asked: the source is no reward model.

    Examples
    --------
    >>> pairs = [{"prompt": "Where is it?", "chosen": "shipping", "rejected": "I cannot say."}] * 4
    >>> judged = snb.load(run.base_model).train(pairs, method="reward", max_steps=2, background=False)
    >>> reward = snb.RewardModel(judged)
    >>> scores = reward.score("Where is it?", ["shipping", "I cannot say."])
    >>> len(scores), all(isinstance(score, float) for score in scores)
    (2, True)
    >>> reward.name == f"reward_model@{judged.id}", reward.of_steps, reward.model.answering
    (True, False, ...)
    >>> reward.unload()  # it is loaded anew when it is asked something new
    """

    needs_expected = False

    def __init__(
        self,
        source: Run | Model | str | Path,
        *,
        reduce: Literal["min", "mean", "prod", "last"] = "min",
        device: str = "auto",
        size: int = 100_000,
    ) -> None:
        if reduce not in _REDUCED:
            raise ConfigError(f"reduce={reduce!r} is not known.", fix=f"Use one of: {', '.join(_REDUCED)}.")
        self._given: Any = source if hasattr(source, "require_loaded") else None
        self._source = str(getattr(source, "id", source)) if self._given is None else ""
        self._reduce, self._device = reduce, device
        self._model: Model | None = None
        self._lock = threading.RLock()
        self._kept = Cached(_Asked(self), size=size)
        self.name = f"{_NAME}@{self._source}" if self._source else _NAME
        if self._source:
            _open.setdefault(self.name, self)

    def __repr__(self) -> str:
        return f"RewardModel({self._source or repr(self._given)})"

    @classmethod
    def named(cls, source: str) -> RewardModel:
        """Return the reward model of ``"reward_model@source"``, of this process where there is one: it is loaded once."""
        return _open.get(f"{_NAME}@{source}") or cls(source)

    # -- the model ----------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The loaded model; it is loaded when it is first needed.

        Raises
        ------
        ModelError
            It is no reward model.
        """
        with self._lock:
            if self._model is None:
                from shadownb.engine.models.loading import load

                model = self._given if self._given is not None else load(self._source, device=self._device)
                if model.weights.kind != REWARD:
                    have = model.answering if model.weights.kind else "nothing that was trained"
                    raise ModelError(
                        f"RewardModel({self._source or model.name!r}): that is no reward model, it has {have}.",
                        fix="Train one: model.train(pairs, method='reward'); or take a program or a judge as the scorer.",
                    )
                if not isinstance(model.backend, TellsValues):
                    raise ModelError(
                        f"backend={model.backend_name!r} cannot ask a reward model.",
                        fix="Load it with backend='torch'.",
                    )
                self._model = model
            self._model.require_loaded()
            return self._model

    @property
    def of_steps(self) -> bool:
        """Whether it was trained on steps, and so judges each."""
        trained_on = self.model.trained_on
        return trained_on is not None and trained_on.steps

    def unload(self) -> None:
        """Free the weights of the copy that it loaded; what it said is kept, and it loads again when it is asked anew."""
        with self._lock:
            if self._model is not None and self._given is None:
                self._model.unload()
            self._model = None

    # -- asked --------------------------------------------------------------------------------------------------------

    def score(self, prompt: str | Messages, answers: Sequence[str], *, tools: Any = None) -> list[float]:
        """Return the reward of each answer to a prompt, in the order of the answers; higher is better, of no fixed range.

        Of a model of steps it is a probability from 0 to 1, made of those of the answer's lines.

        Raises
        ------
        DataError
            An answer does not fit into the model's positions.

        Examples
        --------
        >>> pairs = [{"prompt": "Where is it?", "chosen": "shipping", "rejected": "I cannot say."}] * 4
        >>> judged = snb.load(run.base_model).train(pairs, method="reward", max_steps=2, background=False)
        >>> good, bad = snb.RewardModel(judged).score("Where is it?", ["shipping", "I cannot say."])
        >>> good > bad
        True
        """
        if isinstance(answers, str):
            raise ConfigError("answers is one text.", fix="Give a list: reward.score(prompt, [answer]).")
        messages = self._asked(prompt)
        found = self.score_many([Sample(one, "", messages=messages, tools=tools) for one in answers])
        missing = next((score.reason for score in found if score.value is None), None)
        if missing is not None:
            raise DataError(f"An answer cannot be scored: {missing}", fix="Shorten it, or leave it out.")
        return [float(score.value) for score in found if score.value is not None]

    def steps(self, prompt: str | Messages, steps: Sequence[str], *, tools: Any = None) -> list[float]:
        """Return for each step of an answer the probability that it is right, by all that stands before and in it.

        Raises
        ------
        ModelError
            It was trained on whole answers.
        DataError
            The steps do not fit into the model's positions.

        Examples
        --------
        >>> said = [{"prompt": "2 + 3?", "completions": ["2 + 3 = 5", "So 6."], "labels": [True, False]}] * 4
        >>> judged = snb.load(run.base_model).train(said, method="reward", max_steps=8, learning_rate=1e-2, background=False)
        >>> right, wrong = snb.RewardModel(judged).steps("2 + 3?", ["2 + 3 = 5", "So 6."])
        >>> right > wrong
        True
        """
        if not self.of_steps:
            raise ModelError(
                f"{self!r} was trained on whole answers, and says nothing of their steps.",
                fix="Use score(), or train on rows with prompt, completions and labels.",
            )
        row = {"prompt": self._asked(prompt), **({"tools": tools} if tools else {})}
        (values,) = self._values([read_steps(self.model.renderer, row, steps, self._room)])
        return [_sigmoid(value) for value in values]

    def __call__(self, output: str, expected: str = "", **shown: Any) -> Score:
        """Return the reward of one answer, as a scorer."""
        return self.score_many([Sample(output, expected, **shown)])[0]

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the rewards of many answers, of those alone computed that are new, in batches.

        Examples
        --------
        >>> pairs = [{"prompt": "Where is it?", "chosen": "shipping", "rejected": "I cannot say."}] * 4
        >>> judged = snb.load(run.base_model).train(pairs, method="reward", max_steps=2, background=False)
        >>> asked = [{"role": "user", "content": "Where is it?"}]
        >>> answers = [snb.scoring.Sample(said, "", messages=asked) for said in ("shipping", "I cannot say.")]
        >>> good, bad = snb.RewardModel(judged).score_many(answers)
        >>> good.value > bad.value
        True
        """
        return self._kept.score_many(samples, timeout=timeout)

    # -- computed -----------------------------------------------------------------------------------------------------

    @property
    def _room(self) -> int | None:
        return self.model.lengths.positions

    def _asked(self, prompt: str | Messages) -> list[dict[str, Any]]:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return self._begun(canonical_messages(messages))

    def _begun(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a conversation behind the system prompt of the rows, where it has none of its own."""
        trained_on = self.model.trained_on
        system = trained_on.system_prompt if trained_on is not None else None
        if system is None or (messages and messages[0]["role"] == "system"):
            return messages
        return [{"role": "system", "content": system}, *messages]

    def _values(self, rows: Sequence[Rendered]) -> list[list[float]]:
        model = self.model
        backend: Any = model.backend
        found: list[list[float]] = backend.values(model, rows)
        return found

    def compute(self, samples: Sequence[Sample]) -> list[Score]:
        """Return the rewards of answers, all of them computed; of None, with the reason, where one cannot be read."""
        rows: list[Rendered | None] = []
        reasons: list[str] = []
        for sample in samples:
            try:
                rows.append(self._row(sample))
                reasons.append("")
            except DataError as error:
                rows.append(None)
                reasons.append(error.what)
        values = iter(self._values([row for row in rows if row is not None]))
        found = []
        for row, reason in zip(rows, reasons, strict=True):
            if row is None:
                found.append(Score(None, reason))
                continue
            said = next(values)
            found.append(Score(_REDUCED[self._reduce]([_sigmoid(v) for v in said]) if self.of_steps else said[0]))
        return found

    def _row(self, sample: Sample) -> Rendered:
        messages = list(sample.messages) or [{"role": "user", "content": sample.prompt}]
        row: dict[str, Any] = {"prompt": self._begun(messages), **({"tools": sample.tools} if sample.tools else {})}
        if not self.of_steps:
            reply = [{"role": "assistant", "content": sample.completion or sample.output}]
            return read_answer(self.model.renderer, row, reply, self._room)
        steps = [line for line in sample.output.split(STEP_SEPARATOR) if line.strip()]
        if not steps:
            raise DataError("The answer is empty, so it has no step")
        return read_steps(self.model.renderer, row, steps, self._room)


class _Asked:
    """What :class:`~..scoring.cached.Cached` asks about answers that are new."""

    name, needs_expected = _NAME, False

    def __init__(self, reward: RewardModel) -> None:
        self._reward = weakref.ref(reward)

    def __call__(self, output: str, expected: str) -> Score:
        return self.score_many([Sample(output, expected)])[0]

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        reward = self._reward()
        assert reward is not None, "whoever asks holds it"
        return reward.compute(samples)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
