"""Conditions on an evaluation, for notebooks and pipelines: held, failed, or not enough items to say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shadownb.errors import ConfigError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation

_GATE = re.compile(
    r"\s*(?P<suite>[\w.-]+)(?:\s+of\s+(?P<side>.+?))?\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?:(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<percent>%|percent)?"
    r"|(?P<to>[^+<>=]+?)(?:\s*(?P<plus>[+-])\s*(?P<margin>\d+(?:\.\d+)?)\s*(?P<unit>points?|%)?)?)\s*",
)


@dataclass(frozen=True)
class Gate:
    """The outcome of one condition.

    Attributes
    ----------
    text
        The condition.
    status
        ``passed``, ``failed``, or ``undecided``: the interval holds the border.
    value, low, high
        What was measured: a mean, or a difference of means, with its 95 % interval.
    border
        What it was compared with.
    items_needed
        Of an undecided one, about how many items would decide it; None where that cannot be told.
    """

    text: str
    status: str
    value: float
    low: float
    high: float
    border: float
    items: int
    items_needed: int | None = None

    def __str__(self) -> str:
        told = f"{self.status}: {self.text} (measured {self.value:+.3f}, {self.low:+.3f} to {self.high:+.3f}, {self.items} items)"
        if self.status == "undecided":
            told += (
                f"; about {self.items_needed:,} items would decide it" if self.items_needed else "; not enough items"
            )
        return told


class GateError(ShadowError, AssertionError):
    """A condition of :meth:`Evaluation.require` does not hold.

    Examples
    --------
    >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
    >>> try:
    ...     found.require("queues of base >= 90 %")
    ... except snb.GateError as error:
    ...     print(error.gates[0].status)
    failed

    Attributes
    ----------
    gates
        The outcome of each condition.
    """

    code = "gate"

    def __init__(self, gates: Sequence[Gate]) -> None:
        self.gates = list(gates)
        bad = [gate for gate in gates if gate.status != "passed"]
        super().__init__(
            f"{len(bad)} of {len(gates)} conditions do not hold.",
            why="\n".join(map(str, bad)),
            fix="Look at evaluation.regressions(suite, side, to), or ask more items where it is undecided.",
        )

    def __reduce__(self) -> tuple[type, tuple[list[Gate]]]:
        return GateError, (self.gates,)


def judged(evaluation: Evaluation, text: str) -> Gate:
    """Return the outcome of a condition. Raises :class:`ConfigError` where it cannot be read."""
    found = _GATE.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"The condition {text!r} cannot be read.",
            fix="Write 'suite >= base - 2 points', 'suite of tuned >= 80 %', or 'suite >= 0.8'.",
        )
    suite = found["suite"]
    side = found["side"] or ("tuned" if "tuned" in evaluation.sides else evaluation.sides[-1])
    if found["number"] is not None:
        border = float(found["number"]) / (100 if found["percent"] else 1)
        mean = evaluation.cell(suite, side).mean
        value, low, high, items = mean.value, mean.low, mean.high, mean.items
    else:
        margin = float(found["margin"] or 0) / (100 if found["unit"] else 1)
        border = margin if found["plus"] == "+" else -margin
        gap = evaluation.difference(suite, side, found["to"].strip())
        value, low, high, items = gap.value, gap.low, gap.high, gap.items
    above = found["sign"].startswith(">")
    strict = not found["sign"].endswith("=")
    return _gate(text, above, strict, value, low, high, border, items)


def _gate(
    text: str, above: bool, strict: bool, value: float, low: float, high: float, border: float, items: int
) -> Gate:
    if math.isnan(value):
        return Gate(text, "undecided", value, low, high, border, items)
    nearest, farthest = (low, high) if above else (-high, -low)
    wanted = border if above else -border
    if nearest > wanted or (nearest == wanted and not strict):
        return Gate(text, "passed", value, low, high, border, items)
    if farthest < wanted or (farthest == wanted and strict):
        return Gate(text, "failed", value, low, high, border, items)
    # An interval's width falls with the root of the number of items.
    distance, half = abs(value - border), (high - low) / 2
    needed = math.ceil(items * (half / distance) ** 2) if distance > 0 and math.isfinite(half) else None
    return Gate(text, "undecided", value, low, high, border, items, needed)
