"""The folder of a run: self-contained, so that another kernel, or another day, can read it and go on from it.

``run.json`` (what was launched), ``config.yaml``, ``events.jsonl``, ``commands.jsonl``, ``checkpoints/``, ``samples/``,
sometimes ``start/`` (see :mod:`.starting`), and ``owner.lock``, held by the process that trains. Data
lies once in ``datasets/<sha256>.jsonl`` and is referred to.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from shadownb.engine import disk, methods
from shadownb.engine.config import TrainConfig
from shadownb.engine.data.trained_on import TrainedOn
from shadownb.engine.home import subfolder
from shadownb.engine.methods import MethodSpec
from shadownb.errors import DiskFullError, RunError, RunNotFoundError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset

FORMAT = 1


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.events = path / "events.jsonl"
        self.commands = path / "commands.jsonl"
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.worker_log = path / "worker.log"
        self._spec = path / "run.json"
        self._config = path / "config.yaml"

    @classmethod
    def create(cls, config: TrainConfig, spec: dict[str, Any]) -> RunFolder:
        """Make the folder of a new run; the id is its time and method and a random part."""
        now = datetime.datetime.now(datetime.UTC)
        root = subfolder("runs")
        for _ in range(8):
            path = root / f"{now:%Y%m%d-%H%M%S}-{config.method}-{uuid.uuid4().hex[:4]}"
            try:
                path.mkdir()
                break
            except FileExistsError:
                continue
        folder = cls(path)
        facts = {
            "format": FORMAT,
            "id": folder.id,
            "created_at": now.timestamp(),
            "given": sorted(config.model_fields_set),  # config.yaml has every option, also those left at their default
        }
        try:
            folder.samples.mkdir()
            folder.checkpoints.mkdir()
            write_atomically(folder._config, config.to_yaml())
            folder.write_spec({**facts, **spec})
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return folder

    @classmethod
    def find(cls, run_id: str | os.PathLike[str]) -> RunFolder:
        """Return the folder of a run id (or of the path of a run's folder); never one outside ``runs/``.

        Raises
        ------
        RunNotFoundError
            There is no such run; the message has the closest id.
        """
        text = os.fspath(run_id)
        root = subfolder("runs")
        name = Path(text).name if Path(text).parent.resolve() == root.resolve() else text
        known = [folder.id for folder in cls.all()]
        if name in known:
            return cls(root / name)
        raise RunNotFoundError(
            f"There is no run {text!r}.{did_you_mean(text, known)}", fix="shadownb.runs.list() shows the runs."
        )

    @classmethod
    def all(cls) -> list[RunFolder]:
        """Return the folders of all runs, newest first."""
        # A killed delete leaves a folder whose name begins with a dot, which glob's * matches.
        found = [cls(path.parent) for path in subfolder("runs").glob("[!.]*/run.json")]
        return sorted(found, key=RunFolder._launched, reverse=True)

    def _launched(self) -> tuple[str, int]:
        """Return when the run was launched, as something to sort by; commands and resumes change the folder's own times."""
        try:
            written = self._config.stat().st_mtime_ns  # once, at the launch: finer than the seconds in the id
        except OSError:
            written = 0
        return self.id[: len("20261122-090000")], written

    @property
    def config(self) -> TrainConfig:
        """The configuration that was launched; its ``model_fields_set`` are the options that were given."""
        if self.method is not None:
            methods.remember(self.method)
        given = self.spec.get("given")
        config = TrainConfig.from_yaml(self._config, given=given)
        return config if given is None else TrainConfig.model_construct(set(given), **dict(config))

    @property
    def spec(self) -> dict[str, Any]:
        """What was launched: model and data references, parent, time.

        Raises
        ------
        RunError
            It cannot be read, or has a format that another version writes.
        """
        try:
            content = dict(json.loads(self._spec.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"The record of run {self.id} cannot be read ({error}).", fix="Restore run.json.") from None
        written = content.get("format", FORMAT)
        if written != FORMAT:
            raise RunError(
                f"Run {self.id} has format {written}; this version of ShadowNB reads format {FORMAT}.",
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
        write_atomically(self._spec, json.dumps(spec, indent=1, allow_nan=False))

    def owner_lock(self) -> FileLock:
        """Return the lock that the training process holds for as long as it works on the run."""
        return FileLock(self.path / "owner.lock", thread_local=False)

    def is_owned(self) -> bool:
        """Return whether some process holds the owner's lock now."""
        if not (self.path / "owner.lock").exists():
            return False
        lock = self.owner_lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False


def store_rows(dataset: Dataset) -> dict[str, Any]:
    """Write a dataset's usable rows in canonical form once, named by their sha256, and return the reference a run keeps.

    The name is of what is written: the same rows read as another format are other canonical rows.
    """
    rows = dataset.canonical_rows()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = subfolder("datasets") / f"{digest}.jsonl"
    if not path.exists() or _sha256(path) != digest:
        write_atomically(path, text)
    return {
        "sha256": digest,
        "path": str(path),
        "name": dataset.name,
        "format": dataset.format,
        "rows": len(rows),
    }


def load_rows(reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a reference made by :func:`store_rows`.

    Raises
    ------
    RunError
        The file is gone, or holds other rows than the run was launched with.
    """
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


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a small file completely or leave the old one.

    Raises
    ------
    DiskFullError
        The disk is full.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(aside, "w", encoding="utf-8", newline="") as file:  # the bytes that were hashed, on every system
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if disk.is_full(error):
            raise DiskFullError(
                f"{path} could not be written: the disk is full.",
                fix="Free disk space, or set SHADOWNB_HOME to a larger disk.",
            ) from error
        raise
    finally:
        aside.unlink(missing_ok=True)
