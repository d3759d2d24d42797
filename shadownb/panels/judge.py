"""JudgePanel: what is judged, by whom, by which rubric; scores and reasons, disagreements first; how far to trust the judge."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.judging import RUBRIC, JudgedGroups, judge
from shadownb.errors import ConfigError, DataError

from . import _choices, _contestants, _judge_choices, _judge_code, _judge_options, _judged_view
from ._base import as_card
from ._clicks import Clicks, measured
from ._snapshot_panel import SnapshotPanel
from ._worker import Background

_NOTHING: dict[str, Any] = {"stage": "none"}
_WIDTH = 0.1
USES = {"preferences": "dpo", "best": "lora", "groups": "grpo"}


class JudgePanel(SnapshotPanel):
    """Judge attempts at tasks with a model, see where it errs, and train on what it says; usable alone.

    Parameters
    ----------
    attempts
        What is judged, as :func:`shadownb.judge` takes it. None: to be chosen.
    judge
        A :class:`Judge`, or the model that judges. None: to be chosen.
    rubric
        What makes an answer good; it can be edited in the panel.
    namespace
        Where models and data are looked up; None means the notebook's variables.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
    >>> panel = snb.JudgePanel(attempts, snb.Judge(model, orders=2))
    >>> panel.start()
    >>> panel.settle(120), len(panel.judged)
    (True, 1)
    >>> panel.close()
    """

    title = "Judge"
    _bundle = "judge"

    choices: t.Dict[str, Any] = t.Dict(help="What can be judged, and by whom.").tag(sync=True)
    chosen: t.Dict[str, Any] = t.Dict(help="Source, judge, rubric, options, and what is wrong with those.").tag(
        sync=True
    )
    usual = t.Unicode(RUBRIC, help="The rubric that is taken where none is written.").tag(sync=True)
    work: t.Dict[str, Any] = t.Dict(_NOTHING, help="How far the judging is.").tag(sync=True)
    summary = t.Dict(help="What came of it: counts, mean, cost, what the judge is like.").tag(sync=True)
    page: t.Dict[str, Any] = t.Dict(help="The page of groups on screen, disagreements first.").tag(sync=True)
    item: t.Dict[str, Any] = t.Dict(help="The group that is open, or empty.").tag(sync=True)
    measured = t.Dict(help="What people's verdicts say of the judge.").tag(sync=True)
    click: t.Dict[str, Any] = t.Dict(help="The attempt that people are asked about next.").tag(sync=True)
    handed = t.Dict(help="What was handed over to be trained on.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(
        self,
        attempts: Any = None,
        judge: Any = None,
        rubric: str | None = None,
        *,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self._namespace, self._given = namespace, attempts
        self._given_judge = judge if _judge_choices.is_judge(judge) else None
        made = judge if judge is not None and self._given_judge is None else None
        self._contestants = _contestants.Contestants(_contestants_of(made))
        self._stop = threading.Event()
        self._judged: JudgedGroups | None = None
        self._clicks: Clicks | None = None
        self._found: list[Any] = []
        self._users: list[Callable[[Any, str], None]] = []
        self._width = _WIDTH
        who = _judge_choices.OWN if self._given_judge is not None else "given:0" if made is not None else ""
        names = self._names()
        name = _choices.name_of(attempts, names)
        source = f"var:{name}" if name else "given" if attempts is not None else ""
        if judge is not None and (named := _choices.name_of(judge, names)) and self._given_judge is not None:
            who = f"{_judge_choices.OWN}{named}"
        chosen = {"source": source, "judge": who, "rubric": rubric or "", "options": dict(_judge_options.DEFAULTS)}
        super().__init__(chosen={**chosen, "problems": {}})
        self._working = Background("JudgePanel work", self._writer)
        self._do_look()
        self._show_code()

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def judged(self) -> JudgedGroups | None:
        """The :class:`JudgedGroups`, also those of a judging that was stopped; or None."""
        return self._judged

    def take_store(self, store: Any) -> None:
        """Offer a capture to be judged, where nothing is chosen yet."""
        self._writer.submit(lambda: None if self.chosen["source"] else self._do_choose(source=f"capture:{store.id}"))

    def start(self) -> None:
        """Judge what is chosen, in the background; :meth:`settle` waits for it."""
        self._writer.submit(self._do_start)

    def on_use(self, callback: Callable[[Any, str], None]) -> None:
        """Call ``callback(rows, method)`` when somebody wants to train on what was judged; called in the panel's own thread.

        Examples
        --------
        >>> panel, used = snb.JudgePanel(namespace={}), []
        >>> panel.on_use(lambda rows, method: used.append(method))
        >>> panel.close()
        """
        self._users.append(callback)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and nothing is judged any more; False if that took longer."""
        return super().settle(timeout) and self._working.wait(timeout)

    def close(self) -> None:
        """Stop judging and take the panel off the page."""
        self._stop.set()
        super().close()

    # -- commands of the page: what is judged ----------------------------------------------------------------------

    def _do_look(self) -> None:
        names = self._names()
        self.choices = {
            "sources": _judge_choices.sources(names, self._given),
            "judges": _judge_choices.judges(names, self._given_judge, self._contestants.given),
        }

    def _do_choose(self, **values: Any) -> None:
        options = {**self.chosen["options"], **values.pop("options", {})}
        known = {name: str(values[name]) for name in ("source", "judge", "rubric") if name in values}
        self.chosen = {**self.chosen, **known, "options": options, "problems": _judge_options.read(options)[1]}
        self._show_code()

    def _do_start(self) -> None:
        if self.work["stage"] in ("running", "stopping"):
            raise ConfigError("This panel judges already.", fix="Wait for it, or stop it.")
        chosen, names = dict(self.chosen), self._names()
        options, problems = _judge_options.read(chosen["options"])
        if problems:
            name, what = next(iter(problems.items()))
            raise ConfigError(f"{name}={chosen['options'][name]!r}: {what}")
        if not chosen["source"] or not chosen["judge"]:
            missing = "Nothing to judge is chosen." if not chosen["source"] else "No judge is chosen."
            raise DataError(missing, fix="Choose it in the list.")
        self._stop = stop = threading.Event()
        self._forget()
        self.work = {"stage": "running", "done": 0, "total": 0}
        limit = options.pop("limit", None)

        def told(done: int, total: int) -> None:
            self._writer.submit(lambda: self._told(done, total, stop), key="told")

        def work() -> tuple[JudgedGroups, Any]:
            source = _judge_choices.open_source(chosen["source"], names, self._given)
            who = _judge_choices.open_judge(
                chosen["judge"], chosen["rubric"].strip() or None, options, names, self._given_judge, self._contestants
            )
            judged = judge(source, who, limit=limit, progress=told, should_stop=stop.is_set)
            kept = (each for each in (source, getattr(source, "store", None)) if hasattr(each, "take_back"))
            return judged, next(kept, None)

        self._working.submit("judge", work, lambda found: self._ready(*found, stop=stop), self._failed)

    def _do_stop(self) -> None:
        if self.work["stage"] == "running":
            self._stop.set()
            self.work = {**self.work, "stage": "stopping"}

    # -- commands of the page: what came of it ---------------------------------------------------------------------

    def _do_browse(self, filter: str = "", page: int = 0) -> None:
        judged, clicks = self._need()
        chosen = filter if filter in _judged_view.FILTERS else str(self.page.get("filter", "all"))
        self.page = _judged_view.listed(judged, clicks.people, self._found, chosen, int(page))

    def _do_open(self, group: int) -> None:
        judged, clicks = self._need()
        if not 0 <= int(group) < len(judged):
            raise DataError(f"There is no group {group}.", fix="Judge again.")
        self.item = _judged_view.opened(judged, clicks.people, int(group), self._found)

    def _do_shut(self) -> None:
        self.item = {}

    # -- commands of the page: people ------------------------------------------------------------------------------

    def _do_rate(self, number: int, value: float) -> None:
        if value not in (0, 0.5, 1):
            raise ConfigError(f"value={value!r} is no verdict.", fix="Use 1 for good, 0 for bad, 0.5 for in between.")
        self._need()[1].rate(int(number), float(value))
        self._measure()

    def _do_skip(self, number: int) -> None:
        self._need()[1].skip(int(number))
        self._measure()

    def _do_undo(self) -> None:
        self._need()[1].undo()
        self._measure()

    def _do_width(self, width: float) -> None:
        if not isinstance(width, int | float) or not 0 < width < 1:
            raise ConfigError(f"width={width!r} is no width.", fix="Give a number above 0 and below 1, such as 0.1.")
        self._width = float(width)
        self._measure()

    # -- commands of the page: training ----------------------------------------------------------------------------

    def _do_use(self, what: str, threshold: float | None = None) -> None:
        judged, _ = self._need()
        if what == "preferences":
            rows = judged.to_preferences()
        elif what == "best":
            rows = judged.best(threshold)
        elif what == "groups":
            from shadownb.engine import objectives

            rows = objectives.get("grpo").rows_of(judged) or []
        else:
            raise ConfigError(f"what={what!r} is unknown.", fix=f"Use one of {', '.join(USES)}.")
        self.handed = {"what": what, "method": USES[what], "rows": len(rows), "taken": bool(self._users)}
        for callback in self._users:
            callback(rows, USES[what])

    # -- what follows ------------------------------------------------------------------------------------------------

    def _told(self, done: int, total: int, stop: threading.Event) -> None:
        if stop is self._stop and self.work["stage"] in ("running", "stopping"):
            self.work = {**self.work, "done": done, "total": total}

    def _ready(self, judged: JudgedGroups, store: Any, stop: threading.Event) -> None:
        self._judged, self._clicks = judged, Clicks(judged, store)
        self.page = {"filter": "disagreements"}
        self.work = {"stage": "stopped" if stop.is_set() else "ended"}
        self._measure()
        if not self._found:
            self._do_browse("all")
        self._refresh_displays()

    def _measure(self) -> None:
        judged, clicks = self._need()
        self._found = judged.disagreements(clicks.people)
        self.write(
            summary=_judged_view.summary(judged, clicks.people),
            measured=measured(judged, clicks, self._width),
            click=clicks.next(),
        )
        self._do_browse(page=int(self.page.get("page", 0)))
        if self.item:
            self._do_open(self.item["group"])

    def _failed(self, error: Exception) -> None:
        self.work = {"stage": "failed", "error": as_card(error)}

    def _forget(self) -> None:
        self._judged, self._clicks, self._found = None, None, []
        self.write(summary={}, page={}, item={}, measured={}, click={}, handed={})

    def _need(self) -> tuple[JudgedGroups, Clicks]:
        if self._judged is None or self._clicks is None:
            raise DataError("Nothing was judged yet.", fix="Press Judge.")
        return self._judged, self._clicks

    def _show_code(self) -> None:
        options, problems = _judge_options.read(self.chosen["options"])
        rubric = self.chosen["rubric"].strip() or None
        self.code = {} if problems else _judge_code.code(self.chosen["source"], self.chosen["judge"], rubric, options)

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        if self._judged is None:
            return "ShadowNB judge\nNothing judged yet."
        return "\n".join(["ShadowNB judge", repr(self._judged), *self.measured.get("sentences", [])])

    def _milestone(self) -> Any:
        return id(self._judged)

    def __repr__(self) -> str:
        return f"JudgePanel({'' if self._judged is None else f'{len(self._judged)} groups'})"


def _contestants_of(model: Any) -> list[Any]:
    from shadownb.engine.evals.evaluation.contenders import contenders

    return [] if model is None else contenders({str(getattr(model, "name", "model")): model})
