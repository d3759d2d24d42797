"""Writing a trained model to a folder: what was trained, or the whole model with it in its weights.

A folder holds one saved model. Which files a save wrote stands in ``shadownb.json`` beside them (:mod:`.beside`): the next save
into the folder replaces those, whatever kind they were of, and leaves all others alone. Everything is written aside first and
then moved into place, so that a full disk leaves what was there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.disk import saving
from shadownb.engine.loaded import sidecar
from shadownb.engine.loaded.rewarding import REWARD, not_written_as_text
from shadownb.engine.loaded.sidecar import RECORD
from shadownb.engine.models import saves
from shadownb.errors import ExportError, ShadowError, ShadowWarning, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.exporter import Exporter

_ASIDE = ".saving-"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.gguf")


def save(
    model: LoadedModel,
    target: Path,
    fmt: str,
    exporter: Exporter | None = None,
    finish: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Write a loaded model; see :meth:`shadownb.Model.save`.

    Parameters
    ----------
    exporter
        One that was made with options; None makes it without.
    finish
        Adds to the folder before it takes its place.
    """
    if exporter is None:
        exporter = kind_of(fmt, "fmt")()
    if model.weights.kind == REWARD and fmt != "adapter":
        raise not_written_as_text(f"fmt={fmt!r}")
    exporter.check(model)
    # By which a folder is known to hold a model or an adapter.
    descriptions = ("config.json", *model.backend.description_names())
    _refuse_used(target, model.source, descriptions)
    with model.gate.inference():
        trained = trained_state(model)
        with saving(target), replacing(target, descriptions) as folder:
            exporter.write(model, folder)  # first, because it may be refused
            untrained = model.base_hash if model.weights.kind is None else None
            sidecar.write(folder, trained_on=model.trained_on, trained=trained, made_of=untrained)
            model.save_tokenizer(folder)
            finish(folder)
    saves.note(target, trained)
    _warn_if_unfinished(trained, model, target)
    return target


def kind_of(fmt: str, option: str) -> Callable[..., Exporter]:
    """Return the exporter of a format; ``option`` is what it was asked for by.

    Raises
    ------
    ExportError
        There is none of that name.
    """
    formats = registry.names("exporter")
    if fmt not in formats:
        raise ExportError(
            f"{option}={fmt!r} is not a format.{did_you_mean(fmt, formats)}", fix=f"Use one of {', '.join(formats)}."
        )
    found: Callable[..., Exporter] = registry.resolve("exporter", fmt)
    return found


def trained_state(model: LoadedModel) -> dict[str, Any] | None:
    """Return which run's weights these are, of which step of how many, and how that run stands; None where no run made them.

    Called with the gate held: a run that trains them waits meanwhile.
    """
    found = model.stepped or model.trained
    if found is None:
        return None
    from shadownb.engine import runs

    state: dict[str, Any] = {"run": found[0], "step": found[1], "total_steps": None, "status": "unknown"}
    with contextlib.suppress(ShadowError, OSError):  # of a run that was deleted, or whose record is damaged
        run = runs.load(found[0])
        state |= {"total_steps": run.total_steps, "status": run.status}
    return state


def _warn_if_unfinished(trained: dict[str, Any] | None, model: LoadedModel, target: Path) -> None:
    """Say which step was saved where the run has more to come, or never came to its end."""
    busy = model.active_run
    what = None
    if busy is not None and (trained is None or trained["run"] != busy.id):  # a worker, or one that waits in line
        held = "the base" if trained is None else f"step {trained['step']} of run {trained['run']}"
        what = f"Run {busy.id} is {busy.status} at step {busy.step}; {target.name!r} holds nothing of it, but {held}."
    elif trained is not None and trained["status"] not in ("succeeded", "unknown"):
        of = f" of {trained['total_steps']}" if trained["total_steps"] is not None else ""
        what = f"Saved step {trained['step']}{of} to {target.name!r}: run {trained['run']} is {trained['status']}."
    if what is not None:
        wait = "run.wait() waits for its end" if busy is not None else "run.resume() goes on with it"
        warnings.warn(f"{what} {wait}; then save again for the whole training.", ShadowWarning, stacklevel=4)


def _refuse_used(target: Path, source: str, descriptions: tuple[str, ...]) -> None:
    """Raise ExportError where the folder holds what a save must not replace."""
    if os.path.isdir(source) and target.resolve() == Path(source).resolve():
        raise ExportError(
            f"path={str(target)!r}: the base of this model is read from that folder.",
            why="Answers of the base, resumes and the adapter itself need it as it is.",
            fix="Save to another folder.",
        )
    ours = sidecar.files_in(target)
    found = {file.name for pattern in (*descriptions, *_WEIGHTS) for file in target.glob(pattern)}
    others = sorted(found - ours)
    if others:
        raise ExportError(
            f"path={str(target)!r}: the folder holds {others[0]}, which no save() has noted as its own.",
            why="It is of another model or adapter, and what is saved beside it would not be what loads.",
            fix="Save to another folder, or empty this one first.",
        )


@contextlib.contextmanager
def replacing(target: Path, descriptions: tuple[str, ...]) -> Iterator[Path]:
    """Yield an empty folder to write to; in the end its files take the place of those that the last save wrote to ``target``."""
    is_new = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    for left in target.glob(f"{_ASIDE}*"):  # by a save that was killed
        shutil.rmtree(left, ignore_errors=True)
    aside = target / f"{_ASIDE}{uuid.uuid4().hex[:8]}"
    written = aside / "new"
    try:
        written.mkdir(parents=True)
        yield written
        _exchange(target, written, aside, descriptions)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # it is empty only where nothing was saved
                target.rmdir()


def _exchange(target: Path, written: Path, aside: Path, descriptions: tuple[str, ...]) -> None:
    """Move a save's files into place: only renames, which need no space, and undone where one fails.

    A kill in between leaves a folder that does not load, never a mixture: what describes a model leaves first and comes last.
    """
    old, new = sidecar.files_in(target), {file.name for file in written.iterdir()} - {RECORD}
    before = aside / "old"
    before.mkdir()
    recorded = (target / RECORD).is_file()
    if recorded:
        shutil.copy2(target / RECORD, before)
    record = sidecar.add_files(written, new)
    sidecar.write(aside, files=old | new).replace(
        target / RECORD
    )  # so that the next save knows all files, also after a kill
    arriving = sorted(new, key=lambda name: name in descriptions)
    leaving = sorted((old | new) - {RECORD}, key=lambda name: name not in descriptions)
    moves = [(target / name, before / name) for name in leaving if os.path.lexists(target / name)]
    moves += [(written / name, target / name) for name in arriving]
    done: list[tuple[Path, Path]] = []
    try:
        for source, place in moves:
            source.rename(place)
            done.append((source, place))
    except BaseException:
        for source, place in reversed(done):
            place.rename(source)
        if recorded:
            (before / RECORD).replace(target / RECORD)
        else:
            (target / RECORD).unlink()
        raise
    record.replace(target / RECORD)
