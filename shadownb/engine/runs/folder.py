"""The folder of a run: self-contained, so that another kernel, or another day, can read it and go on from it.

``run.json`` (what was launched), ``config.yaml``, ``events.jsonl``, ``commands.jsonl``, ``checkpoints/``, ``samples/``,
sometimes ``start/`` (see :mod:`.starting`), and ``owner.lock``, held by the process that trains. Data
lies once in ``datasets/<sha256>.jsonl`` and is referred to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from shadownb.engine import older, registry
from shadownb.engine.config import TrainConfig
from shadownb.engine.data.trained_on import TrainedOn
from shadownb.engine.disk import write_atomically
from shadownb.engine.home import subfolder
from shadownb.engine.locks import is_held
from shadownb.engine.methods import MethodSpec
from shadownb.engine.runs import references
from shadownb.errors import RunError

if TYPE_CHECKING:
    from shadownb.engine.ports.run_store import RunStore

# In 2 places within the home are relative to it. Runs of format 1 are read, and gone on with.
FORMAT = 2


def _inside(name: str) -> cached_property[Path]:
    """Return a path in the folder, made when it is asked for: a list of a thousand runs needs two of the seven."""
    return cached_property(lambda folder: folder.path / name)


class RunFolder:
    """Paths and small files of one run."""

    events = _inside("events.jsonl")
    commands = _inside("commands.jsonl")
    checkpoints = _inside("checkpoints")
    samples = _inside("samples")
    worker_log = _inside("worker.log")
    record = _inside("run.json")
    options = _inside("config.yaml")

    def __init__(self, path: Path, store: RunStore[RunFolder] | None = None) -> None:
        self.path = path
        self._given_store = store
        self.id = path.name

    @cached_property
    def store(self) -> RunStore[RunFolder]:
        """The store that the folder lies in."""
        if self._given_store is not None:
            return self._given_store
        made: RunStore[RunFolder] = registry.resolve("run_store", "folders")(self.home)
        return made

    @property
    def home(self) -> Path:
        """What the folder's record names places from."""
        return self._given_store.home if self._given_store is not None else self.path.parent.parent

    @property
    def launched(self) -> tuple[str, int]:
        """When the run was launched, as something to sort by; commands and resumes change the folder's own times."""
        try:
            written = os.stat(self.options).st_mtime_ns  # once, at the launch: finer than the seconds in the id
        except OSError:
            written = 0
        return self.id[: len("20261122-090000")], written

    @property
    def config(self) -> TrainConfig:
        """The configuration that was launched; its ``model_fields_set`` are the options that were given."""
        given = self.spec.get("given")
        config = TrainConfig.from_yaml(self.options, given=given, spec=self.method)
        return config if given is None else config.as_given(given)

    @property
    def spec(self) -> dict[str, Any]:
        """What was launched: model and data references, parent, time. Places are whole paths, wherever the home is now.

        Raises
        ------
        RunError
            It cannot be read, or has a format that another version writes.
        """
        return older.record(references.read(self.record_as_written(), self.home))

    def record_as_written(self) -> dict[str, Any]:
        """Return ``run.json`` as it is, with places within the home relative to it; raises as :attr:`spec` does."""
        try:
            content = dict(json.loads(self.record.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"The record of run {self.id} cannot be read ({error}).", fix="Restore run.json.") from None
        written = content.get("format", 1)
        if not isinstance(written, int) or written > FORMAT:
            raise RunError(
                f"Run {self.id} has format {written!r}; this version of ShadowNB reads formats up to {FORMAT}.",
                fix="Read it with the version that wrote it, or a later one.",
            )
        return content

    @property
    def method(self) -> MethodSpec | None:
        """The method as it was when the run was launched; this process may know another one by its name, or none."""
        content = self.spec.get("method")
        return None if content is None else MethodSpec.from_dict(content)

    @property
    def trained_on(self) -> TrainedOn | None:
        """What the rows have in common; of a record of before this was noted learned from the rows, None where they are gone."""
        spec = self.spec
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return TrainedOn.from_dict(spec["trained_on"])
        try:
            return TrainedOn.of(load_rows(spec["dataset"]))
        except (RunError, KeyError):
            return None

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Replace ``run.json``."""
        content = {**references.written(spec, self.home), "format": FORMAT}
        write_atomically(self.record, json.dumps(content, indent=1, allow_nan=False))

    def owner_lock(self) -> FileLock:
        """Return the lock that the training process holds for as long as it works on the run."""
        return FileLock(self.path / "owner.lock", thread_local=False)

    def is_owned(self) -> bool:
        """Return whether some process holds the owner's lock now."""
        return is_held(self.path / "owner.lock")


def load_rows(reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a reference made by :meth:`RunStore.store_rows`.

    Raises
    ------
    RunError
        The file is gone, holds other rows than the run was launched with, or rows of it were deleted for a person's sake.
    """
    if reference.get("erased"):
        raise RunError(
            f"{reference['erased']:,} rows of the data {reference['name']!r} of the run were deleted for a person's sake.",
            why="It would go on with other rows than it began with.",
            fix=f"Start a new run with the {reference['rows']:,} rows that are left: Dataset.load({str(reference['path'])!r}).",
        )
    path = Path(reference["path"])
    if not path.exists():
        path = subfolder("datasets") / path.name
    fix = "Put the file back, or start a new run with the data at hand."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"The data {reference['name']!r} of the run is gone: {path} does not exist.", fix=fix) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != reference["sha256"]:
        raise RunError(
            f"The data {reference['name']!r} of the run was changed: {path} has other content than was written.",
            why=f"It hashes to {digest[:12]}, the run's record says {reference['sha256'][:12]}.",
            fix=fix,
        )
    return [json.loads(line) for line in content.split(b"\n") if line]
