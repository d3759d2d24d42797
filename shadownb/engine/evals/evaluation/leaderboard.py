"""All that was evaluated in one table: suites, who answered them, and which runs nobody has evaluated yet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine import runs
from shadownb.engine.displays import table_html, table_text
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.summary import summary
from shadownb.errors import ShadowError

if TYPE_CHECKING:
    import pandas as pd

_HEAD = ("suite", "place", "who", "score", "items", "run", "evaluation")
_ASKED_ALIKE = ("hash", "sampling", "options")  # of a suite, as evaluation.json has it


@dataclass(frozen=True)
class Entry:
    """One model on one suite in one evaluation.

    Attributes
    ----------
    place
        Its rank among those that were asked the same items in the same way, from 1; of equals the same.
    group
        Which of several sets of items of this suite, from 1, the largest first: scores of different ones cannot be compared.
    value, low, high
        Mean and its 95 % interval; None where a single item has none.
    share
        Whether scores lie between 0 and 1.
    items, graded
        Questions, and those that have a verdict.
    run, step
        Of a model that was trained here.
    created
        When the evaluation was begun, in seconds since 1970.
    """

    suite: str
    side: str
    evaluation: str
    place: int
    group: int
    value: float
    low: float | None
    high: float | None
    share: bool
    items: int
    graded: int
    run: str | None
    step: int | None
    model: str
    created: float

    @property
    def score(self) -> str:
        """Mean and interval as text."""
        scale, unit, digits = (100, " %", ".1f") if self.share else (1, "", ".3g")
        text = f"{scale * self.value:{digits}}{unit}"
        if self.low is None or self.high is None:  # a single item
            return text
        return f"{text} ({scale * self.low:{digits}} to {scale * self.high:{digits}})"


class Leaderboard:
    """Who did best on which suite, over all kept evaluations.

    Examples
    --------
    >>> _ = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), name="board", max_new_tokens=8)
    >>> board = snb.evaluations.leaderboard("queues")
    >>> board.entries[0].side, board.entries[0].place, board.entries[0].run == model.trained[0]
    ('tuned', 1, True)
    >>> print(board)
    suite   place  who    score ...

    Attributes
    ----------
    entries : list of Entry
        By suite, then by score. Only those with the same ``group`` were asked the same items in the same way.
    runs : list of dict
        Runs that succeeded or were stopped and of which no evaluation is kept, the newest first, as :meth:`Run.to_dict` has them.
    """

    def __init__(self, entries: list[Entry], unevaluated: list[dict[str, Any]]) -> None:
        self.entries, self.runs = entries, unevaluated

    def to_frame(self) -> pd.DataFrame:
        """Return one line an entry as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame([asdict(entry) for entry in self.entries])

    def _table(self) -> list[list[str]]:
        return [
            [
                entry.suite if entry.group == 1 else f"{entry.suite}, other items ({entry.group})",
                str(entry.place),
                entry.side,
                entry.score,
                str(entry.graded) if entry.graded == entry.items else f"{entry.graded} of {entry.items}",
                "" if entry.run is None else entry.run + (f" step {entry.step}" if entry.step is not None else ""),
                entry.evaluation,
            ]
            for entry in self.entries
        ]

    def _rest(self) -> str:
        if not self.runs:
            return ""
        names = ", ".join(str(run["id"]) for run in self.runs[:5])
        more = f" and {len(self.runs) - 5} more" if len(self.runs) > 5 else ""
        return f"Not evaluated yet: {names}{more}."

    def __str__(self) -> str:
        rest = self._rest()
        if not self.entries:
            return "Nothing evaluated yet." + (f" {rest}" if rest else "")
        return table_text(_HEAD, self._table()) + (f"\n\n{rest}" if rest else "")

    def _repr_html_(self) -> str:
        from html import escape

        if not self.entries:
            return f"<p>{escape(str(self))}</p>"
        return table_html(_HEAD, self._table()) + f"<p>{escape(self._rest())}</p>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def leaderboard(folders: list[EvaluationFolder], suite: str | None = None) -> Leaderboard:
    """Return the table of these evaluations; one that cannot be read is left out."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    seen: set[str] = set()
    for folder in folders:
        with contextlib.suppress(ShadowError, OSError, KeyError, ValueError):
            spec = folder.spec()
            for told in _entries(folder, spec):
                seen |= {told["run"]} - {None}
                if suite in (None, told["suite"]):
                    found.setdefault(told["suite"], {}).setdefault(told.pop("alike"), []).append(told)
    entries = []
    for name in sorted(found):
        groups = sorted(found[name].values(), key=lambda members: (-len(members), -members[0]["created"]))
        for group, members in enumerate(groups, start=1):
            members.sort(key=lambda told: -told["value"])
            entries += [
                Entry(**told, group=group, place=1 + sum(other["value"] > told["value"] for other in members))
                for told in members
            ]
    return Leaderboard(entries, [] if suite is not None else _unevaluated(seen))


def _entries(folder: EvaluationFolder, spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    said = kept_summary(folder)
    for suite in said["suites"]:
        asked = spec["suites"][suite["name"]]
        for side, cell in suite["cells"].items():
            if cell["value"] is None:
                continue
            origin = spec.get("origins", {}).get(side, {})
            yield {
                "suite": suite["name"],
                "side": side,
                "evaluation": folder.name,
                "alike": json.dumps(
                    [asked.get(name) or None for name in _ASKED_ALIKE] + [spec["samples"]], sort_keys=True
                ),
                "value": cell["value"],
                "low": cell["low"],
                "high": cell["high"],
                "share": suite["share"],
                "items": suite["items"],
                "graded": cell["graded"],
                "run": origin.get("run"),
                "step": origin.get("step"),
                "model": str(origin.get("model", "")),
                "created": float(spec.get("created", 0.0)),
            }


def kept_summary(folder: EvaluationFolder) -> dict[str, Any]:
    """Return an evaluation's summary, from a file beside it where nothing was answered since that was written."""
    stamp = folder.stamp()
    known = folder.summary()
    if known is not None and known.get("of") == stamp:
        return dict(known["summary"])
    said = summary(Evaluation(folder))
    if not folder.is_owned:  # else it is old at once
        folder.keep_summary({"of": stamp, "summary": said})
    return said


def _unevaluated(seen: set[str]) -> list[dict[str, Any]]:
    listed = [run.to_dict() for run in runs.list()[:_LOOKED_AT]]
    return [told for told in listed if told.get("status") in ("succeeded", "stopped") and told["id"] not in seen]


_LOOKED_AT = 200  # runs, the newest
