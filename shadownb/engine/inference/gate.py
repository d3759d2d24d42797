"""WeightsGate: loaded weights have one user at a time.

The trainer holds the gate for one optimizer step, inference takes it between two steps. Whoever asks first is served
first: a trainer that comes back for its next step queues behind every inference call that was already waiting, so a
tight training loop cannot starve a chat, and a stream of chats cannot starve training. A thread that holds the gate
may enter it again (samples during an evaluation), and may lend it to a worker that generates for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from shadownb.errors import BusyError

Kind = Literal["training", "inference"]

# Waiters are notified; they also look by themselves this often, for a holder that died and a waiter that was cancelled.
_LOOK_SECONDS = 0.05


class Loan:
    """The right of one worker to use weights that another thread holds; see :meth:`WeightsGate.lend`."""

    def __init__(self, gate: WeightsGate) -> None:
        self._gate = gate
        self._returned = False

    def give_back(self) -> None:
        """End the loan; more than once is harmless."""
        self._gate._end_loan(self)


@dataclass
class _Hold:
    thread: threading.Thread
    kind: Kind
    depth: int = 1
    loan: Loan | None = None


class WaitCancelled(Exception):
    """The ``cancelled`` callable of a waiting call said so."""


class WeightsGate:
    """One gate for one set of loaded weights, shared by training and inference threads.

    Attributes
    ----------
    yielded_seconds
        Seconds that training has waited for inference so far; clocks of a run exclude them.
    answered
        How many inference calls have had the weights so far.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._hold: _Hold | None = None
        self.yielded_seconds = 0.0
        self.answered = 0

    def __repr__(self) -> str:
        return f"WeightsGate(holder={self.holder!r}, waiting={self.waiting})"

    @property
    def holder(self) -> Kind | None:
        """Who has the weights now: ``training``, ``inference`` or nobody."""
        hold = self._hold
        return hold.kind if hold else None

    @property
    def waiting(self) -> int:
        """How many calls are waiting for their turn."""
        return len(self._queue)

    @contextmanager
    def training(self, *, cancelled: Callable[[], bool] | None = None) -> Iterator[float]:
        """Hold the weights for one optimizer step; yields the seconds it had to wait. See :meth:`enter_training`."""
        waited = self.enter_training(cancelled=cancelled)
        try:
            yield waited
        finally:
            self._leave()

    @contextmanager
    def inference(
        self,
        timeout: float | None = None,
        *,
        cancelled: Callable[[], bool] | None = None,
        loan: Loan | None = None,
    ) -> Iterator[float]:
        """Hold the weights for one inference call; yields the seconds it had to wait.

        Parameters
        ----------
        timeout
            Most seconds to wait; ``None`` waits until it is served.
        cancelled
            Looked at while waiting; true gives up the place.
        loan
            A right lent by a thread that holds the gate; then nothing is waited for.

        Raises
        ------
        BusyError
            The weights did not become free in time.
        WaitCancelled
            ``cancelled`` returned true.
        """
        self.answered += 1
        if loan is not None:
            try:
                yield 0.0
            finally:
                loan.give_back()
            return
        waited = self._enter("inference", timeout, cancelled)
        try:
            yield waited
        finally:
            self._leave()

    def enter_training(self, *, cancelled: Callable[[], bool] | None = None) -> float:
        """Take the weights for a step, for trainers whose steps begin and end in callbacks.

        Returns the seconds waited. Pair with :meth:`exit_training`; :meth:`release` cleans up after any failure.

        Raises
        ------
        WaitCancelled
            ``cancelled`` returned true while an answer had the weights.
        """
        waited = self._enter("training", None, cancelled)
        self.yielded_seconds += waited
        return waited

    def exit_training(self) -> None:
        """Give the weights back after :meth:`enter_training`."""
        self._leave()

    def release(self) -> None:
        """Let go of whatever this thread holds; harmless when that is nothing."""
        with self._changed:
            hold = self._mine()
            if hold is not None:
                hold.depth = 1
                self._leave()

    def lend(self) -> Loan | None:
        """Let a worker use the weights that the calling thread holds.

        Returns ``None`` in a thread that holds nothing: the worker then queues by itself. One loan at a time: a second
        one waits for the first. The hold ends only when its loan has been given back.
        """
        with self._changed:
            hold = self._mine()
            if hold is None:
                return None
            self._wait_for_loans(hold)
            hold.loan = Loan(self)
            return hold.loan

    def _mine(self) -> _Hold | None:
        hold = self._hold
        return hold if hold is not None and hold.depth > 0 and hold.thread is threading.current_thread() else None

    def _wait_for_loans(self, hold: _Hold) -> None:
        while hold.loan is not None:
            self._changed.wait(_LOOK_SECONDS)

    def _free(self) -> bool:
        hold = self._hold
        if hold is not None and hold.loan is None and not hold.thread.is_alive():
            self._hold = hold = None
        return hold is None

    def _enter(self, kind: Kind, timeout: float | None, cancelled: Callable[[], bool] | None) -> float:
        hold = _Hold(threading.current_thread(), kind)
        try:
            return self._take(hold, timeout, cancelled)
        except BaseException:  # a Ctrl-C between taking the weights and returning must not keep them
            with self._changed:
                if self._hold is hold:
                    self._hold = None
                    self._changed.notify_all()
            raise

    def _take(self, hold: _Hold, timeout: float | None, cancelled: Callable[[], bool] | None) -> float:
        with self._changed:
            outer = self._mine()
            if outer is not None:
                assert not (hold.kind == "training" and outer.kind == "inference"), "a training step inside inference"
                self._wait_for_loans(outer)
                outer.depth += 1
                return 0.0
            if not self._queue and self._free():
                self._hold = hold
                return 0.0
            started = time.monotonic()
            ticket = object()
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not self._free():
                    waited = time.monotonic() - started
                    if cancelled is not None and cancelled():
                        raise WaitCancelled
                    if timeout is not None and waited >= timeout:
                        raise BusyError(
                            f"The model's weights did not become free within timeout={timeout:g} s.",
                            why=f"{self.holder or 'another call'} is using them; {self.waiting - 1} more calls wait.",
                            fix="Wait for it, stop it, or give a longer timeout.",
                        )
                    rest = _LOOK_SECONDS if timeout is None else min(_LOOK_SECONDS, timeout - waited)
                    self._changed.wait(rest)
                self._hold = hold
                return time.monotonic() - started
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            hold = self._hold
            assert hold is not None and hold.thread is threading.current_thread(), "the gate is left by its holder"
            hold.depth -= 1
            self._drop_if_done(hold)

    def _end_loan(self, loan: Loan) -> None:
        with self._changed:
            if loan._returned:
                return
            loan._returned = True
            hold = self._hold
            if hold is not None and hold.loan is loan:
                hold.loan = None
                self._drop_if_done(hold)

    def _drop_if_done(self, hold: _Hold) -> None:
        if hold.depth == 0 and hold.loan is None:
            self._hold = None
        self._changed.notify_all()
