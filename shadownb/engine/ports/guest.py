"""The port of a guest: a package with its own training loop, and what the run does for it.

A guest's methods are named ``guest:trainer``. As for our own loop, the backend puts the adapter on the model; the guest trains it.
Journal, checkpoints, commands, samples and the gate over the weights belong to the run: the guest reports its progress to
:class:`GuestRun` and does what that asks. There is one guest, trl; its suite is tests/engine/test_trl_guest.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference.gate import WeightsGate
    from shadownb.engine.methods import GuestMethod, MethodSpec
    from shadownb.engine.ports.training import TrainingSession

Row = dict[str, Any]


class GuestRun(Protocol):
    """What a run does for a guest that trains, all in the training thread.

    A step is ``begin_step``, then ``end_step``; between them the weights are held. ``begin_step`` and ``check`` raise where a
    stop was asked for; then the guest lets the exception pass, with the weights as the last whole step left them.
    """

    @property
    def config(self) -> TrainConfig: ...

    @property
    def gate(self) -> WeightsGate:
        """Guards the weights; for what has to have them also after a stop."""

    @property
    def folder(self) -> Path:
        """The run's folder, whose name is its id."""

    @property
    def callbacks(self) -> Sequence[Any]:
        """The user's callbacks."""

    @property
    def total_steps(self) -> int: ...

    @property
    def max_length(self) -> int:
        """Most tokens of a row."""

    @property
    def chat_template(self) -> str:
        """The jinja template by which the model is asked, with what it is told by default."""

    @property
    def eval_steps(self) -> int: ...

    @property
    def save_steps(self) -> int: ...

    @property
    def step(self) -> int:
        """Optimizer steps done."""

    @property
    def over(self) -> bool:
        """Whether no step is to follow: a stop was asked for, or patience ran out."""

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0."""

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for; cheap enough for every forward pass."""

    def weights(self) -> contextlib.AbstractContextManager[None]:
        """Have the weights inside the block, outside of steps."""

    def phase(self, name: str, done: int = 0, total: int | None = None, unit: str = "") -> None:
        """Tell what is going on."""

    def warn(self, what: str, *, why: str = "", fix: str = "", code: str = "warning") -> None:
        """Tell the user something that does not stop the run."""

    def begin_step(self) -> None:
        """Do what is due between steps (samples, a pause), and take the weights."""

    def end_step(self, step: int) -> None:
        """Note that so many steps are done, and give the weights back."""

    def report(self, metrics: dict[str, float], epoch: float) -> None:
        """Put the numbers of the steps since the last report into the journal; ``loss`` is among them."""

    def evaluated(self, metrics: dict[str, float]) -> bool:
        """Take the numbers of the evaluation rows, ``eval_loss`` and others; returns whether this step is now the best."""

    def save(self) -> None:
        """Write a checkpoint of the step just done; a full disk becomes a warning."""


class GuestTraining(Protocol):
    """One training of a guest, ready to begin."""

    @property
    def peak_memory_gb(self) -> float:
        """The most memory seen so far, in units of 1e9 bytes."""

    def run(self, state: Path | None) -> None:
        """Train to the last step, or until the run is over.

        Parameters
        ----------
        state
            What :meth:`save` wrote, to go on from; the weights of that step are on the model already.
        """

    def save(self, folder: Path) -> None:
        """Write what a resume needs beside the weights. No pickles: a checkpoint may come from anybody."""

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""

    def setup(self) -> dict[str, Any]:
        """Return what the training truly has, for the run's record."""


class Guest(Protocol):
    """A package whose trainers are methods. Made once in a process, without arguments.

    Attributes
    ----------
    resume
        What a resume means here, in one sentence.
    """

    resume: str

    def methods(self) -> tuple[GuestMethod, ...]:
        """Return its trainers, the unusable ones with the reason; imports none of them."""

    def spec(self, name: str) -> MethodSpec:
        """Return the spec of a trainer.

        Raises
        ------
        MethodError, MissingDependencyError
            There is no such trainer, or it cannot be used here.
        """

    def options(self, spec: MethodSpec) -> type[BaseModel]:
        """Return the table of a trainer's own options."""

    def refused(self, spec: MethodSpec) -> dict[str, str]:
        """Return the trainer's options that cannot be kept here, each with the reason."""

    def fields(self, spec: MethodSpec) -> frozenset[str]:
        """Return the options of ``TrainConfig`` that it honours, apart from those of what is trained."""

    def columns(self, config: TrainConfig) -> tuple[str, ...]:
        """Return the columns of the data set that it reads beside what a row says."""

    def check(self, config: TrainConfig, backend_name: str, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise ConfigError, MethodError or DataError for what would fail once training has begun."""

    def opened(
        self, session: TrainingSession, rows: Sequence[Row], eval_rows: Sequence[Row], run: GuestRun
    ) -> contextlib.AbstractContextManager[GuestTraining]:
        """Have a training ready inside the block, and give model and process back as they were."""
