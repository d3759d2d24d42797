"""Where the examples of each step come from: an epoch of rows, or what an objective makes in the run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shadownb.engine.inference.types import Completion, Rollout, Sampling
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import Rendered
from shadownb.engine.rendering.packing import Bundle

if TYPE_CHECKING:
    from shadownb.engine.rendering.renderer import Renderer


class SourceRun(Protocol):
    """What a run does for a source: its weights answer and score, and it keeps what they answered.

    A stop of the run is raised by whatever takes long, so that nobody trains on answers that it broke off.

    Attributes
    ----------
    samples
        The folder of the run for answers.
    renderer
        Makes tokens of conversations, as the model is asked.
    positions
        How many tokens of a row the model has room for; None where there is no limit.
    """

    @property
    def samples(self) -> Path: ...

    @property
    def renderer(self) -> Renderer: ...

    @property
    def positions(self) -> int | None: ...

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Completion]:
        """Have the weights of the moment answer prompts, given as token ids."""

    def rollouts(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]:
        """Have them answer each prompt ``n`` times; each answer comes when it is finished, those of ``skip`` are left out."""

    def log_probs(self, bundles: Sequence[Bundle], *, reference: bool = False) -> list[list[list[float]]]:
        """Return the log-probabilities of the trained tokens of each row of each bundle.

        ``reference`` asks the model as the run found it; only where :meth:`keep_reference` was called before the first step.
        """

    def distributions(
        self, rows: Sequence[Rendered], *, reference: bool = False
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield pieces of rows, in order: (number of the row, its next trained tokens, log-probabilities at their places).

        The log-probabilities are a numpy array of shape (tokens, vocabulary), at temperature 1. ``reference`` is that of
        :meth:`log_probs`.

        Raises
        ------
        ModelError
            The model's backend does not tell them.
        """

    def trains(self, model: Any) -> bool:
        """Return whether a loaded model is the very one that is trained."""

    def keep_reference(self) -> None:
        """Keep the model as the run found it; to be called before the first step, and in each attempt."""

    def weights_digest(self) -> str:
        """Return the sha256 of what is trained, as it is now."""

    def said(self, completion: Completion, prompt: Sequence[int]) -> str:
        """Return what an answer says behind its reasoning; all of it where that was not ended."""

    def answered(self, step: int, groups: Sequence[dict[str, Any]]) -> None:
        """Write the scored answers of a step into ``samples``, for readers of the run."""

    def check(self) -> None:
        """Raise where a stop was asked for."""

    def stopped(self) -> bool:
        """Return whether one was, for what is to end by itself."""

    def phase(self, name: str, done: int = 0, total: int | None = None, unit: str = "") -> None:
        """Tell what is going on."""

    def warn(self, what: str, *, why: str = "", fix: str = "", code: str = "warning") -> None:
        """Tell the user something that does not stop the run."""


class ExampleSource(Protocol):
    """Which examples each step trains on; a function of the step wherever it can be, so that there is no state to keep.

    ``next`` is called once a step, without the weights held, and may generate. What it draws at random depends on seed and
    step alone. State that no later weights could make again goes into the checkpoint, also in the middle of what several
    steps share.
    """

    def next(self, step: int) -> Sequence[Example]:
        """Return the examples of a step, counted from 0."""

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the data."""

    def known(self, steps: int) -> Sequence[int]:
        """Return the numbers, ascending, of the examples that the first ``steps`` steps see."""

    def save(self, folder: Path) -> None:
        """Write what only a resume needs."""

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
