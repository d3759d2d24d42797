"""RewardsPanel: a scorer in the lab. How far it tells right answers from wrong ones, and the texts that fool it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import traitlets as t

from shadownb.engine.scoring import LabReport, lab
from shadownb.errors import DataError

from . import _choices, _scorers
from ._base import as_card
from ._snapshot_panel import SnapshotPanel
from ._worker import Background

_NOTHING: dict[str, Any] = {"stage": "none"}
_LONGEST = 4000  # characters of a text on the page


class _Stopped(Exception):
    """Somebody has pressed Stop."""


class RewardsPanel(SnapshotPanel):
    """A scorer in the lab; usable alone.

    Parameters
    ----------
    scorer
        What is looked at: a name, a function, an object, several with weights. None: to be chosen.
    good, bad
        Right and wrong answers, as :func:`shadownb.scoring.lab` takes them. With a scorer and ``good`` the lab begins at once.
    namespace
        Where scorers and data are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.RewardsPanel("exact", rows)
    >>> panel.settle(), panel.report.sound
    (True, True)
    >>> panel.close()
    """

    title = "Rewards"
    _bundle = "rewards"
    _revived_by = ("chosen",)

    choices: t.Dict[str, Any] = t.Dict(help="Scorers and answers to choose from.").tag(sync=True)
    chosen: t.Dict[str, str] = t.Dict(help="What is chosen: scorer, good, bad.").tag(sync=True)
    state = t.Dict(_NOTHING, help="How far the lab is.").tag(sync=True)
    found = t.Dict(help="What it has found, or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(
        self, scorer: Any = None, good: Any = None, bad: Any = None, *, namespace: Mapping[str, Any] | None = None
    ) -> None:
        self._namespace = namespace
        self._given = {"scorer": scorer, "good": good, "bad": bad}
        self._report: LabReport | None = None
        self._stop = threading.Event()
        names = self._names()
        chosen = {what: self._choice_of(what, value, names) for what, value in self._given.items()}
        super().__init__(chosen={**chosen, "bad": chosen["bad"] or _scorers.OTHERS})
        self._lab = Background("RewardsPanel lab", self._writer)
        self._list_choices()
        self._show_code()
        if scorer is not None and good is not None:
            self._writer.submit(self._do_run)

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def report(self) -> LabReport | None:
        """What the lab has found, or None."""
        return self._report

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and the lab is done; False if that took longer."""
        return super().settle(timeout) and self._lab.wait(timeout)

    def close(self) -> None:
        """Stop the lab and take the panel off the page."""
        self._stop.set()
        super().close()

    def _revival(self) -> str:
        kind, _, name = self.chosen.get("scorer", "").partition(":")
        return f"RewardsPanel({name!r})" if kind == "name" else super()._revival()

    # -- commands of the page --------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        self._list_choices()

    def _do_choose(self, **chosen: str) -> None:
        self._stop.set()
        self._lab.cancel("lab")
        self._report = None
        self.write(chosen={**self.chosen, **chosen}, state=_NOTHING, found={})
        self._show_code()

    def _do_run(self) -> None:
        names, chosen = self._names(), self.chosen
        for what, means in (("scorer", "scorer"), ("good", "right answers")):
            if not chosen[what]:
                raise DataError(f"No {means} chosen.", fix="Choose one in the list.")
        scorer = _scorers.open_scorer(chosen["scorer"], names, self._given["scorer"])
        self._stop = stop = threading.Event()
        self.write(state={"stage": "running", "done": 0.0}, found={})

        def told(share: float) -> None:
            if stop.is_set():
                raise _Stopped
            self._writer.submit(lambda: self._told(share, stop), key="told")

        def look() -> LabReport:
            good = _scorers.open_answers(chosen["good"], names, self._given["good"])
            bad = None
            if chosen["bad"] not in ("", _scorers.OTHERS):
                bad = _scorers.open_answers(chosen["bad"], names, self._given["bad"])
            return lab(scorer, good, bad, progress=told)

        self._lab.submit("lab", look, self._ready, self._failed)

    def _do_stop(self) -> None:
        self._stop.set()

    # -- what follows ------------------------------------------------------------------------------------------------

    def _told(self, share: float, stop: threading.Event) -> None:
        if stop is self._stop and self.state["stage"] == "running":
            self.state = {"stage": "running", "done": share}

    def _ready(self, report: LabReport) -> None:
        self._report = report
        self.write(state={"stage": "ready"}, found=_short(report.to_dict()))
        self._refresh_displays()

    def _failed(self, error: Exception) -> None:
        self.state = {"stage": "none"} if isinstance(error, _Stopped) else {"stage": "failed", "error": as_card(error)}

    def _list_choices(self) -> None:
        names = self._names()
        self.choices = {
            "scorers": _scorers.scorer_choices(names, self._given["scorer"]),
            "good": _scorers.answer_choices(names, self._given["good"]),
            "bad": _scorers.answer_choices(names, self._given["bad"]),
        }

    def _show_code(self) -> None:
        complete = self.chosen["scorer"] and self.chosen["good"]
        names = {what: _choices.name_of(value, self._names()) or what for what, value in self._given.items()}
        self.code = _scorers.code(self.chosen, names) if complete else {}

    def _choice_of(self, what: str, value: Any, names: Mapping[str, Any]) -> str:
        if value is None:
            return ""
        if what == "scorer" and isinstance(value, str):
            return f"name:{value}"
        name = _choices.name_of(value, names)
        return f"var:{name}" if name is not None else "given"

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        text = f"{self._report}" if self._report is not None else "Nothing looked at yet."
        return f"ShadowNB rewards\n{text}"

    def _milestone(self) -> Any:
        return id(self._report)

    def __repr__(self) -> str:
        return f"RewardsPanel({self._report.scorer if self._report is not None else ''})"


def _short(value: Any) -> Any:
    """Return what goes to the page, long texts cut."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}… ({len(value):,} characters)"
    return value
