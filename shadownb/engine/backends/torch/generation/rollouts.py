"""Rollouts one by one as they finish, with the weights free while the caller has one, and all of one state of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from shadownb.engine.backends.torch.generation.batches import Batches
from shadownb.engine.backends.torch.generation.borrowing import State, View
from shadownb.engine.inference.gate import WaitCancelled, WeightsGate
from shadownb.engine.inference.rows import Row, ShouldStop, weights_changed
from shadownb.engine.inference.types import Rollout

_STEPS = 8  # tokens of each row between two looks at who else wants the weights; putting them into place costs a tenth of one


def as_they_finish(
    places: Mapping[Row, tuple[int, int]],
    gate: WeightsGate,
    ready: Callable[[], AbstractContextManager[View]],
    begun: Callable[[View], Batches],
    stop: ShouldStop,
) -> Iterator[Rollout]:
    """Yield a rollout for each row that finishes.

    Parameters
    ----------
    places
        The rows, and of each the numbers of its prompt and its sample.
    ready
        Puts the weights into inference state; entered and left with the gate.
    begun
        Makes the batch of all rows, when the weights are there for the first time.
    """
    batch: Batches | None = None
    state: State | None = None
    while places if batch is None else not batch.done:
        finished: list[Row] = []
        with contextlib.suppress(WaitCancelled), gate.inference(cancelled=stop), ready() as view:
            if batch is None:
                batch, state = begun(view), State(view)
            elif State(view) != state:
                raise weights_changed()
            batch.view = view
            steps = 0
            while not (batch.done or stop() or (finished and (steps >= _STEPS or gate.waiting))):
                finished += batch.advance()
                steps += 1
        yield from (Rollout(*places[row], row.completion()) for row in finished if row.reason in ("stop", "length"))
        if stop():
            return
