"""The folder of a run: self-contained, so that another kernel, or another day, can read it and go on from it.

``run.json`` (what was launched), ``config.yaml``, ``events.jsonl``, ``commands.jsonl``, ``checkpoints/``, ``samples/``,
and ``owner.lock``, held by the process that trains. Data lies once in ``datasets/<sha256>.jsonl`` and is referred to.
"""

from __future__ import annotations

import datetime
import errno
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from shadownb.engine import methods
from shadownb.engine.config import TrainConfig
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
        found = [cls(path.parent) for path in subfolder("runs").glob("*/run.json")]
        return sorted(found, key=lambda folder: folder.path.stat().st_ctime_ns, reverse=True)

    @property
    def config(self) -> TrainConfig:
        """The configuration that was launched; its ``model_fields_set`` are the options that were given."""
        method = self.spec.get("method")
        if method is not None:  # a method that some cell registered is made known from the record
            methods.ensure(MethodSpec.from_dict(method))
        config = TrainConfig.from_yaml(self._config)
        given = self.spec.get("given")
        return config if given is None else TrainConfig.model_construct(set(given), **dict(config))

    @property
    def spec(self) -> dict[str, Any]:
        """What was launched: model and data references, parent, time."""
        try:
            return dict(json.loads(self._spec.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"The record of run {self.id} cannot be read ({error}).", fix="Restore run.json.") from None

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
    """Write a dataset's usable rows once, named by content, and return the reference a run keeps."""
    fingerprint = dataset.fingerprint
    path = subfolder("datasets") / f"{fingerprint}.jsonl"
    rows = dataset.canonical_rows()
    if not path.exists():
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return {
        "fingerprint": fingerprint,
        "path": str(path),
        "name": dataset.name,
        "format": dataset.format,
        "rows": len(rows),
    }


def load_rows(reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a reference made by :func:`store_rows`."""
    path = Path(reference["path"])
    if not path.exists():
        path = subfolder("datasets") / f"{reference['fingerprint']}.jsonl"
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except FileNotFoundError:
        raise RunError(
            f"The data {reference['name']!r} of the run is gone: {path} does not exist.",
            fix="Put the file back, or start a new run with the data at hand.",
        ) from None


def write_atomically(path: Path, text: str) -> None:
    """Write a small file completely or leave the old one.

    Raises
    ------
    DiskFullError
        The disk is full.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"{path} could not be written: the disk is full.",
                fix="Free disk space, or set SHADOWNB_HOME to a larger disk.",
            ) from error
        raise
    finally:
        aside.unlink(missing_ok=True)
