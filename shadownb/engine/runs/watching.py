"""One thread of this process follows all runs that somebody subscribed to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from shadownb.engine.runs.state import RunState

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run

_TICK_SECONDS = 0.25
_logger = logging.getLogger(__name__)


class _Subscription:
    def __init__(self, run: Run, callback: Callable[[RunState], None]) -> None:
        self.run = run
        self.callback = callback
        self.seen = (-1, "")
        self.cancelled = False


class _Watcher:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._subscriptions: list[_Subscription] = []
        self._thread: threading.Thread | None = None

    def add(self, subscription: _Subscription) -> None:
        with self._lock:
            self._subscriptions.append(subscription)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="shadownb-watch", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        while True:
            with self._lock:
                current = list(self._subscriptions)
            for subscription in current:
                if not subscription.cancelled:
                    self._tell(subscription)
            with self._lock:
                self._subscriptions = [s for s in self._subscriptions if not s.cancelled]
                if not self._subscriptions:
                    self._thread = None
                    return
            self._wake.wait(_TICK_SECONDS)

    def _tell(self, subscription: _Subscription) -> None:
        try:
            state = subscription.run.state
            now = (state.seq, state.status)
            if now != subscription.seen:
                subscription.seen = now
                subscription.callback(state)
        except Exception:
            # A reader that fails must stop neither the other readers nor the training.
            _logger.exception("A reader of run %s failed.", subscription.run.id)


_watcher = _Watcher()


def subscribe(run: Run, callback: Callable[[RunState], None]) -> Callable[[], None]:
    """Follow a run; see :meth:`Run.subscribe`. A run that ended is still followed: it may be resumed."""
    subscription = _Subscription(run, callback)
    _watcher.add(subscription)

    def unsubscribe() -> None:
        subscription.cancelled = True

    return unsubscribe
