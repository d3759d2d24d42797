"""Identity of a base: the sha256 of its weight files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from shadownb.engine.home import subfolder
from shadownb.errors import DiskFullError


def weights_hash(source: str) -> str:
    """Return the sha256 over a model's weight files; kept by size and time, so that it is computed once.

    A hub id is looked up in the hub's cache; where that has no files the id's own hash says ``hub:``.
    """
    files = weight_files(source)
    if not files:
        return "hub:" + hashlib.sha256(source.encode()).hexdigest()
    key = "|".join(f"{f}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)
    cache = subfolder("models") / "hashes.json"
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known:
        digest = hashlib.sha256()
        for file in files:
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        from shadownb.engine.disk import write_atomically

        known[key] = digest.hexdigest()
        with contextlib.suppress(OSError, DiskFullError):  # only a cache
            write_atomically(cache, json.dumps(known))
    return str(known[key])


def weight_files(source: str) -> list[Path]:
    """Return a base's weight files, of a folder, a single file, or a hub id in the hub's cache."""
    folder = Path(source)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(source, "config.json")
        if not isinstance(config, str):
            return []
        folder = Path(config).parent
    return sorted(folder.glob("*.safetensors"))
