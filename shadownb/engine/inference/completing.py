"""Rows and the gate: what every generator of ours does around its own computing, once for all rows and piece by piece.

Each backend says how rows are computed while the weights are held; here is who waits, who gives up, and what a row is that was
not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.gate import WaitCancelled, WeightsGate
from shadownb.engine.inference.rows import Emit, Row, ShouldStop
from shadownb.engine.inference.stream import TokenStream
from shadownb.engine.inference.types import Completion, Use


def never() -> bool:
    """Return False: nobody stops a call."""
    return False


def one_each(use: Use | Sequence[Use], count: int) -> Sequence[Use]:
    """Return which weights answer each of ``count`` prompts, where one word may stand for all."""
    return [use] * count if isinstance(use, str | AdapterSource) else use


def completed(
    gate: WeightsGate, rows: Sequence[Row], compute: Callable[[], None], stop: ShouldStop
) -> list[Completion]:
    """Compute rows with the weights held and return their completions; a row that is not finished then is ``cancelled``."""
    try:
        with gate.inference(cancelled=stop):
            compute()
    except WaitCancelled:
        pass
    return [_ended(row) for row in rows]


def streamed(gate: WeightsGate, row: Row, compute: Callable[[Emit, ShouldStop], None], stop: ShouldStop) -> TokenStream:
    """Compute a row in a thread of its own, with the weights that the calling thread holds or waits for.

    Parameters
    ----------
    compute
        Takes what is to have each piece of the text, and what says that nobody wants more.
    """
    loan = gate.lend()

    def produce(emit: Emit, closed: ShouldStop) -> Completion:
        def cancelled() -> bool:
            return closed() or stop()

        try:
            with gate.inference(cancelled=cancelled, loan=loan):
                compute(emit, cancelled)
        except WaitCancelled:
            pass
        return _ended(row)

    try:
        return TokenStream(produce)
    except BaseException:
        if loan is not None:
            loan.give_back()
        raise


def _ended(row: Row) -> Completion:
    if row.reason is None:
        row.cancel()
    return row.completion()
