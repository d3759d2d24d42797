"""Where an attempt of a run is trained: what an executor has to do.

Recipe: CONTRIBUTING.md, "An executor"; suite: tests/ports/test_executor.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.processes import is_elsewhere


@dataclass(frozen=True)
class Attempt:
    """What an executor is asked to do.

    Attributes
    ----------
    commands_from
        Offset into ``commands.jsonl``; what stands before it was meant for earlier attempts.
    resume
        Go on from the newest valid checkpoint.
    checkpoint
        Go on from this checkpoint folder instead (``resume_from_checkpoint``).
    callbacks
        Objects of this process that are called back; only where the executor takes such.
    """

    commands_from: int
    resume: bool = False
    checkpoint: str | None = None
    callbacks: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Launch:
    """What the journal says of the last time that an executor was asked to go on with a run.

    Attributes
    ----------
    by, worker
        Marks (:func:`~shadownb.engine.processes.process_mark`) of the process that asked, and of the one that trains, if it
        is another and has said so.
    time
        When that was, in seconds since 1970.
    begun
        Whether the attempt has begun. From then on its owner holds the lock of the run's folder.
    """

    executor: str = ""
    by: Mapping[str, Any] | None = None
    worker: Mapping[str, Any] | None = None
    time: float = 0.0
    begun: bool = False

    @property
    def mark(self) -> Mapping[str, Any] | None:
        """The process that trains or will, as far as it is known."""
        return self.worker or self.by

    @property
    def is_elsewhere(self) -> bool:
        """Whether that process is of another host, so that nobody here can look whether it is alive."""
        return is_elsewhere(self.mark)


class Executor(Protocol):
    """A place where runs are trained, known by a name: ``registry.register("executor", name, "module:Class")``.

    The class is made once in a process, without arguments. A run's folder is self-contained: what an attempt needs is in it,
    or referred to from it by content and relative to the home it lies in. Whoever trains takes the lock of the folder
    (``owner.lock``), alone appends to its ``events.jsonl``, with sequence numbers that rise by one, and obeys its
    ``commands.jsonl``; :func:`shadownb.engine.runs.job.execute` does all three. An executor that trains on another machine owes
    the same to the folder here: it brings events over in their order and takes commands there.

    Attributes
    ----------
    where
        Where it trains, in words that follow "in": ``a thread``, ``a worker process``.
    shares_memory
        Whether it trains the very model that it is given, so that this model answers with the newest weights while the
        run goes on and carries the result afterwards. It then trains one run at a time and lets others wait in line. Else
        it loads a model of its own from the run's record, and is given weights that a file has.
    takes_functions
        Whether options may be functions and other objects of this process.
    outlives
        Whether a run goes on when the process ends that started it.
    """

    where: str
    shares_memory: bool
    takes_functions: bool
    outlives: bool

    def submit(self, folder: Path, attempt: Attempt, model: Any | None) -> None:
        """Have an attempt trained; the journal says already who asked for it.

        It returns when the attempt is accepted, or at its end where it trains in the thread that calls. Nothing is left behind
        where it raises; the run has then failed.

        Parameters
        ----------
        folder
            The run's folder.
        model
            The model to train, where memory is shared; others look at it at most.
        """

    def holds(self, folder: Path, launch: Launch) -> bool:
        """Return whether somebody works on a run or will, though nobody on this machine holds its lock.

        Readers ask it of a run that has not ended, and call it interrupted where the answer is no. Answer from what is there
        to be seen; what a process that is killed would have had to write says nothing.
        """

    def model_of(self, run_id: str) -> Any | None:
        """Return the model of this process that the run trains or waits to; None where there is none."""

    def events(self, folder: Path, since: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the run's events with a sequence number above ``since``, in their order, as far as they are known here."""

    def send(self, folder: Path, kind: str, **fields: Any) -> str:
        """Forward a command (``stop``, ``discard``, ``pause``, ``resume``) and return its id; returns at once."""
