"""Who is compared: base and tuned weights of a model, and whoever else answers the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shadownb.errors import ConfigError


@dataclass(frozen=True)
class Side:
    """One of those that answer.

    Attributes
    ----------
    use
        Which weights of a model that has a base beside it; None where there is no such choice.
    """

    name: str
    model: Any
    use: Any = None

    @property
    def totals(self) -> Any:
        """What an endpoint has been asked so far (:class:`~shadownb.engine.endpoint.Totals`); None of a loaded model."""
        totals = getattr(self.model, "totals", None)
        return totals.copy() if totals is not None else None


@dataclass(frozen=True)
class Rented:
    """What a side that is an endpoint was asked in one comparison.

    Attributes
    ----------
    model, address
        Its name there, and the base URL.
    totals
        Answers, failures, requests made again, tokens and dollars of this comparison.
    """

    side: str
    model: str
    address: str
    totals: Any

    def __str__(self) -> str:
        served = [name for name in self.totals.models if name != self.model]
        said = f", answered as {', '.join(served)}" if served else ""
        called = "" if self.side == self.model else f"{self.model} "
        return f"{self.side}: {called}at {self.address}{said}; {self.totals}."

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        totals = {name: dict(v) if isinstance(v, dict) else v for name, v in vars(self.totals).items()}
        return {"side": self.side, "model": self.model, "address": self.address, **totals}


def sides_of(model: Any, against: Any) -> list[Side]:
    """Return the pair that is compared, and those beside it.

    Parameters
    ----------
    against
        A ChatModel, several, or a dict of them by the names that they are shown with.

    Raises
    ------
    ConfigError
        There are not two sides, one answers no conversations, or two have one name.
    """
    sides = (
        [Side(use, model, use) for use in ("base", "tuned")]
        if getattr(model, "has_base", True)
        else [Side(_name(model, 1), model)]
    )
    for place, (name, other) in enumerate(_named(against), start=1):
        if not callable(getattr(other, "chat", None)):
            raise ConfigError(
                f"against={other!r} answers no conversations.",
                fix="Give a snb.Endpoint, a loaded model, or several of them.",
            )
        sides.append(Side(name or _name(other, place), other, "tuned" if getattr(other, "has_base", True) else None))
    if len(sides) < 2:
        raise ConfigError(
            f"{sides[0].name} has no base beside it, so there is nothing to compare it with.",
            fix="Name another: compare(model, rows, scorer, against=endpoint).",
        )
    names = [side.name for side in sides]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"Two of those compared are called {double!r}.",
            fix="Name them: against={'large': endpoint, 'small': other}.",
        )
    return sides


def _named(against: Any) -> Iterable[tuple[str | None, Any]]:
    if against is None:
        return []
    if isinstance(against, Mapping):
        return [(str(name), other) for name, other in against.items()]
    return [(None, other) for other in (against if isinstance(against, list | tuple) else [against])]


def _name(model: Any, place: int) -> str:
    return str(getattr(model, "name", None) or f"other {place}")


def rented(side: Side, before: Any) -> Rented | None:
    """Return what a side was asked since ``before``, its totals then; None where it is no endpoint."""
    totals = side.totals
    if totals is None:
        return None
    return Rented(side.name, side.model.model, side.model.base_url, totals.since(before))
