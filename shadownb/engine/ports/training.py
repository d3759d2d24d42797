"""What the loop asks of a backend while it trains, what a backend may ask of the run, and where examples come from.

A part of a backend. Recipe: CONTRIBUTING.md, "A backend"; suite: tests/ports/test_backend.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.config import TrainConfig
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.objectives import Objective, Remark
from shadownb.engine.objectives.arrays import Ops, Tokens
from shadownb.engine.objectives.sources import ExampleSource
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle

__all__ = ["Asked", "ExampleSource", "Listener", "Plan", "TrainingServices", "TrainingSession"]


@dataclass(frozen=True)
class Plan:
    """What a run asks its training for: (value, reason) of each.

    Attributes
    ----------
    kernels
        Whether a package's fused kernels are put on the model.
    own_kernels
        Whether the backend may take faster ways of its own; which ones it took is among the session's decisions.
    """

    optimizer: tuple[str, str]
    checkpointing: tuple[bool, str]
    kernels: tuple[bool, str]
    own_kernels: tuple[bool, str]

    def to_dict(self) -> dict[str, list[object]]:
        """Return the decisions for a run's record."""
        return {
            "optimizer": list(self.optimizer),
            "gradient_checkpointing": list(self.checkpointing),
            "fused_kernels": list(self.kernels),
        }


@dataclass
class Asked:
    """What was asked of the loop at a step.

    Attributes
    ----------
    stop
        Who asked for the end of the training, which then ends as it does after its last step; empty where nobody did.
    report, evaluate, save
        Whether that is to be done at this step, also where it would not be its turn.
    """

    stop: str = ""
    report: bool = False
    evaluate: bool = False
    save: bool = False


class Listener:
    """Who is told of the loop's moments beside the journal, and may ask for something; this one is silent.

    It is called in the training thread, without the weights held. Nothing that it is told of fails because of it.
    """

    def __init__(self) -> None:
        self.asked = Asked()

    def stepped(self, step: int, epoch: float) -> None:
        """A step is done: so many are, which have gone so many times through the data."""

    def reported(self, metrics: dict[str, Any]) -> None:
        """The step's numbers are in the journal."""

    def evaluated(self, metrics: dict[str, Any]) -> None:
        """An evaluation gave ``eval_loss`` and the objective's metrics."""

    def saved(self) -> None:
        """A checkpoint was written."""


class TrainingServices(Protocol):
    """What a run does for the backend that computes it.

    ``check`` raises where a stop was asked for; it is called wherever work can be dropped without harm. ``weights`` holds the
    weights inside its block; in a step they are held already, and taking them again is free.
    """

    @property
    def gate(self) -> WeightsGate:
        """Guards the weights; ``answered`` says how many answers others have had from them."""

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for."""

    def weights(self) -> contextlib.AbstractContextManager[None]:
        """Have the weights inside the block."""

    def warn(self, what: str, *, why: str = "", fix: str = "", code: str = "warning") -> None:
        """Tell the user something that does not stop the run."""


class TrainingSession(Protocol):
    """Weights being trained: opened, used and closed in one thread.

    A step is ``compute`` and then ``update``, with the weights held. ``compute`` leaves all gradients of the step or, where it
    raises, none. ``update`` moves the weights or, where it returns None, leaves them (a gradient that does not fit into fp16).
    Numbers of a step depend on its number and its examples alone, so that a resumed run computes what the first would have:
    whatever is drawn at random is a function of the seed and the step.

    It is made with what is trained on the model; within :meth:`opened` it can step.

    Attributes
    ----------
    config
        The options with the settings that what is trained really has.
    continues
        Whether it was on the model before, so that training goes on with it.
    trained_parameters
        How many numbers belong to what is trained.
    separate
        Whether what is trained exists apart from the whole model.
    ops
        The array functions that losses are written over.
    may_skip
        Whether ``update`` can return None.
    peak_memory_gb
        The most memory seen so far, in units of 1e9 bytes.
    """

    config: TrainConfig
    continues: bool

    @property
    def trained_parameters(self) -> int: ...

    @property
    def separate(self) -> bool: ...

    @property
    def ops(self) -> Ops[Any]: ...

    @property
    def may_skip(self) -> bool: ...

    @property
    def peak_memory_gb(self) -> float: ...

    def remarks(self) -> Iterator[Remark]:
        """Yield what is to be said of training this on this model."""

    def decisions(self) -> dict[str, Decision]:
        """Return what was decided by looking at the model, each with its reason."""

    def opened(self, plan: Plan, objective: Objective) -> contextlib.AbstractContextManager[None]:
        """Have everything that steps need inside the block, and give the model back as it was found.

        The forward pass computes what the objective's ``needs`` name, and nothing else beside log-probabilities. Where several
        processes share the run and one of them leaves the block with an error, the others are told and fail in their next step.
        """

    def listening(
        self, callbacks: Sequence[Any], folder: Path, total_steps: int, step: int
    ) -> contextlib.AbstractContextManager[Listener]:
        """Have the trackers of ``report_to`` and the user's callbacks ready inside the block; yields who is told.

        ``callbacks`` are what :meth:`~shadownb.engine.ports.backend.Backend.check_callbacks` let pass. ``folder`` is the run's,
        named by its id; ``step`` is where it stands.
        """

    def snapshot(self) -> Any:
        """Return a copy of what is trained, for :meth:`restore`."""

    def restore(self, kept: Any) -> None:
        """Put a copy back."""

    def forget_gradients(self) -> None:
        """Drop what a broken step left; outside of :meth:`opened`, too."""

    def followed(self) -> Iterator[int]:
        """Yield the steps that the first of several processes computes, for the others, until it says that no more come.

        Where processes share a run (torchrun), the first alone writes journal and checkpoints and obeys commands.
        """

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Return a step's loss (its summed loss over ``total``) and leave the gradients; ``step`` counts from 0.

        Raises
        ------
        NonFiniteLossError
            The loss is NaN or infinite.
        """

    def update(self, rate: float) -> float | None:
        """Clip and move the weights; returns the gradient's norm before clipping, None where nothing was moved.

        Raises
        ------
        NonFiniteLossError
            The norm is not finite, and no scale of fp16 is the reason. Nothing has been moved.
        """

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        """Yield (summed loss, how many examples it is of) pass by pass, without gradients."""

    def score(self, bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], Tokens[Any]]]:
        """Yield (numbers of bundles, their tokens) pass by pass, of the weights as they are, without gradients.

        Tokens are the backend's own arrays: summed another way than in training, a first DPO loss is not ln 2.
        """

    def save(self, folder: Path) -> None:
        """Write what only a resume needs: the optimizer's state, and 32-bit copies or a scale where there are such."""

    def load(self, folder: Path, *, own: bool) -> None:
        """Read what :meth:`save` wrote, bit for bit; not ``own`` is of another run, whose rates are not taken over.

        Raises
        ------
        CheckpointError
            It is of another optimizer, or of other weights.
        """

    def save_weights(self, folder: Path) -> None:
        """Write what is trained, as it loads on its own."""

    def load_weights(self, folder: Path) -> None:
        """Read what :meth:`save_weights` wrote into the weights that are trained."""

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""

    def checkpoint_bytes(self) -> int:
        """Return how much room a checkpoint needs at most."""

    def digest(self) -> str:
        """Return the sha256 of what is trained."""

    def actual_setup(self) -> dict[str, Any]:
        """Return what the training truly had (optimizer, kernels, number formats), read from the objects after a step."""
