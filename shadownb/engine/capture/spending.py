"""What recorded traffic costs by call site, and what it would cost on a model of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.upkeep import priced_as
from shadownb.engine.trajectories.linking import texts_in
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.store import CaptureStore
    from shadownb.engine.capture.stored import StoredCalls

_BY_COLUMN = ("model", "session", "dialect", "status")
_SITE_CHARACTERS = 60
_CHARACTERS = 4  # of a token, in English as most tokenizers cut it; in other languages a token has fewer
_DAY, _MONTH_DAYS = 86_400.0, 30.0


def estimate(call: Call) -> dict[str, int] | None:
    """Return about how many tokens a call took whose answer does not say, a token for four characters; None where it says."""
    if call.usage is not None or call.status != "ok" or call.adds_only or not call.choices:
        return None
    asked = sum(len(text) for text in texts_in([call.messages, call.tools or []]))
    answered = sum(len(text) for text in texts_in([choice.get("message") for choice in call.choices]))
    return {"prompt_tokens": -(-asked // _CHARACTERS), "completion_tokens": -(-answered // _CHARACTERS)}


@dataclass
class Spent:
    """What the calls of one call site took.

    Attributes
    ----------
    site
        Its tag, model, session, or the beginning of its system text; "" for the calls without one.
    calls, prompt_tokens, completion_tokens
        Numbers, estimated tokens included.
    cost
        US dollars as far as they are known; None if nothing is.
    unpriced
        Calls without a price.
    estimated
        Calls whose tokens are estimated, because the answer does not say; ``estimated_cost`` is what is known of theirs, beside
        ``cost``.
    """

    site: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    unpriced: int = 0
    estimated: int = 0
    estimated_cost: float = 0.0

    def add(self, call: Call, prices: PriceTable) -> bool:
        """Count a call; returns whether it has a price."""
        self.calls += 1
        guess = estimate(call)
        usage = guess or call.usage or {}
        self.prompt_tokens += usage.get("prompt_tokens") or 0
        self.completion_tokens += usage.get("completion_tokens") or 0
        cost = prices.cost(priced_as(call), guess) if guess else call.cost
        self.estimated += guess is not None
        if cost is None:
            self.unpriced += 1
        elif guess:
            self.estimated_cost += cost
        else:
            self.cost = (self.cost or 0.0) + cost
        return cost is not None

    @property
    def total(self) -> float:
        """Known and estimated US dollars."""
        return (self.cost or 0.0) + self.estimated_cost


def costs(store: StoredCalls, by: str, prices: Any = None, **filters: Any) -> list[Spent]:
    """Return what each call site took, the most expensive first; see ``CaptureStore.costs``."""
    table = PriceTable.load(prices)
    found: dict[str, Spent] = {}
    site = _site_of(by)
    for call in store.iterate(**filters):
        name = site(call)
        found.setdefault(name, Spent(name)).add(call, table)
    return sorted(found.values(), key=lambda each: (-each.total, -each.calls, each.site))


def _site_of(by: str) -> Callable[[Call], str]:
    if by in _BY_COLUMN:
        return lambda call: str(getattr(call, by) or "")
    if by == "system":
        return _system_of
    if by.startswith("tag:") and by[4:].strip():
        return lambda call: call.tags.get(by[4:].strip(), "")
    raise ConfigError(
        f"by={by!r} names no call site.", fix=f"Use 'system', 'tag:NAME', or one of {', '.join(_BY_COLUMN)}."
    )


def _system_of(call: Call) -> str:
    from shadownb.engine.trajectories.identity import message_text, role_of

    text = next((message_text(message) for message in call.own_messages if role_of(message) == "system"), "")
    return " ".join(text[: 4 * _SITE_CHARACTERS].split())[:_SITE_CHARACTERS]


@dataclass
class Savings:
    """What traffic costs now, and on a model of one's own; US dollars.

    Attributes
    ----------
    calls, days
        How many, over how long.
    now, own
        What they cost, and what they would cost.
    own_hours
        Of the machine, for these calls.
    training
        What the model costs once.
    break_even_calls, break_even_days
        After how many such calls, and how many such days, it has paid for itself; None where it never does.
    unpriced, estimated
        Calls without a price, which are not in ``now``; and calls whose tokens are estimated.
    """

    calls: int
    days: float
    now: float
    own: float
    own_hours: float
    training: float
    break_even_calls: int | None
    break_even_days: float | None
    unpriced: int
    estimated: int

    def __repr__(self) -> str:
        scale = _MONTH_DAYS / self.days
        lines = [
            f"{self.calls:,} calls in {self.days:,.1f} days cost ${self.now:,.2f}; on a model of your own ${self.own:,.2f} "
            f"({self.own_hours:,.2f} hours of the machine).",
            f"At this rate a month costs ${self.now * scale:,.2f} now and ${self.own * scale:,.2f} then.",
        ]
        if self.break_even_calls is None:
            lines.append("It does not pay for itself: such a call costs no more at the provider.")
        else:
            lines.append(
                f"Training for ${self.training:,.2f} has paid for itself after {self.break_even_calls:,} such calls, "
                f"{self.break_even_days:,.1f} days."
            )
        if self.unpriced:
            lines.append(f"{self.unpriced:,} calls have no price and are not counted on either side.")
        if self.estimated:
            lines.append(f"The tokens of {self.estimated:,} calls are estimated from their characters.")
        return "\n".join(lines)


def savings(
    store: CaptureStore,
    *,
    hour: float,
    tokens_per_s: float,
    prompt_tokens_per_s: float | None = None,
    training: float = 0.0,
    prices: Any = None,
    **filters: Any,
) -> Savings:
    """Compute what ``snb.captures.savings`` returns."""
    given = {"hour": hour, "training": training}
    speeds = {
        "tokens_per_s": tokens_per_s,
        "prompt_tokens_per_s": 10 * tokens_per_s if prompt_tokens_per_s is None else prompt_tokens_per_s,
    }
    for name, value in given.items():
        if not 0 <= value < 1e12:
            raise ConfigError(f"{name}={value!r} are no US dollars.", fix="Give a number of 0 or more.")
    for name, value in speeds.items():
        if not 0 < value < 1e12:
            raise ConfigError(
                f"{name}={value!r} is no speed.", fix="Give tokens a second, as shadownb.compare measures them."
            )
    table = PriceTable.load(prices)
    all_of, priced = Spent(""), Spent("")
    times: list[float] = []
    for call in store.iterate(**filters):
        if all_of.add(call, table):
            priced.add(call, table)
            times.append(call.started_at)
    if not times:
        raise DataError(
            f"No call of {store.id} has a price.",
            fix="Give prices={'the model': {'input': 2.5, 'output': 10}}, US dollars for a million tokens, and reprice().",
        )
    hours = (
        priced.prompt_tokens / speeds["prompt_tokens_per_s"] + priced.completion_tokens / speeds["tokens_per_s"]
    ) / 3600
    days = max((max(times) - min(times)) / _DAY, 1 / 24)
    own = hours * hour
    a_call = (priced.total - own) / priced.calls
    needed = None if a_call <= 0 else -int(-training // a_call)
    return Savings(
        priced.calls, days, priced.total, own, hours, training, needed,
        None if needed is None else needed / (priced.calls / days), all_of.unpriced, priced.estimated,
    )  # fmt: skip
