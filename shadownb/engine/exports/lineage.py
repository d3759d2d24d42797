"""From a run or an exported file to the rows and recorded calls that it was trained on, and from those to what learned from them.

A run's record has its rows by their hash; a saved folder names its run (``shadownb.json``), and ``saves.jsonl`` has every save.
Which rows were recorded is found by what they say: the answer, and the question before it, as a recording has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shadownb.engine.capture import captures
from shadownb.engine.home import home as default_home
from shadownb.engine.loaded import sidecar
from shadownb.engine.privacy.erasing import Erased
from shadownb.engine.runs.folder import RunFolder, load_rows
from shadownb.engine.runs.store import default_store
from shadownb.errors import ConfigError, RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_SAVES = "saves.jsonl"
_MARK = re.compile(r"\[(?:email|iban|card|address|phone|name|secret)[ \]]")
_SKIPPED = re.compile(r"^([\d,]+) of [\d,]+ (?:rows|evaluation rows) cannot be rendered")


@dataclass(frozen=True)
class Facts:
    """What a run's record says of its data, for whoever tells of it.

    Attributes
    ----------
    name, sha256, rows
        Of the data set; ``name`` None where nothing is known.
    held_out
        How many rows were not trained on.
    left_out
        By the reason, how many rows were left out, redacted or deleted.
    captures
        How many rows are of recorded calls.
    providers
        Hosts whose models gave recorded answers.
    """

    method: str = ""
    steps: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    sha256: str = ""
    rows: int = 0
    held_out: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    captures: int = 0
    providers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from, and where what it was made of went.

    Attributes
    ----------
    runs
        Ids of the runs that made it, the newest first: it, what it started from, and so on.
    data
        References of the rows of these runs: name, sha256, number of rows, how many were deleted since.
    calls
        By capture, ids of the recorded calls whose answers are among the rows.
    exports
        Folders to which a state of one of these runs was saved, as far as they are still there.
    erased
        What contains a deleted row: runs and folders.

    Examples
    --------
    >>> found = snb.lineage(run)
    >>> found.runs == (run.id,), found.data[0]["rows"]
    (True, 12)
    """

    runs: tuple[str, ...]
    data: tuple[dict[str, Any], ...]
    calls: dict[str, tuple[str, ...]]
    exports: tuple[str, ...]
    erased: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"Runs: {', '.join(self.runs) or 'none that is known here'}"]
        lines += [
            f"Rows: {each['rows']:,} of {each['name']!r} (sha256 {each['sha256'][:12]})"
            + (f", {each['erased']:,} deleted since" if each.get("erased") else "")
            for each in self.data
        ]
        lines += [f"Recorded: {len(ids):,} calls of capture {name!r}" for name, ids in self.calls.items()]
        lines += [f"Saved to: {place}" for place in self.exports]
        lines += [f"Contains a deleted row: {name}" for name in self.erased]
        return "\n".join(lines)

    __repr__ = __str__


def lineage(what: Any = None, *, where: str | list[str] | None = None) -> Lineage | Erased:
    """Return where a run, a model or an exported folder comes from; or, with ``where``, what learned from a person's rows.

    Parameters
    ----------
    what
        A run or its id, a loaded model, the folder of a save or an export, or a file in it.
    where
        A name, an address, a number, or a list of them, as for ``captures.delete``: instead of ``what``. Nothing is changed; the
        answer names the calls, rows, runs and folders that deleting them would reach.

    Raises
    ------
    ConfigError
        It is none of these, or both were given.
    RunNotFoundError
        The run is not on this machine.

    Examples
    --------
    >>> snb.lineage(run.id).runs == (run.id,)
    True
    >>> snb.lineage(where="C-1042").runs
    []
    """
    if (what is None) == (where is None):
        raise ConfigError(
            "lineage() takes a run, a model or a folder, or where= a person's name; one of them.", fix="lineage(run.id)"
        )
    if where is not None:
        found = Erased(dry_run=True)
        return captures.delete(where=where, dry_run=True) or found
    runs = _chain(_run_id(what))
    data = [reference for run in runs for reference in _references(run)]
    texts = {key for run in runs for key in _keys_of(run)}
    exports = _exports({run.id for run in runs})
    marked = [run.id for run in runs if run.record_as_written().get("erased")]
    marked += [place for place in exports if sidecar.read(Path(place)).get("erased")]
    return Lineage(tuple(run.id for run in runs), tuple(data), _calls(texts), tuple(exports), tuple(marked))


def data_of(model: LoadedModel) -> Facts:
    """Return what the record of a model's run says of its data."""
    if model.trained is None:
        return Facts()
    try:
        run = default_store().find(model.trained[0])
        spec = run.spec
    except RunError:
        return Facts()
    config = run.config
    options = {
        name: value
        for name, value in config.changed.items()
        if isinstance(value, int | float | str) and name != "method"
    }
    dataset, held_out = spec.get("dataset") or {}, spec.get("eval_dataset") or {}
    recorded = _calls({key for key in _keys_of(run)})
    left_out = {"were left out: they could not be rendered": _skipped(run), "were deleted later": int(dataset.get("erased") or 0),
                "have marks in the place of personal data or secrets": _marked(run)}  # fmt: skip
    return Facts(
        config.method, _steps(run), options, dataset.get("name"), dataset.get("sha256", ""),
        int(dataset.get("rows") or 0), int(held_out.get("rows") or 0), left_out, sum(map(len, recorded.values())),
        tuple(sorted({host for name in recorded if (host := _host(name))})),
    )  # fmt: skip


def _run_id(what: Any) -> str | None:
    trained = getattr(what, "trained", None)
    if isinstance(trained, tuple):
        return str(trained[0])
    own = getattr(what, "id", None)
    if own is not None and hasattr(what, "checkpoints"):
        return str(own)
    if isinstance(what, str | Path) or hasattr(what, "__fspath__"):
        path = Path(what).expanduser()
        folder = path.parent if path.is_file() else path
        if folder.is_dir():
            return sidecar.run_of(folder)
        return str(what)
    if hasattr(what, "trained"):  # a base that nothing was trained on
        return None
    raise ConfigError(
        f"lineage({what!r:.80}): it is no run, no model and no folder.", fix="Give a run's id, for example."
    )


def _chain(run_id: str | None) -> list[RunFolder]:
    """Return a run and those whose results it began with, the newest first."""
    found: list[RunFolder] = []
    while run_id is not None and run_id not in {run.id for run in found}:
        try:
            run = default_store().find(run_id)
        except RunError:
            if not found:
                raise
            break
        found.append(run)
        spec = run.spec
        start = ((spec.get("model") or {}).get("start") or {}).get("trained") or [None]
        checkpoint = Path(str(spec.get("from_checkpoint") or ""))
        earlier = checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else None
        run_id = start[0] or earlier or spec.get("parent")
    return found


def _references(run: RunFolder) -> list[dict[str, Any]]:
    return [dict(each) for name in ("dataset", "eval_dataset") if (each := run.spec.get(name))]


def _rows(run: RunFolder) -> list[dict[str, Any]]:
    reference = run.spec.get("dataset")
    with contextlib.suppress(RunError, OSError, ValueError):
        return load_rows({**reference, "erased": 0}) if reference else []
    return []


def _keys_of(run: RunFolder) -> Iterable[str]:
    for row in _rows(run):
        yield from _keys(row.get("messages") or [])


def _keys(messages: list[dict[str, Any]]) -> Iterable[str]:
    """Yield a hash of each answer with the question before it."""
    asked = ""
    for message in messages:
        if message.get("role") == "user":
            asked = _text(message)
        elif message.get("role") == "assistant":
            calls = [(call.get("function") or {}).get("name") for call in message.get("tool_calls") or []]
            said = json.dumps([asked, _text(message), calls], ensure_ascii=False)
            yield hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return " ".join(str(content).split())


def _calls(keys: set[str]) -> dict[str, tuple[str, ...]]:
    """Return by capture the calls whose answers are among the rows."""
    found: dict[str, tuple[str, ...]] = {}
    if not keys:
        return found
    for each in captures.list():
        ids: dict[str, None] = {}
        for trajectory in captures.open(each["id"]).trajectories():
            for call in trajectory.calls:
                said = list(_keys(trajectory.messages[: call.message + 1]))
                if said and said[-1] in keys:
                    ids[call.id] = None
        if ids:
            found[each["id"]] = tuple(ids)
    return found


def _exports(runs: set[str]) -> list[str]:
    found: dict[str, None] = {}
    with contextlib.suppress(OSError):
        for line in (default_home() / _SAVES).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                save = json.loads(line)
                if save["run"] in runs and sidecar.run_of(Path(save["path"])) == save["run"]:
                    found[save["path"]] = None
    return list(found)


def _skipped(run: RunFolder) -> int:
    from shadownb.engine.runs import load

    with contextlib.suppress(RunError, OSError):
        for warning in load(run.id).state.warnings:
            found = _SKIPPED.match(str(warning.get("what")))
            if found:
                return int(found[1].replace(",", ""))
    return 0


def _steps(run: RunFolder) -> int | None:
    from shadownb.engine.runs import load

    with contextlib.suppress(RunError, OSError):
        steps = load(run.id).total_steps
        return int(steps) if steps else None
    return None


def _marked(run: RunFolder) -> int:
    return sum(_MARK.search(json.dumps(row, ensure_ascii=False)) is not None for row in _rows(run))


def _host(capture: str) -> str | None:
    facts = next((each for each in captures.list() if each["id"] == capture), {})
    return urlsplit(str(facts.get("target") or "")).hostname
