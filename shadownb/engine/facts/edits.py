"""What was done to a memory of facts, and what came out when its facts were asked for."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from shadownb.engine.routing.units import Fact

Action = Literal["add", "update", "remove", "undo"]


@dataclass(frozen=True)
class FactTest:
    """How a fact is recalled.

    Attributes
    ----------
    verbatim
        Whether its own question gives its answer.
    paraphrased, paraphrases
        How many of how many other wordings give it.
    said
        What its own question gave.
    """

    fact: Fact
    verbatim: bool
    paraphrased: int
    paraphrases: int
    said: str

    @property
    def passed(self) -> bool:
        """Whether every wording gives the answer."""
        return self.verbatim and self.paraphrased == self.paraphrases


@dataclass(frozen=True, repr=False)
class Edit:
    """One edit.

    Attributes
    ----------
    contradicted
        Stored facts that say something else about what was added; those with the same question were replaced.
    run
        The id of the run that learned it; empty where nothing was trained.
    unrelated
        How many of how many unrelated questions are answered as before, token for token; empty where that was not asked.
    """

    action: Action
    facts: tuple[Fact, ...]
    when: str
    contradicted: tuple[Fact, ...] = ()
    run: str = ""
    tests: tuple[FactTest, ...] = ()
    unrelated: tuple[int, int] | tuple[()] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values, without the tests."""
        return {
            "action": self.action, "when": self.when, "run": self.run,
            "facts": [asdict(fact) for fact in self.facts], "contradicted": [asdict(fact) for fact in self.contradicted],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Edit:
        """Return the edit that :meth:`to_dict` wrote."""
        facts, contradicted = (tuple(Fact(**each) for each in content[name]) for name in ("facts", "contradicted"))
        return cls(content["action"], facts, content["when"], contradicted, content["run"])

    @property
    def lines(self) -> list[str]:
        """What is to be said of it, a sentence each."""
        count = f"{len(self.facts)} fact{'' if len(self.facts) == 1 else 's'}"
        said = [f"{self.action}: {count}."]
        said += [f"A stored fact said otherwise: {each.question} {each.answer}" for each in self.contradicted]
        if self.tests:
            right = sum(test.verbatim for test in self.tests)
            others, of = (sum(getattr(test, name) for test in self.tests) for name in ("paraphrased", "paraphrases"))
            said.append(f"Recalled word for word: {right} of {len(self.tests)}; in other words: {others} of {of}.")
            said += [
                f"Not recalled: {test.fact.question} It says {test.said!r}, not {test.fact.answer!r}."
                for test in self.tests
                if not test.verbatim
            ]
        if self.unrelated:
            said.append(f"Unrelated questions answered as before: {self.unrelated[0]} of {self.unrelated[1]}.")
        return said

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return "".join(f"<div>{html.escape(line)}</div>" for line in self.lines)


@dataclass(frozen=True, repr=False)
class Table(Sequence[Fact]):
    """Facts as a table in a notebook."""

    facts: tuple[Fact, ...] = field(default=())

    def __getitem__(self, place: Any) -> Any:
        return self.facts[place]

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        return "\n".join(f"{fact.question} {fact.answer}" for fact in self.facts) or "no facts"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in (f.question, f.answer, f.source))}</tr>"
            for f in self.facts
        )
        return f"<table><tr><th>question</th><th>answer</th><th>source</th></tr>{rows}</table>"
