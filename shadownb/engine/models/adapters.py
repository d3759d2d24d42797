"""``use=``: which weights are meant, and where an adapter is that is not on the model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.loaded import sidecar
from shadownb.engine.loaded.backends import description_in
from shadownb.engine.runs import checkpoints
from shadownb.engine.runs.checkpoints import Checkpoint
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.results import result_of
from shadownb.engine.runs.store import default_store
from shadownb.errors import CheckpointError, ConfigError, ModelError, RunNotFoundError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.model import LoadedModel

# What a user may say: a word, a run or one of its checkpoints, the id of a run, the folder of an adapter, or tensors.
Asked = Literal["tuned", "base"] | str | Path | Run | Checkpoint | AdapterSource


def weights_asked(asked: Any, model: LoadedModel) -> Use:
    """Return which weights ``use=`` means; files are looked at, and none of their tensors is read.

    Raises
    ------
    ConfigError
        It is none of what it can be.
    CheckpointError, ModelError
        It cannot answer on this model: it is damaged, of another base, or a whole model.
    """
    if asked in ("tuned", "base"):
        found: Use = asked
        return found
    source = asked if isinstance(asked, AdapterSource) else _source(asked, model)
    model.require_loaded()
    model.weights.check_beside(source)
    return source


def _source(asked: Any, model: LoadedModel) -> AdapterSource:
    folder, name = _folder(asked)
    if (folder / checkpoints.MANIFEST).is_file():
        return _checkpoint(folder, name, model)
    kept = sidecar.read(folder).get("trained")  # of what save() wrote
    trained: dict[str, Any] = kept if isinstance(kept, dict) else {}
    run, step = trained.get("run"), trained.get("step")
    if run is not None:
        with contextlib.suppress(RunNotFoundError, KeyError):  # of another machine, or deleted
            _check_base(default_store().find(str(run)).spec["model"]["base_hash"], name, model)
    return AdapterSource(AdapterId(run, step, _revision(_content(folder))), name, folder)


def _folder(asked: Any) -> tuple[Path, str]:
    """Return the folder of what was asked for, and what to call it."""
    if isinstance(asked, Checkpoint):
        return asked.path, f"{asked.path.parent.parent.name}/{asked.path.name}"
    if isinstance(asked, Run):
        return _result(asked.folder), asked.id
    if isinstance(asked, str | os.PathLike):
        with contextlib.suppress(RunNotFoundError):
            return _result(default_store().find(str(asked))), str(asked)
        path = Path(asked or os.devnull).expanduser()
        if (
            (path / checkpoints.MANIFEST).is_file()
            or description_in(path) is not None
            or (path / "config.json").is_file()
        ):
            return path.resolve(), str(asked)
    close = did_you_mean(asked, ("tuned", "base")) if isinstance(asked, str) else ""
    raise ConfigError(
        f"use={asked!r} is not known.{close}",
        why="It is neither 'tuned', 'base', a run or its id, a checkpoint, nor a folder with an adapter.",
        fix="run.checkpoints() has a run's checkpoints, shadownb.runs.list() the runs.",
    )


def _result(run: RunFolder) -> Path:
    return result_of(run, verified=False).path


def _checkpoint(folder: Path, name: str, model: LoadedModel) -> AdapterSource:
    """Return a checkpoint as an adapter, once its files are found to be as written."""
    checkpoint = checkpoints.described(folder)
    _check_base(checkpoint.manifest.get("base", {}).get("hash"), name, model)
    written, content = checkpoint.manifest["files"], _content(folder)
    for file, digest in content.items():
        if file in written and written[file]["sha256"] != digest:
            raise CheckpointError(
                f"{file} in {name} has another content than was written.", fix="Ask another checkpoint."
            )
    run = checkpoint.manifest.get("run")
    return AdapterSource(AdapterId(run, checkpoint.step if run is not None else None, _revision(content)), name, folder)


def _check_base(found: str | None, name: str, model: LoadedModel) -> None:
    if found is not None and found not in (model.base_hash, sidecar.made_of(Path(model.source))):
        raise ModelError(
            f"use={name!r} belongs to another base than {model.name!r}.",
            why=f"Its base hashes to {found[:12]}, this one to {model.base_hash[:12]}.",
            fix="Load the model it was trained on, and ask it there.",
        )


def _content(folder: Path) -> dict[str, str]:
    """Return the sha256 of the files that make an adapter what it is, by name; nothing of a whole model, which is none."""
    description = description_in(folder)
    files = [] if description is None else [*sorted(folder.glob("*.safetensors")), description]
    return {file.name: _sha256(file, _mark(file)) for file in files}


def _revision(content: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mark(file: Path) -> tuple[int, int, int]:
    found = os.stat(file)
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=256)
def _sha256(file: Path, mark: tuple[int, int, int]) -> str:
    """Return a file's hash; ``mark`` changes with the file, so that one that is as it was is read once."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
