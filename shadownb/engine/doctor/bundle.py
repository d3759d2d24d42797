"""The archive for a bug report: readable text files of what the machine has and how the newest runs went.

Nothing of what runs were about goes in. Texts are ShadowNB's own or left out (:mod:`.vocabulary`); there are no rows, prompts,
answers, samples, paths of yours, or names of files, models and data sets that are not public. At last everything goes through
the gate of recordings, which knows the shapes of keys and every spelling of those in the environment.
"""

from __future__ import annotations

import datetime
import json
import uuid
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shadownb.engine import hardware
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.disk import saving
from shadownb.engine.doctor import storage, surroundings
from shadownb.engine.doctor.examination import doctor
from shadownb.engine.doctor.redaction import Redaction
from shadownb.engine.doctor.tracebacks import Tracebacks
from shadownb.engine.doctor.vocabulary import LEFT_OUT, ours
from shadownb.engine.home import home
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.journal import JournalReader
from shadownb.engine.runs.store import default_store
from shadownb.errors import ConfigError

_RUNS = 3
_FIRST_EVENTS, _LAST_EVENTS = 200, 2000  # of a journal
_SHORTEST = 6  # characters of a password
_LONGEST_LOG = 1 << 20  # characters, from the end
_FIXED = (1980, 1, 1, 0, 0, 0)
LEFT = (
    "rows, prompts, answers and samples",
    "every text of warnings, errors and options that does not stand in ShadowNB's own source",
    "captures: their number and size alone",
    "paths, and names of files, hosts, users, data sets, and models that have no short name",
    "values of the environment, but for those that decide how something is computed",
)


@dataclass(frozen=True)
class Bundle:
    """An archive that was written: where, what is in it with sizes in bytes, what was left out."""

    path: Path
    contents: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...] = LEFT

    def __str__(self) -> str:
        files = [f"  {storage.readable(size):>9}  {name}" for name, size in self.contents]
        left = [f"  {text}" for text in self.left_out]
        look = f"Look at it before you send it: {self.path} holds plain text files."
        return "\n".join([f"Wrote {self.path}:", *files, "Left out:", *left, look])

    __repr__ = __str__


def write_bundle(file: str | Path | None = None, *, kernel: Any = None) -> Bundle:
    """Write the archive.

    Parameters
    ----------
    file
        Where to; a folder gets a name with the time, and so does the current one where nothing is given.

    Raises
    ------
    ConfigError
        There is such a file already, or no such folder.
    DiskFullError
        The disk is full.
    """
    target = Path(file or ".").expanduser()
    if target.is_dir():
        target = target / f"shadownb-doctor-{datetime.datetime.now():%Y%m%d-%H%M%S}.zip"
    if target.exists():
        raise ConfigError(f"--bundle {target} exists already.", fix="Give another name, or delete it.")
    if not target.parent.is_dir():
        raise ConfigError(f"--bundle {target}: there is no folder {target.parent}.", fix="Make it, or give another.")
    cleaned = [(name, _cleaned(text)) for name, text in _files(kernel)]
    about = "\n".join(["For a bug report of ShadowNB. Plain text files:", *(f"  {name}" for name, _ in cleaned)])
    left = "\n".join(["Left out:", *(f"  {text}" for text in LEFT)])
    files = [("README.txt", f"{about}\n\n{left}\n\n{LEFT_OUT!r} stands where something was.\n"), *cleaned]
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with saving(target), zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files:
                archive.writestr(zipfile.ZipInfo(name, _FIXED), text, zipfile.ZIP_DEFLATED)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return Bundle(target, tuple((name, len(text.encode())) for name, text in files))


def _files(kernel: Any) -> Iterator[tuple[str, str]]:
    known = surroundings.packages()
    words = ours()
    tracebacks = Tracebacks(words, known)
    redaction = Redaction(words, tracebacks)
    yield "doctor.txt", f"{doctor(kernel).for_others()}\n"
    yield "installation.txt", _lines(surroundings.installation())
    yield "packages.txt", _lines(f"{name}=={version}" for name, version in known.items())
    yield "environment.txt", _lines(surroundings.environment())
    yield "hardware.json", _json(redaction.value(hardware.describe(), ("hardware",)))
    yield "storage.txt", _lines(f"{place.kind.folder}: {place}" for place in storage.places())
    runs = default_store().all()[:_RUNS] if home().is_dir() else []
    for number, folder in enumerate(runs, 1):
        for name, part in _of_run(folder, redaction, tracebacks).items():
            if text := _read(part):
                yield f"runs/{number}-{redaction.run_id(folder.id)}/{name}", text


def _of_run(folder: RunFolder, redaction: Redaction, tracebacks: Tracebacks) -> dict[str, Callable[[], str]]:
    return {
        "run.json": lambda: _json(redaction.value(folder.record_as_written())),
        "options.json": lambda: _json(redaction.value(yaml.safe_load(folder.options.read_text(encoding="utf-8")))),
        "journal.jsonl": lambda: _lines(json.dumps(redaction.value(event)) for event in _events(folder)),
        "checkpoints.txt": lambda: _lines(_checkpoints(folder)),
        "tracebacks-of-worker.txt": lambda: tracebacks.in_log(_end_of(folder.worker_log)),
    }


def _read(part: Callable[[], str]) -> str:
    """Return a part; a run whose files are damaged is one that somebody reports, so the others are written all the same."""
    try:
        return part()
    except Exception as error:
        return f"cannot be read: {type(error).__name__}\n"


def _events(folder: RunFolder) -> Iterator[dict[str, Any]]:
    first: list[dict[str, Any]] = []
    last: deque[dict[str, Any]] = deque(maxlen=_LAST_EVENTS)
    for event in JournalReader(folder.events):
        if len(first) < _FIRST_EVENTS:
            first.append(event)
        else:
            last.append(event)
    yield from first
    yield from last


def _checkpoints(folder: RunFolder) -> Iterator[str]:
    for path in storage.entries(folder.checkpoints):
        if path.name.startswith("step-") and path.name[5:].isdigit():
            yield f"{path.name}: {storage.readable(storage.size_of(path))}"


def _end_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-_LONGEST_LOG:]
    except OSError:
        return ""


def _cleaned(text: str) -> str:
    secrets = surroundings.secrets()
    cleaned = Redactor("key", secrets=secrets).text(text)
    if cleaned is None:
        return "left out, because it could not be looked at\n"
    for secret in sorted(secrets, key=len, reverse=True):
        # Too short for the gate, which knows what agents send: a password all the same, unless it is a word of ours.
        if len(secret) >= _SHORTEST and secret in cleaned and not ours().knows(secret):
            cleaned = cleaned.replace(secret, "[key]")
    return cleaned.replace(str(Path.home()), "~")


def _json(value: Any) -> str:
    return f"{json.dumps(value, indent=1)}\n"


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
