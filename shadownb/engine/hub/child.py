"""The process that fetches one model: ``python -m shadownb.engine.hub.child owner/name``.

A process of its own, because the hub's client can't be stopped in the middle of a file: whoever fetches closes this one's
standard input, or ends. It then removes what is unfinished, which nobody could use: the client begins a file that broke off
anew, under another name. Lines of JSON on standard output say what is fetched and how it ended. No token is handed over: the
client looks for it where it keeps it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from shadownb.engine.hub.refusals import explain
from shadownb.errors import DiskFullError, ModelError, ShadowError

_SMALL = (
    ".json",
    ".txt",
    ".jinja",
    ".model",
    ".tiktoken",
)  # what stands beside the weights: configuration, tokenizer, template
_REVISION = "main"


def main() -> None:
    """Fetch what loading a model reads, and say how it went."""
    repo = sys.argv[1]
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    try:
        _say(path=str(_fetch(repo)))
    except ShadowError as error:
        _say(error=error.to_dict())
    except Exception as error:
        _say(error=explain(repo, error).to_dict())


def _fetch(repo: str) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    info = HfApi().model_info(repo, revision=_REVISION, files_metadata=True, timeout=30)
    files = wanted(info.siblings or [])
    if not any(name.endswith(".safetensors") for name, *_ in files):
        raise ModelError(
            f"{repo!r} has no weights in safetensors.",
            why="Weights in other formats may run code when they are read.",
            fix="Take a copy of it that has them.",
        )
    _say(files=[[digest, size] for _, digest, size in files])
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs"
    missing = sum(size for _, digest, size in files if not (blobs / digest).is_file())
    place = next(folder for folder in (blobs, *blobs.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if missing > free:
        raise DiskFullError(
            f"{repo!r} does not fit on the disk: {missing / 1e9:.2f} GB are to come, {free / 1e9:.2f} GB are free.",
            fix="Delete models that you do not use (shadownb models delete NAME), or set HF_HUB_CACHE to a larger disk.",
        )
    return Path(snapshot_download(repo, revision=_REVISION, allow_patterns=[name for name, *_ in files]))


def wanted(siblings: list[Any]) -> list[tuple[str, str, int]]:
    """Return (name, digest, bytes) of the files that loading reads: the top folder's weights in safetensors and small files."""
    found = []
    for file in siblings:
        name = str(file.rfilename)
        if "/" not in name and name.endswith((".safetensors", *_SMALL)):
            lfs = file.lfs
            found.append((name, str(lfs.sha256 if lfs is not None else file.blob_id), int(file.size or 0)))
    return found


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def _end_with_the_other() -> None:
    # Nothing comes: it ends when the other closes it, or ends. Not by sys.stdin, whose lock would be held when this one ends first.
    while os.read(0, 1):
        pass
    with contextlib.suppress(psutil.Error):
        for file in psutil.Process().open_files():
            if file.path.endswith(".incomplete"):
                with contextlib.suppress(OSError):
                    os.unlink(file.path)
    os._exit(1)


if __name__ == "__main__":
    main()
