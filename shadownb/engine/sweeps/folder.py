"""The folder of a sweep, ``HOME/sweeps/NAME``: what was asked for (``sweep.json``) and what came of each trial (``events.jsonl``).

The runs themselves lie among all others. As with those, one process writes at a time and holds ``owner.lock`` meanwhile, and
``interrupted`` is what readers infer.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from shadownb.engine.disk import write_atomically
from shadownb.engine.home import home, subfolder
from shadownb.engine.locks import is_held
from shadownb.engine.runs.journal import JournalReader
from shadownb.engine.sweeps.suggesting import Told
from shadownb.errors import ConfigError, RunError, RunNotFoundError, did_you_mean

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


@dataclass
class Trial:
    """One trial, as the journal has it.

    Attributes
    ----------
    number
        From 0.
    params
        What it tries.
    run
        Id of its run; empty where none was started.
    state
        ``running``, or how it ended: ``succeeded``, ``pruned``, ``diverged``, ``failed``, ``stopped``.
    value, step
        Of the metric, and the step it is of.
    seen
        The metric's best values so far at each evaluation.
    """

    number: int
    params: dict[str, Any]
    run: str = ""
    state: str = "running"
    value: float | None = None
    step: int | None = None
    seen: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    error: dict[str, Any] | None = None

    @property
    def told(self) -> Told:
        """What later trials learn of it."""
        return Told(self.params, self.state, self.value, self.seen)


@dataclass
class SweepState:
    """What the journal says of a sweep; ``status`` is ``running`` until the end is written."""

    trials: dict[int, Trial] = field(default_factory=dict)
    status: str = "running"
    note: str = ""
    error: dict[str, Any] | None = None
    began: float | None = None
    ended: float | None = None

    def apply(self, event: dict[str, Any]) -> None:
        """Take one event in; unknown ones are ignored."""
        kind = event["type"]
        if kind == "attempt":
            self.status, self.ended, self.error, self.note = "running", None, None, ""
            self.began = self.began or event["time"]
        elif kind == "asked":
            self.trials[event["trial"]] = Trial(event["trial"], dict(event["params"]))
        elif kind == "launched" and event["trial"] in self.trials:
            self.trials[event["trial"]].run = event["run"]
        elif kind == "told" and event["trial"] in self.trials:
            trial = self.trials[event["trial"]]
            trial.state, trial.value, trial.step = event["state"], event["value"], event["step"]
            trial.seen = tuple((int(step), float(value)) for step, value in event["seen"])
            trial.seconds, trial.error = event["seconds"], event["error"]
        elif kind == "end":
            self.status, self.note, self.error = event["status"], event.get("note") or "", event.get("error")
            self.ended = event["time"]

    @property
    def finished(self) -> list[Trial]:
        """The trials that have ended, in their order."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.state != "running"]


def best_of(state: SweepState, *, minimize: bool) -> Trial | None:
    """Return the trial that went to its end with the best value; the earliest of equals."""
    ended = [trial for trial in state.finished if trial.state == "succeeded" and trial.value is not None]
    return min(ended, key=lambda trial: (trial.value or 0.0) if minimize else -(trial.value or 0.0), default=None)


class SweepFolder:
    """Paths and files of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.events = path / "events.jsonl"
        self.commands = path / "commands.jsonl"
        self._record = path / "sweep.json"

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for.

        Raises
        ------
        RunError
            It cannot be read, or another version wrote it.
        """
        try:
            content = dict(json.loads(self._record.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"Sweep {self.name} cannot be read ({error}).", fix="Restore sweep.json.") from None
        if content.get("format") != FORMAT:
            raise RunError(
                f"Sweep {self.name} has format {content.get('format')!r}; this version of ShadowNB reads {FORMAT}.",
                fix="Read it with the version that wrote it.",
            )
        return content

    def state(self) -> SweepState:
        """Return what the journal says now."""
        state = SweepState()
        for event in JournalReader(self.events):
            state.apply(event)
        return state

    def owner_lock(self) -> FileLock:
        """Return the lock that whoever drives the sweep holds."""
        return FileLock(self.path / "owner.lock", thread_local=False)

    def is_owned(self) -> bool:
        """Return whether somebody drives it now."""
        return is_held(self.path / "owner.lock")


def create(name: str | None, spec: dict[str, Any]) -> SweepFolder:
    """Make the folder of a new sweep, whole or not at all.

    Raises
    ------
    ConfigError
        The name is none for a folder, or taken.
    """
    base = subfolder("sweeps")
    made = name or f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    if not _NAME.fullmatch(made):
        raise ConfigError(
            f"name={made!r} is no name of a sweep.", fix="Letters, digits, dots and dashes, such as 'rates-2'."
        )
    path = base / made
    try:
        path.mkdir()
    except FileExistsError:
        raise ConfigError(
            f"name={made!r}: there is a sweep of this name.", fix=f"snb.sweeps.load({made!r}).resume() goes on with it."
        ) from None
    try:
        write_atomically(path / "sweep.json", json.dumps({"format": FORMAT, **spec}, indent=1, allow_nan=False))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return SweepFolder(path)


def folders() -> list[SweepFolder]:
    """Return the folders of all sweeps, the newest first."""
    found = list((home() / "sweeps").glob("*/sweep.json"))
    return [SweepFolder(path.parent) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def find(name: str) -> SweepFolder:
    """Return the folder of a name.

    Raises
    ------
    RunNotFoundError
        There is none.
    """
    known = {folder.name: folder for folder in folders()}
    if name not in known:
        raise RunNotFoundError(
            f"There is no sweep {name!r}.{did_you_mean(name, list(known))}", fix="snb.sweeps.list() shows the sweeps."
        )
    return known[name]
