"""What the rows of a training have in common, so that the model can be asked as it was trained.

Rows of one task mostly carry one system prompt, sometimes one set of tools. A model that was trained behind them answers
nonsense without them, however low its loss. So a run learns from its rows what they share, and whoever asks the model starts
from that. What is learned is small (the most common values and short hashes of the others), because it stands in records.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Row = dict[str, Any]
Messages = Sequence[dict[str, Any]]

# With a value in fewer rows than this it is one of many: to start from it would put one row's words before every question.
_LEAST_SHARE = 0.25
_HEADLINE = 40  # characters of a system prompt that a headline shows
_KNOWN = 64  # values remembered; where there are more, each row has its own and none is unusual


@dataclass(frozen=True)
class Shared:
    """How the rows of a training agree in one thing.

    Attributes
    ----------
    value
        The most common value; None where most rows have none.
    rows
        How many rows have it.
    kinds
        How many different values there are; having none is not counted.
    without
        How many rows have none.
    known
        Short hashes of the values; empty where there are too many to list.
    """

    value: Any
    rows: int
    kinds: int
    without: int
    known: tuple[str, ...]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Shared:
        """Learn it from the value of each row, None where a row has none."""
        first: dict[str, Any] = {}
        counted: Counter[str] = Counter()
        for value in values:
            key = _hash(value)
            first.setdefault(key, value)
            counted[key] += 1
        if not counted:
            return cls(None, 0, 0, 0, ())
        key, rows = counted.most_common(1)[0]
        none = _hash(None)
        kinds = [name for name in counted if name != none]
        known = tuple(kinds) if len(kinds) <= _KNOWN else ()
        value = first[key] if _is_plain_json(first[key]) else None  # a record cannot hold NaN
        return cls(value, rows, len(kinds), counted.get(none, 0), known)

    def default(self, total: int) -> Any:
        """Return the value to start from: the most common one, unless it is one of many."""
        return self.value if self.rows >= _LEAST_SHARE * total else None

    def has(self, value: Any) -> bool:
        """Return whether a row had this value (True where there were too many to remember)."""
        if value is None:
            return self.without > 0
        return _hash(value) in self.known or (self.kinds > 0 and not self.known)

    def words(self, total: int) -> str:
        """Return in how many rows the most common value stands: "all 384 rows", "the most common of 3, in 62 % of 384 rows"."""
        if self.rows == total:
            return "the one row" if total == 1 else f"all {total:,} rows"
        of = f"the most common of {self.kinds:,}, " if self.value is not None and self.kinds > 1 else ""
        return f"{of}in {_percent(self.rows, total)} of {total:,} rows"


@dataclass(frozen=True)
class Difference:
    """In what a question differs from the rows: a stable code, and a sentence."""

    code: Literal["no-system", "other-system", "no-tools", "other-tools", "template", "no-template"]
    text: str


@dataclass(frozen=True)
class TrainedOn:
    """What the rows have in common that a model was trained on.

    Attributes
    ----------
    rows
        How many there were.
    plain
        Whether they are plain text, which no chat template was put around.
    system, tools
        How they agree in the system prompt, and in the tools.
    steps
        Whether they are answers with a verdict on each step.
    questions
        The most user messages in one row; 1 where every row is a single question.
    """

    rows: int
    plain: bool
    system: Shared
    tools: Shared
    questions: int
    steps: bool = False

    @classmethod
    def of(cls, rows: Sequence[Row]) -> TrainedOn:
        """Learn it from canonical rows (see :mod:`shadownb.engine.data.formats`)."""
        prompts: list[Messages] = [row.get("messages") or row.get("prompt") or [] for row in rows]
        return cls(
            rows=len(rows),
            plain=bool(rows) and all("text" in row for row in rows),
            system=Shared.of(system_of(messages) for messages in prompts),
            tools=Shared.of(row.get("tools") or None for row in rows),
            steps=bool(rows) and all("steps" in row for row in rows),
            questions=max((sum(m["role"] == "user" for m in messages) for messages in prompts), default=0),
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TrainedOn:
        """Return what :meth:`to_dict` described; raises ValueError, KeyError or TypeError for anything else."""
        shared = {name: Shared(**{**content[name], "known": tuple(content[name]["known"])}) for name in _SHARED}
        system, tools = shared["system"].value, shared["tools"].value
        if not (system is None or isinstance(system, str)) or not (tools is None or isinstance(tools, list)):
            raise ValueError("the system prompt is no text, or the tools are no list")
        rows, questions = int(content["rows"]), int(content["questions"])
        steps = bool(content.get("steps", False))  # records of earlier versions know none
        return cls(rows, bool(content["plain"]), shared["system"], shared["tools"], questions, steps)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return asdict(self)

    # -- where a question starts -----------------------------------------------------------------------------------

    @property
    def system_prompt(self) -> str | None:
        """The system prompt to start from; None where the rows mostly have none, or each its own."""
        value: str | None = self.system.default(self.rows)
        return value

    @property
    def offered_tools(self) -> list[dict[str, Any]] | None:
        """The tools to offer; None where the rows mostly have none, or each its own."""
        value: list[dict[str, Any]] | None = self.tools.default(self.rows)
        return value

    def system_words(self) -> str:
        """Return where the system prompt to start from comes from, in words, also where there is none."""
        if self.plain:
            return f"none: {self._total()} plain text"
        if self.system_prompt is not None:
            return self.system.words(self.rows)
        if self.system.kinds == 0:
            return f"none: no row of {self.rows:,} has one"
        if self.system.value is None:
            return f"none: {_percent(self.system.without, self.rows)} of {self.rows:,} rows have none"
        return f"none: the {self.rows:,} rows have {self.system.kinds:,} different ones"

    def tools_words(self) -> str:
        """Return where the tools to offer come from, in words; empty where no row has any."""
        if self.offered_tools is not None:
            return self.tools.words(self.rows)
        if self.tools.kinds == 0:
            return ""
        if self.tools.value is None:
            return f"none: {_percent(self.tools.without, self.rows)} of {self.rows:,} rows have none"
        return f"none: the {self.rows:,} rows have {self.tools.kinds:,} different sets"

    def headline(self) -> str:
        """Return in a few words where a question starts; empty where from nothing."""
        if self.plain:
            return "plain text"
        parts = []
        if self.system_prompt is not None:
            text = " ".join(self.system_prompt.split())
            text = text if len(text) <= _HEADLINE else f"{text[: _HEADLINE - 1]}…"
            parts.append(f'system prompt "{text}" ({self.system_words()})')
        if self.offered_tools is not None:
            names = [str(tool["function"]["name"]) for tool in self.offered_tools]
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            parts.append(f"tools {shown} ({self.tools_words()})")
        return " and ".join(parts)

    def _total(self) -> str:
        return "the one row is" if self.rows == 1 else f"all {self.rows:,} rows are"

    # -- what differs ----------------------------------------------------------------------------------------------

    def differences(
        self, messages: Messages, tools: Sequence[dict[str, Any]] | None, *, plain: bool = False
    ) -> list[Difference]:
        """Return in what a conversation (canonical) and its tools differ from all rows; nothing where a row was like it."""
        if plain or self.plain:
            return [] if plain and self.plain else [self._other_form(plain)]
        system, offered = system_of(messages), list(tools or ()) or None
        found: list[Difference] = []
        if not self.system.has(system):
            if system is None:
                text = f"Asked without a system prompt, but {self._have(self.system)} one."
                found.append(Difference("no-system", text))
            elif self.system.kinds == 0:
                text = "Asked behind a system prompt, but no row of the training has one."
                found.append(Difference("other-system", text))
            else:
                found.append(
                    Difference("other-system", "Asked behind another system prompt than any row of the training.")
                )
        if not self.tools.has(offered):
            if offered is None:
                text = f"Asked without tools, but {self._have(self.tools)} some."
                found.append(Difference("no-tools", text))
            elif self.tools.kinds == 0:
                found.append(Difference("other-tools", "Asked with tools, but no row of the training has any."))
            else:
                found.append(Difference("other-tools", "Asked with other tools than any row of the training."))
        return found

    def _have(self, shared: Shared) -> str:
        return "the one row of the training has" if self.rows == 1 else f"all {self.rows:,} rows of the training have"

    def _other_form(self, plain: bool) -> Difference:
        if plain:
            return Difference("no-template", "Asked as plain text, but the rows of the training are chats.")
        return Difference("template", "Asked through the chat template, but the training was on plain text.")


_SHARED = ("system", "tools")


def system_of(messages: Messages) -> str | None:
    """Return the text of the system messages that a conversation begins with; None where it begins with another."""
    texts = []
    for message in messages:
        if message["role"] != "system":
            break
        texts.append(str(message.get("content") or ""))
    return "\n\n".join(texts) if texts else None


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _is_plain_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _percent(part: int, whole: int) -> str:
    share = 100 * part / max(1, whole)
    return "under 1 %" if share < 1 else "over 99 %" if 99 < share < 100 else f"{share:.0f} %"
