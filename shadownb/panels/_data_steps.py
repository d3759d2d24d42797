"""What was done to the data of the Data panel, step by step: each can be taken back, and is a line of code that does the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.errors import DataError

from ._code import data_expression, literal
from ._stores import counted

WHOLE, TRAIN, HELD_OUT = "data", "train", "held_out"
TITLES = {WHOLE: "Rows", TRAIN: "To train on", HELD_OUT: "Held out"}

Parts = Mapping[str, Any]  # name -> Dataset: "data", or after a split "train" and "held_out"


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Attributes
    ----------
    title
        In words.
    code
        With :func:`variable` for the parts.
    parts
        What there is behind it.
    reading
        How columns are read from here on, where the step says that.
    """

    title: str
    code: str
    parts: Parts
    reading: Mapping[str, Any] | None = None


@dataclass
class History:
    """Data as it was opened, and the steps from there.

    Attributes
    ----------
    choice, kind
        Choice id of the data, and what a variable holds.
    opened
        The Dataset as it was opened.
    steps, undone
        What was done; what was taken back and can be done again, the next one last.
    """

    choice: str = ""
    kind: str = "dataset"
    opened: Any = None
    steps: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        """What there is now; empty before data is open."""
        if self.steps:
            return self.steps[-1].parts
        return {WHOLE: self.opened} if self.opened is not None else {}

    @property
    def is_split(self) -> bool:
        """Whether rows are held out."""
        return TRAIN in self.parts

    def part(self, name: str) -> Any:
        """Return one part. Raises DataError where there is none of that name."""
        if name not in self.parts:
            raise DataError(f"There are no rows {TITLES.get(name, name)!r} here.", fix="Open data, or split it first.")
        return self.parts[name]

    def add(self, step: Step) -> None:
        """Do a step; what was taken back before cannot be done again then."""
        self.steps.append(step)
        self.undone.clear()

    def undo(self) -> None:
        """Take the last step back."""
        if self.steps:
            self.undone.append(self.steps.pop())

    def redo(self) -> None:
        """Do again what was taken back last."""
        if self.undone:
            self.steps.append(self.undone.pop())

    def change(self, part: str, title: str, code: str, made: Any) -> Step:
        """Return the step that puts ``made`` in the place of one part; ``code`` is what is called on it."""
        where = "" if part == WHOLE else f" ({TITLES[part].lower()})"
        return Step(f"{title}{where}", f"{variable(part)} = {variable(part)}{code}", {**self.parts, part: made})

    def each(self, title: str, code: str, does: Callable[[Any], Any], reading: Mapping[str, Any] | None = None) -> Step:
        """Return the step that does the same to every part."""
        lines = "\n".join(f"{variable(name)} = {variable(name)}{code}" for name in self.parts)
        return Step(title, lines, {name: does(data) for name, data in self.parts.items()}, reading)

    def shown(self) -> list[dict[str, Any]]:
        """Return the steps as the page lists them, with how many rows each left."""
        found: list[dict[str, Any]] = []
        before: Parts = {WHOLE: self.opened}
        for step in self.steps:
            found.append({"title": step.title, "rows": _rows(before, step.parts)})
            before = step.parts
        return found

    def code(self) -> str:
        """Return a cell that opens the same data and does the same; "" before data is open."""
        if self.opened is None:
            return ""
        where, _, name = self.choice.partition(":")
        taken = name.partition(".")[0] if where == "var" else "data" if where == "given" else ""
        names = {part: part if part != taken else f"{part}_rows" for part in (WHOLE, TRAIN, HELD_OUT)}
        # How columns are read is said where the data is opened, as long as nothing was done before.
        steps, reading = list(self.steps), dict[str, Any]()
        while steps and (said := steps[0].reading) is not None:
            reading = {key: value for key, value in said.items() if value}
            steps.pop(0)
        lines = ["import shadownb", ""]
        if where == "given":
            lines.append("# data: what this panel was given; put the name of your variable here")
        lines.append(f"{names[WHOLE]} = {data_expression(self.choice, self.kind, reading)}")
        lines += [_filled(step.code, names) for step in steps]
        lines.append(", ".join(names[part] for part in self.parts))
        return "\n".join(lines) + "\n"


def variable(part: str) -> str:
    """Return what stands in a step's code for the variable of a part; no text that somebody typed has it."""
    return f"\0{part}\0"


def _filled(code: str, names: Mapping[str, str]) -> str:
    for part, name in names.items():
        code = code.replace(variable(part), name)
    return code


def _rows(before: Parts, after: Parts) -> str:
    """Return "412 to 398 rows", "398 rows: 358 to train on, 40 held out"."""
    counts = {name: len(data) for name, data in after.items()}
    if set(before) != set(after):
        return ", ".join(f"{count:,} {TITLES[name].lower()}" for name, count in counts.items())
    changed = [name for name in after if len(before[name]) != counts[name]]
    told = [f"{len(before[name]):,} to {counted(counts[name], 'row')}" for name in changed]
    return ", ".join(told)


def called(method: str, **options: Any) -> str:
    """Return the call of a method with these options as code."""
    return f".{method}({', '.join(f'{name}={literal(value)}' for name, value in options.items())})"
