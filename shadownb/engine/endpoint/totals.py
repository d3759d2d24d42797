"""What an endpoint was asked and what came of it: answers, failures, tries, tokens, dollars."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


@dataclass
class Totals:
    """Counts of one endpoint.

    Attributes
    ----------
    answered, failed, stopped
        Conversations, by how they ended.
    retries
        Requests that were made again, by the reason: ``"429"``, ``"no connection"``, ``"no answer in it"``, ...
    waited_s
        Seconds that conversations waited before they were asked again, added up.
    tokens
        As the server counts them: ``prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens``.
    cost
        US dollars of the answers whose price is known.
    unpriced
        Answers whose price is not known: the model is in no table, or the server said no tokens.
    models
        What the server says has answered, with the number of answers.
    """

    answered: int = 0
    failed: int = 0
    stopped: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    waited_s: float = 0.0
    tokens: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    unpriced: int = 0
    models: Counter[str] = field(default_factory=Counter)

    def used(self, usage: Mapping[str, Any], cost: float | None, model: str | None) -> None:
        """Add what an answer cost, also one that turned out to be of no use."""
        self.tokens.update({name: usage[name] for name in _TOKENS if usage.get(name)})
        self.unpriced += cost is None
        self.cost += cost or 0.0
        if model:
            self.models[model] += 1

    def copy(self) -> Totals:
        """Return the counts as they are now."""
        return dataclasses.replace(
            self, retries=Counter(self.retries), tokens=Counter(self.tokens), models=Counter(self.models)
        )

    def since(self, before: Totals) -> Totals:
        """Return what was added to the counts after ``before``, a copy of them."""
        return Totals(**{f.name: getattr(self, f.name) - getattr(before, f.name) for f in dataclasses.fields(self)})

    def __str__(self) -> str:
        """One line, of what there is to say."""
        said = [f"{self.answered:,} answer{'s' * (self.answered != 1)}"]
        said += [f"{self.failed:,} failed"] * bool(self.failed) + [f"{self.stopped:,} stopped"] * bool(self.stopped)
        if self.retries:
            why = ", ".join(f"{reason}: {count:,}" for reason, count in self.retries.most_common())
            said.append(f"{self.retries.total():,} asked again ({why}; {self.waited_s:.0f} s waited)")
        if self.tokens:
            said.append(f"{self.tokens['prompt_tokens']:,} + {self.tokens['completion_tokens']:,} tokens")
        if self.cost:
            said.append(f"${self.cost:.2f}" if self.cost >= 1 else f"${self.cost:.2g}")
        if self.unpriced:
            said.append(f"{self.unpriced:,} of unknown price")
        return ", ".join(said)
