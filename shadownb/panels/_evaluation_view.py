"""What the Evaluate panel shows of an evaluation, kept or going on: how far it is, its numbers, how its intervals narrow."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.evaluation.summary import findings, progress, summary

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation

_RATE_SECONDS = 60.0  # over which speed is measured: suites differ, and what was answered before comes at once
_POINTS = 60  # of the picture of an interval that narrows
_KEPT = 50  # evaluations that can be opened, the newest


class EvaluationView:
    """One evaluation as the page gets it; looked at by one thread at a time.

    Attributes
    ----------
    evaluation
        What is shown.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self._past: deque[tuple[float, int]] = deque()
        self._narrowing: dict[str, list[list[float]]] = {}
        self._suite = ""

    def look(self, to: str | None) -> dict[str, Any]:
        """Return the values of the panel's traits that follow from it now.

        Parameters
        ----------
        to
            The side that the others are compared with.
        """
        found = self.evaluation
        found.refresh()
        status, far = found.status, progress(found)
        first = to if to in found.sides else found.sides[0]
        numbers = summary(found, first)
        working = status == "working"
        at_work = next((each for each in far if each["done"] < each["total"] and not each["refused"]), None)
        for each in far:
            each["state"] = _state(each, working, each is at_work)
            each["eta"] = self._left(each) if working and each is at_work else None
        if working:
            self._narrow(numbers)
        return {
            "progress": {"status": status, "suites": far, "missing": sum(each["total"] - each["done"] for each in far)},
            "summary": numbers,
            "findings": {"changed": findings(found, first), "missing": found.problems()},
            # Copies: a trait that is set to what it holds already is not sent.
            "narrowing": {name: list(past) for name, past in self._narrowing.items()} if working else {},
        }

    def _left(self, far: dict[str, Any]) -> float | None:
        """Return the seconds that a suite is likely to need, by its speed in the last minute."""
        now = time.monotonic()
        if far["suite"] != self._suite:
            self._suite = far["suite"]
            self._past.clear()
        self._past.append((now, far["done"]))
        while self._past[0][0] < now - _RATE_SECONDS:
            self._past.popleft()
        seconds, done = now - self._past[0][0], far["done"] - self._past[0][1]
        return (far["total"] - far["done"]) * seconds / done if seconds > 0 and done > 0 else None

    def _narrow(self, numbers: dict[str, Any]) -> None:
        """Remember the intervals as they are now, under ``suite/side``."""
        for suite in numbers["suites"]:
            for side, cell in suite["cells"].items():
                past = self._narrowing.setdefault(f"{suite['name']}/{side}", [])
                if cell["value"] is None or (past and past[-1][0] == cell["graded"]):
                    continue
                past.append([cell["graded"], cell["value"], cell["low"], cell["high"]])
                if len(past) > _POINTS:
                    del past[1:-1:2]


def _state(far: dict[str, Any], working: bool, at_work: bool) -> str:
    if far["refused"]:
        return "refused"
    if far["total"] and far["done"] >= far["total"]:
        return "done"
    return ("working" if at_work else "waiting") if working else "missing"


def kept() -> list[dict[str, Any]]:
    """Return the evaluations that can be opened, the newest first."""
    from shadownb.engine.evals import evaluations
    from shadownb.engine.evals.evaluation.folder import EvaluationFolder
    from shadownb.errors import ShadowError

    found = []
    for name in evaluations.list()[:_KEPT]:
        try:
            spec = EvaluationFolder.named(name).spec()
        except ShadowError:
            continue
        about = f"{', '.join(side['name'] for side in spec['sides'])} on {', '.join(spec['suites']) or 'nothing'}"
        found.append({"name": name, "about": about, "created": float(spec.get("created", 0.0))})
    return found


def board(suite: str | None) -> dict[str, Any]:
    """Return the leaderboard as the page gets it."""
    from dataclasses import asdict

    from shadownb.engine.evals import evaluations

    found = evaluations.leaderboard()
    names = list(dict.fromkeys(entry.suite for entry in found.entries))
    shown = suite if suite in names else (names[0] if names else "")
    return {
        "suites": names,
        "suite": shown,
        "entries": [asdict(entry) for entry in found.entries if entry.suite == shown],
        "runs": [
            {"id": run["id"], "method": run.get("method"), "eval_loss": run.get("eval_loss")} for run in found.runs[:20]
        ],
    }
