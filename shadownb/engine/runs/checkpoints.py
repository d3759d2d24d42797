"""Checkpoints on disk: a folder each, complete or absent, that describes itself.

``checkpoints/step-000020/`` holds what loads on its own (adapter or weights, tokenizer, chat template), ``training/``
with what only a resume needs (optimizer, scheduler, positions), and ``manifest.json`` with the size and sha256 of every
file. It is written beside its place, synced, and renamed, so that a kill at any moment leaves no half checkpoint under a
valid name; which one is newest is read from the manifests, and a damaged one is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shadownb.engine import disk
from shadownb.errors import CheckpointError, DiskFullError

MANIFEST = "manifest.json"
TRAINING = "training"  # subfolder for what only a resume needs
FORMAT = 2  # in 1, of transformers' Trainer, the step stands in trainer_state.json
_ASIDE = ".writing-"


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint of a run.

    Attributes
    ----------
    step
        The optimizer step it was written after.
    path
        Its folder; ``shadownb.load(base, adapter=path)`` loads it.
    final
        Whether the run ended, or was stopped, with it.
    manifest
        Size and sha256 of each file, and facts about the weights, as in ``manifest.json``.

    Examples
    --------
    >>> checkpoint = run.checkpoint_at(40)
    >>> checkpoint.step, checkpoint.final, checkpoint.path == run.checkpoint
    (40, True, True)
    >>> checkpoint.weights_bytes  # 32,768 numbers in 32 bits, and their names
    134616
    """

    step: int
    path: Path
    final: bool = False
    manifest: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path, manifest: dict[str, Any]) -> Checkpoint:
        """Return the checkpoint that a manifest describes."""
        return cls(manifest["step"], path, bool(manifest.get("final")), manifest)

    @property
    def weights_bytes(self) -> int:
        """Size of the trained weights on disk in bytes, without the files that only a resume needs."""
        files = self.manifest.get("files", {})
        return sum(
            fact["size"]
            for name, fact in files.items()
            if name.endswith(".safetensors") and not name.startswith(f"{TRAINING}/")
        )


def folder_name(step: int) -> str:
    """Return the folder name of a step's checkpoint."""
    return f"step-{step:06d}"


def write(parent: Path, step: int, fill: Callable[[Path], None], manifest: dict[str, Any]) -> Checkpoint:
    """Write one checkpoint completely or not at all.

    Parameters
    ----------
    fill
        Writes the files into the folder it is given.
    manifest
        Facts that the manifest adds to the file list (run id, method, base hash, ...).

    Raises
    ------
    DiskFullError
        The disk is full; what was there before is untouched and nothing partial is left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    aside = parent / f"{_ASIDE}{step:06d}-{uuid.uuid4().hex[:8]}"
    target = parent / folder_name(step)
    try:
        aside.mkdir()
        fill(aside)
        content = {**manifest, "format": FORMAT, "step": step, "files": _describe(aside)}
        (aside / MANIFEST).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        disk.sync_tree(aside)
        if target.exists():  # an attempt that went back reaches the step again; the older one is of another path
            stale = parent / f"{_ASIDE}stale-{uuid.uuid4().hex[:8]}"
            target.rename(stale)
            aside.rename(target)
            shutil.rmtree(stale, ignore_errors=True)
        else:
            aside.rename(target)
        disk.sync_folder(parent)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if disk.is_full(error):
            raise _disk_full(parent, step) from error
        raise
    return Checkpoint.of(target, content)


def ensure_space(parent: Path, needed: int, step: int) -> None:
    """Raise DiskFullError before writing where ``needed`` bytes (and 5 %) do not fit."""
    parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(parent).free < needed * 1.05:
        raise _disk_full(parent, step, needed)


def verify(path: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint after checking every file against it.

    Raises
    ------
    CheckpointError
        The manifest or a file is missing, has another size, or another content.
    """
    manifest = _read_manifest(path)
    for name, facts in manifest["files"].items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()):
            raise CheckpointError(f"The {MANIFEST} of {path.name} names a file outside of it: {name}.")
        if not file.is_file():
            raise CheckpointError(f"{path.name} lacks {name}.")
        if file.stat().st_size != facts["size"]:
            raise CheckpointError(f"{name} in {path.name} has {file.stat().st_size} bytes, not {facts['size']}.")
        if _sha256(file) != facts["sha256"]:
            raise CheckpointError(f"{name} in {path.name} has another content than was written.")
    return manifest


def opened(path: Path) -> Checkpoint:
    """Return the checkpoint of a folder, checked as :func:`verify` does."""
    return Checkpoint.of(path, verify(path))


def described(path: Path) -> Checkpoint:
    """Return the checkpoint of a folder as its manifest describes it; the files are not looked at.

    Raises
    ------
    CheckpointError
        The manifest is missing or damaged.
    """
    return Checkpoint.of(path, _read_manifest(path))


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = dict(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
        manifest["step"] = int(manifest["step"])
        for facts in manifest["files"].values():
            _ = facts["size"], facts["sha256"]
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} has no {MANIFEST}.", why="It was not written to its end.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The {MANIFEST} of {path.name} is damaged ({error}).") from None
    return manifest


def list_checkpoints(parent: Path) -> list[Checkpoint]:
    """Return the checkpoints with a readable manifest, by step; contents are not checked (see :func:`verify`)."""
    found = []
    for path in sorted(parent.glob("step-*")) if parent.is_dir() else []:
        with contextlib.suppress(CheckpointError):
            found.append(described(path))
    found.sort(key=lambda checkpoint: checkpoint.step)
    return [*(replace(each, final=False) for each in found[:-1]), *found[-1:]]  # an attempt went on from the others


def newest_valid(parent: Path, read: Callable[[Path], Checkpoint] = opened) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint whose files are all as written, and why newer ones were passed over.

    With ``read=described`` it is the newest with a readable manifest.
    """
    skipped: list[str] = []
    folders = sorted(parent.glob("step-*"), key=lambda path: path.name, reverse=True) if parent.is_dir() else []
    for path in folders:
        try:
            return read(path), skipped
        except CheckpointError as error:
            skipped.append(error.what)
    return None, skipped


def prune(parent: Path, keep_last: int, keep_steps: set[int], needed: Callable[[], set[Path]] = set) -> list[Path]:
    """Delete all but the newest ``keep_last`` and those of ``keep_steps``; return what was deleted.

    ``needed`` returns folders that stay, too; it is asked only where there is something to delete.
    """
    old = [c for c in list_checkpoints(parent)[:-keep_last] if c.step not in keep_steps]
    needed_paths = needed() if old else set()
    return _remove(parent, [c for c in old if c.path not in needed_paths])


def remove_after(parent: Path, step: int) -> list[Path]:
    """Delete the checkpoints of later steps, which a discard does not keep; return what was deleted."""
    return _remove(parent, [c for c in list_checkpoints(parent) if c.step > step])


def _remove(parent: Path, doomed: list[Checkpoint]) -> list[Path]:
    for checkpoint in doomed:
        # Renamed first, so that a kill in the middle leaves nothing that looks like a checkpoint.
        aside = parent / f"{_ASIDE}stale-{uuid.uuid4().hex[:8]}"
        checkpoint.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return [checkpoint.path for checkpoint in doomed]


def sweep(parent: Path) -> None:
    """Remove what a killed writer left beside the checkpoints."""
    for path in parent.glob(f"{_ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def _describe(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)} for path in files
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_full(parent: Path, step: int, needed: int | None = None) -> DiskFullError:
    free = shutil.disk_usage(parent).free / 1e9
    wanted = f" of {needed / 1e9:.2f} GB" if needed else ""
    return DiskFullError(
        f"The checkpoint{wanted} of step {step} does not fit: {free:.2f} GB are free at {parent}.",
        why="Earlier checkpoints are untouched.",
        fix="Free disk space, lower save_total_limit, or set SHADOWNB_HOME to a larger disk.",
    )
