"""What an evaluation is going to ask: the items of each suite, how they are answered, and all of it as it is written down."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from shadownb.engine.evals.evaluation.contenders import Contender
from shadownb.engine.evals.suites.base import Item, Suite
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Planned:
    """A suite with the items that are asked and how they are answered."""

    suite: Suite
    items: Sequence[Item]
    sampling: Sampling


def sampling_of(suite: Suite, samples: int, given: dict[str, Any]) -> Sampling:
    found = dataclasses.replace(suite.sampling, **given)
    if samples > 1 and found.greedy:
        raise ConfigError(
            f"samples={samples} of {suite.name} with temperature={found.temperature:g} are {samples} times the same answer.",
            fix="Give temperature=0.2 (for pass@1) to 0.8 (for pass@10), or samples=1.",
        )
    if not found.greedy and found.seed is None:
        found = dataclasses.replace(found, seed=0)
    return found


def distinct(suite: Suite) -> Sequence[Item]:
    """Return a suite's items, each by a name of its own: answers are kept by it, and one of two would be lost."""
    items = suite.items()
    names = Counter(item.id for item in items)
    if double := next((name for name, count in names.items() if count > 1), None):
        raise DataError(f"Two items of {suite.name} are called {double!r}.", fix="Give each Item an id of its own.")
    return items


def drawn(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Return ``limit`` items in their order, drawn by their ids: the same ones whoever asks."""
    if limit is None or limit >= len(items):
        return items
    kept = {item.id for item in sorted(items, key=by_draw)[:limit]}
    return [item for item in items if item.id in kept]


def by_draw(item: Item) -> bytes:
    return hashlib.sha256(item.id.encode()).digest()


def spec_of(sides: list[Contender], planned: list[Planned], samples: int) -> dict[str, Any]:
    def told(plan: Planned) -> dict[str, Any]:
        asked = dumps([[item.id, item.messages, item.expected, item.tools] for item in plan.items])
        return {
            "items": len(plan.items),
            "hash": hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "sampling": plan.sampling.as_dict(),
            "rules": list(plan.suite.rules),
            "skipped": int(getattr(plan.suite, "skipped", 0)),
            "left_out": list(getattr(plan.suite, "left_out", ())),
            "options": dict(getattr(plan.suite, "options", {})),
        }

    return {
        "created": time.time(),
        "sides": [side.identity() for side in sides],
        "origins": {side.name: side.origin() for side in sides},
        "suites": {plan.suite.name: told(plan) for plan in planned},
        "samples": samples,
    }
