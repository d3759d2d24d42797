"""Batcher: answers for many callers at once, who come and go while others are answered (continuous batching).

One thread computes. It holds the weights' gate while there is anything to compute, so that no answer sees two states of the
weights; where a training step waits for them, it takes nobody new, ends what it has begun, and lets go.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine.backends.torch.generation.decoder import Decoder
from shadownb.engine.backends.torch.generation.rows import Row
from shadownb.engine.backends.torch.generation.sampler import Sampler
from shadownb.engine.backends.torch.generation.support import refused
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.gate import WaitCancelled
from shadownb.engine.inference.types import Sampling
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
    from shadownb.engine.inference.types import Completion, Use

_STEPS = 8  # tokens of each row between two looks at who has come and at the other sides of the weights


class _Job:
    """One prompt and who waits for its answer."""

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
        with contextlib.suppress(Exception):  # cancelled meanwhile
            self.answer.set_exception(error)


class _Mixed(Sampler):
    """Takes the tokens of rows that are sampled in different ways."""

    def __init__(self) -> None:
        super().__init__(Sampling())
        self._samplers: dict[Sampling, Sampler] = {}

    def take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[int], list[float | None]]:
        places: dict[Sampling, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.sampling, []).append(place)
        if len(places) == 1:
            return self._of(rows[0].sampling).take(rows, logits)
        tokens: list[int] = [0] * len(rows)
        known: list[float | None] = [None] * len(rows)
        for sampling, where in places.items():
            found = self._of(sampling).take([rows[n] for n in where], logits[where])
            for place, token, log_prob in zip(where, *found, strict=True):
                tokens[place], known[place] = token, log_prob
        return tokens, known

    def _of(self, sampling: Sampling) -> Sampler:
        if len(self._samplers) > 64:
            self._samplers.clear()
        return self._samplers.setdefault(sampling, Sampler(sampling))


class Batcher:
    """Completes prompts of one model together; see :class:`~shadownb.engine.ports.speaker.Speaker`.

    Parameters
    ----------
    generator
        Gives the generator of the weights as they are now.
    """

    def __init__(self, generator: Callable[[], TransformersGenerator]) -> None:
        self._generator = generator
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting: list[_Job] = []
        self._closing = threading.Event()
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
        job = _Job(prompt, sampling, use, said, gone)
        with self._begun:
            if self._closing.is_set():
                job.fail(BusyError("The server is being stopped.", fix="Start it again."))
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
        main = threading.main_thread()
        while not self._stopped(main):
            if not self._waiting:
                with contextlib.suppress(queue.Empty):
                    self._note(self._jobs.get(timeout=1.0))  # to see the end of the program
                continue
            try:
                self._hold(main)
            except BaseException as error:
                for job in self._waiting:
                    job.fail(error)
                self._waiting.clear()
        self._take_new()
        for job in self._waiting:
            job.fail(BusyError("The server is being stopped.", fix="Start it again."))

    def _stopped(self, main: threading.Thread) -> bool:
        return self._closing.is_set() or not main.is_alive()

    def _note(self, job: _Job | None) -> None:
        if job is not None:
            self._waiting.append(job)

    def _take_new(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._note(self._jobs.get_nowait())

    def _hold(self, main: threading.Thread) -> None:
        """Answer whoever has come and whoever comes, with the weights held."""
        generator = self._generator()
        with contextlib.suppress(WaitCancelled), generator.gate.inference(cancelled=lambda: self._stopped(main)):
            sides: dict[Use, _Side] = {}
            while not self._stopped(main):
                if not (sides and generator.gate.waiting):
                    self._take_new()
                    self._seat(generator, sides)
                for use in list(sides):
                    if sides[use].advance(generator):
                        del sides[use]
                if not sides and (generator.gate.waiting or not self._waiting):
                    break
            for side in sides.values():
                side.end()

    def _seat(self, generator: TransformersGenerator, sides: dict[Use, _Side]) -> None:
        jobs, self._waiting = self._waiting, []
        for job in jobs:
            try:
                side = sides.get(job.use) or _Side(job.use)
                side.add(generator, job)
                sides[job.use] = side
            except BaseException as error:
                job.fail(error)


class _Side:
    """Those who are answered by one side of the weights."""

    def __init__(self, use: Use) -> None:
        self._use = use
        self._decoder: Decoder | None = None
        self._new: dict[Row, _Job] = {}
        self._live: dict[Row, _Job] = {}

    def add(self, generator: TransformersGenerator, job: _Job) -> None:
        """Let a prompt be answered here. Raises what the generator raises for one that it cannot take."""
        draws = row_draws(seed_of(job.sampling), 0)
        row = generator._row(0, job.prompt, job.sampling, job.use, draws)
        row.listened_by(job.said, job.gone)
        self._new[row] = job

    def advance(self, generator: TransformersGenerator) -> bool:
        """Compute some tokens; returns whether everybody is answered."""
        try:
            with generator._ready(self._use) as view:
                self._go_on(generator, view)
        except BaseException as error:
            for job in (self._new | self._live).values():
                job.fail(error)
            return True
        return not self._live and not self._new

    def _go_on(self, generator: TransformersGenerator, view: Any) -> None:
        new, self._new = self._new, {}
        for row in new:
            generator._fit(row, view.reserved)
        known = generator._known(
            view, list(new)
        )  # what weights answer by the question goes by the library's loop, alone
        alone = bool(refused(view.model))
        for row, job in new.items():
            if alone or row in known:
                self._by_itself(generator, view, row, job)
            else:
                self._live[row] = job
                if self._decoder is None:
                    self._decoder = Decoder(view, [], _Mixed(), generator.max_batch_tokens, None, _never)
                self._decoder.add(row)
        if self._decoder is None:
            return
        self._decoder.view = view
        for _ in range(_STEPS):
            if self._decoder.done:
                break
            self._decoder.advance()
            self._leave()
        self._leave()

    def _leave(self) -> None:
        for row in [row for row in self._live if row.reason is not None]:
            self._live.pop(row).answer.set_result(row.completion())

    @staticmethod
    def _by_itself(generator: TransformersGenerator, view: Any, row: Row, job: _Job) -> None:
        batch = generator._batch(view, [row], job.sampling, None, job.gone)
        while not batch.done and not job.gone():
            batch.advance()
        if row.reason is None:
            row.cancel()
        job.answer.set_result(row.completion())

    def end(self) -> None:
        """Break off what is left."""
        for row, job in (self._new | self._live).items():
            if row.reason is None:
                row.cancel()
            job.answer.set_result(row.completion())


def _never() -> bool:
    return False
