"""From a name to where weights are: short names, hub ids, folders, GGUF files, and the results of runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from shadownb.engine.hardware import ASKED_FOR
from shadownb.engine.home import subfolder
from shadownb.engine.loaded.backends import backend, description_in
from shadownb.engine.loaded.source import Source
from shadownb.engine.models.catalog import ModelInfo, catalog, find
from shadownb.errors import ModelError, ModelNotFoundError, RunNotFoundError, did_you_mean


def resolve(name: str, files: tuple[str, ...] = ()) -> Source:
    """Return where a name's weights are; nothing is downloaded yet.

    ``files`` are the ends of names of single files that are taken as they are, and of which no folder is made.
    """
    info = find(name)
    if info is not None:
        packaged = info.packaged_file()
        if packaged is not None and packaged.suffix in files:
            return Source(info.name, str(packaged))
        return Source(info.name, str(_local_or_hub(info)))
    path = Path(name or os.devnull).expanduser()
    if path.suffix in files and os.path.isfile(path):
        return Source(path.stem, str(path.resolve()))
    # os.path rather than Path: a name that no file system takes is no error here.
    if path.suffix == ".gguf" and os.path.isfile(path):
        digest = hashlib.sha256(str(path.resolve()).encode() + str(path.stat().st_mtime_ns).encode()).hexdigest()[:8]
        return Source(path.stem, str(backend().convert(path, subfolder("models") / f"{path.stem}-{digest}")))
    if os.path.isdir(path):
        return _folder(path, files)
    if (converted := _converted_before(path)) is not None:
        return converted
    with contextlib.suppress(RunNotFoundError):
        return _run(name)
    if name.count("/") == 1 and not path.is_absolute() and not name.startswith("."):
        return Source(name, name)
    known = [info.name for info in catalog()]
    raise ModelNotFoundError(
        f"There is no model {name!r}.{did_you_mean(name, known)}",
        why="It is no short name, folder, GGUF file, or run id here, and no hub id (owner/name).",
        fix=f"Short names: {', '.join(known)}.",
    )


def _converted_before(path: Path) -> Source | None:
    """Return the source of a converted model that runs and adapters refer to, and that was cleaned away: it is made again.

    What comes out has the same bytes, so they find the base that they were trained on.
    """
    with contextlib.suppress(ValueError, OSError):  # a name with a null byte in it is no place
        path = path.resolve()
    for info in catalog():
        if info.converted.resolve() == path and (packaged := info.packaged_file()) is not None:
            return Source(info.name, str(backend().convert(packaged, info.converted)))
    return None


def _local_or_hub(info: ModelInfo) -> str:
    if info.is_converted():
        return str(info.converted)
    packaged = info.packaged_file()
    if packaged is not None:
        return str(backend().convert(packaged, info.converted))
    return info.hub_id


def _folder(path: Path, files: tuple[str, ...] = ()) -> Source:
    taken = sorted(file for file in path.iterdir() if file.suffix in files)
    if taken:
        return Source(path.name, str(taken[0].resolve()))
    if (path / "config.json").is_file():
        return Source(path.name, str(path.resolve()))
    description = description_in(path)
    if description is not None:
        try:
            content = json.loads(description.read_text(encoding="utf-8"))
            base = str(content.get("base_model_name_or_path") or content["base_model"])
        except (ValueError, KeyError) as error:
            raise ModelError(f"{description} does not name its base model ({error}).") from None
        found = resolve(base)
        return Source(found.name, found.location, trained_at=path, variables=_variables(path))
    ggufs = sorted(path.glob("*.gguf"))
    if ggufs:
        return resolve(str(ggufs[0]))
    raise ModelNotFoundError(
        f"The folder {str(path)!r} holds no model.",
        why="It has neither config.json, adapter_config.json nor a .gguf file.",
        fix="Give the folder that save_pretrained or model.save wrote.",
    )


def _run(run_id: str) -> Source:
    from shadownb.engine.runs.results import result_of
    from shadownb.engine.runs.store import default_store

    folder = default_store().find(run_id)
    spec = folder.spec["model"]
    checkpoint = result_of(folder)
    base = resolve(spec["source"])
    trained = (folder.id, checkpoint.step)
    device, (dtype, reason) = str(spec["device"][0]), spec["dtype"]
    return Source(
        spec["name"],
        base.location,
        trained_at=checkpoint.path,
        trained=trained,
        quantize=spec.get("quantization"),
        dtype=(device.split(":", maxsplit=1)[0], dtype) if reason.startswith(ASKED_FOR) else None,
        backend=spec.get("backend"),
        base_hash=spec.get("base_hash"),
        variables=spec.get("template_variables") or {},
    )


def _variables(folder: Path) -> dict[str, Any]:
    """Return what the chat template that was saved with an adapter takes by default."""
    from shadownb.engine.rendering.variables import defaults_in

    try:
        return defaults_in((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def with_adapter(source: Source, adapter: str | Path) -> Source:
    """Return a source whose base carries a saved adapter, or a run's."""
    path = Path(adapter).expanduser()
    if description_in(path) is not None:
        return Source(source.name, source.location, trained_at=path, variables=_variables(path))
    with contextlib.suppress(RunNotFoundError):
        run = _run(str(adapter))
        if run.trained_at is not None and description_in(run.trained_at) is not None:
            return Source(source.name, source.location, run.trained_at, run.trained, variables=run.variables)
    raise ModelError(
        f"adapter={str(adapter)!r} is neither a folder with a saved adapter nor a run with one.",
        fix="Give the folder that model.save(path) wrote, or a run id from shadownb.runs.list().",
    )
