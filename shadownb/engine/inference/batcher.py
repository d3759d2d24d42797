"""Batcher: answers for many callers at once, who come and go while others are answered (continuous batching).

One thread computes. It holds the weights' gate while there is anything to compute, so that no answer sees two states of the
weights; where a training step waits for them, it takes nobody new, ends what it has begun, and lets go. How rows of one side of
the weights are computed together is the backend's: a :class:`Side`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from shadownb.engine.inference.gate import WaitCancelled, WeightsGate
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.inference.types import Completion, Sampling, Use

_LOOK_SECONDS = 1.0  # between two looks whether the program ends


class Job:
    """One prompt and who waits for its answer.

    Attributes
    ----------
    said
        Takes each piece of the text.
    gone
        Whether whoever asked has gone.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        use: Use,
        said: Callable[[str], None],
        gone: Callable[[], bool],
    ) -> None:
        self.prompt, self.sampling, self.use, self.said, self.gone = prompt, sampling, use, said, gone
        self.answer: Future[Completion] = Future()

    def fail(self, error: BaseException) -> None:
        """Say that there will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Side(Protocol):
    """Rows that are answered together by one side of the weights; used by one thread, which holds the gate."""

    def add(self, job: Job) -> None:
        """Let a prompt be answered here too. Raises what the generator raises for one that it cannot take."""

    def advance(self) -> bool:
        """Compute some tokens, and give the answers that are finished; returns whether everybody is answered."""

    def end(self, error: BaseException | None = None) -> None:
        """Break off what is left, with an error where there is one, and free what it needed."""


class Batching(Protocol):
    """A generator whose rows can come and go.

    Attributes
    ----------
    gate
        Guards the weights.
    """

    gate: WeightsGate

    def weights_of(self, use: Use) -> Hashable:
        """Return what tells the weights that answer for a side from others: prompts of equal ones are computed together."""

    def side(self, use: Use) -> Side:
        """Return an empty side; called with the gate held."""


class Batcher:
    """Completes prompts of one model together; see :class:`~shadownb.engine.ports.speaker.Speaker`.

    Parameters
    ----------
    generator
        Gives the generator of the weights as they are now.
    """

    def __init__(self, generator: Callable[[], Batching]) -> None:
        self._generator = generator
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job] = []
        self._closing = threading.Event()
        # Not a daemon: a thread that computes while the interpreter shuts down crashes it. It sees the end by itself.
        self._thread = threading.Thread(target=self._run, name="shadownb-batcher", daemon=False)
        self._begun = threading.Lock()

    def speak(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        use: Use,
        *,
        said: Callable[[str], None],
        gone: Callable[[], bool],
    ) -> Future[Completion]:
        """Begin to complete a prompt."""
        job = Job(prompt, sampling, use, said, gone)
        with self._begun:
            if self._closing.is_set():
                job.fail(_stopping())
                return job.answer
            if self._thread.ident is None:
                self._thread.start()
        self._jobs.put(job)
        return job.answer

    def close(self) -> None:
        """End what is being said, and return when the thread has ended."""
        with self._begun:
            self._closing.set()
            begun = self._thread.ident is not None
        self._jobs.put(None)
        if begun and threading.current_thread() is not self._thread:
            self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped():
            if not self._waiting:
                with contextlib.suppress(queue.Empty):
                    self._note(self._jobs.get(timeout=_LOOK_SECONDS))
                continue
            try:
                self._hold()
            except BaseException as error:
                self._fail(error)
        self._take_new()
        self._fail(_stopping())

    def _stopped(self) -> bool:
        return self._closing.is_set() or not threading.main_thread().is_alive()

    def _fail(self, error: BaseException) -> None:
        for job in self._waiting:
            job.fail(error)
        self._waiting.clear()

    def _note(self, job: Job | None) -> None:
        if job is not None:
            self._waiting.append(job)

    def _take_new(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._note(self._jobs.get_nowait())

    def _hold(self) -> None:
        """Answer whoever has come and whoever comes, with the weights held."""
        generator = self._generator()
        sides: dict[Hashable, Side] = {}
        with contextlib.suppress(WaitCancelled), generator.gate.inference(cancelled=self._stopped):
            while not self._stopped():
                if not (sides and generator.gate.waiting):
                    self._take_new()
                    self._seat(generator, sides)
                for weights in list(sides):
                    self._advance(sides, weights)
                if not sides and (generator.gate.waiting or not self._waiting):
                    break
            for side in sides.values():
                side.end()

    def _seat(self, generator: Batching, sides: dict[Hashable, Side]) -> None:
        jobs, self._waiting = self._waiting, []
        for job in jobs:
            if job.gone():
                job.fail(_stopping())
                continue
            try:
                weights = generator.weights_of(job.use)
                side = sides.get(weights) or generator.side(job.use)
                side.add(job)
                sides[weights] = side
            except BaseException as error:
                job.fail(error)

    @staticmethod
    def _advance(sides: dict[Hashable, Side], weights: Hashable) -> None:
        try:
            if sides[weights].advance():
                sides.pop(weights).end()
        except BaseException as error:
            sides.pop(weights).end(error)


def _stopping() -> BusyError:
    return BusyError("The server is being stopped.", fix="Start it again.")
