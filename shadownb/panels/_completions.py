"""The scored answers of a run as the Run panel shows them: those of one step, and what the same prompts were answered before."""

from __future__ import annotations

from typing import Any

from shadownb.errors import RunError

from ._run_values import short

_LOOKED_BACK = 60  # steps whose answers are read for the last time that a prompt was asked
_SHOWN_GROUPS = 64
_KEPT_STEPS = 1000

NOTHING: dict[str, Any] = {"steps": [], "step": 0, "following": True, "groups": []}


class Completions:
    """The table of answers: follows the newest step until another one is chosen."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._chosen: int | None = None
        self._known: tuple[Any, ...] = ()
        self._shown: dict[str, Any] = NOTHING
        self._means: dict[int, dict[str, tuple[float | None, list[dict[str, Any]]]]] = {}

    def choose(self, step: int | None) -> None:
        """Show a step; None follows the newest."""
        self._chosen = step

    def of(self, state: Any) -> dict[str, Any]:
        """Return what the page shows of a run's state; files are read where something is new."""
        steps = [event["step"] for event in state.completions][-_KEPT_STEPS:]
        if not steps:
            return NOTHING
        step = self._chosen if self._chosen is not None and self._chosen in steps else steps[-1]
        known = (state.attempt, step, steps[-1], len(steps), self._chosen is None)
        if known != self._known:
            self._known = known
            self._means = {kept: means for kept, means in self._means.items() if kept in steps[:-1]}
            following = self._chosen is None or self._chosen not in steps
            self._shown = {"steps": steps, "step": step, "following": following, "groups": self._groups(step, steps)}
        return self._shown

    def _groups(self, step: int, steps: list[int]) -> list[dict[str, Any]]:
        try:
            groups = self._run.completions(step)
        except RunError:  # the file is gone, or could not be written
            return []
        found = [
            {"prompt": short(group["prompt"]), "row": group["row"], **_sizes(group["completions"]), "before": None,
             "completions": [_shortened(answer) for answer in group["completions"]]}
            for group in groups[:_SHOWN_GROUPS]
        ]  # fmt: skip
        missing = {group["row"] for group in found}
        for earlier in reversed(steps[: steps.index(step)][-_LOOKED_BACK:]):
            if not missing:
                break
            then = self._at(earlier)
            for group in found:
                if group["row"] in missing and group["row"] in then:
                    mean, answers = then[group["row"]]
                    group["before"] = {"step": earlier, "mean": mean, "completions": answers}
                    missing.discard(group["row"])
        return found

    def _at(self, step: int) -> dict[str, tuple[float | None, list[dict[str, Any]]]]:
        if step not in self._means:
            try:
                groups = self._run.completions(step)
            except RunError:
                groups = []
            self._means[step] = {
                group["row"]: (_sizes(group["completions"])["mean"], [_shortened(a) for a in group["completions"]])
                for group in groups
            }
        return self._means[step]


def _sizes(answers: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return mean and range of the rewards of a group."""
    known = [answer["reward"] for answer in answers if answer["reward"] is not None]
    if not known:
        return {"mean": None, "low": None, "high": None}
    return {"mean": round(sum(known) / len(known), 4), "low": round(min(known), 4), "high": round(max(known), 4)}


def _shortened(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: answer.get(name) for name in ("reward", "rewards", "tokens", "finish_reason")},
        "completion": short(answer["completion"]),
        "reasons": {name: short(reason) for name, reason in answer.get("reasons", {}).items()},
        "advantage": round(answer["advantage"], 4),
    }
