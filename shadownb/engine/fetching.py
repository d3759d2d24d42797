"""How much of a model the hub's client has fetched so far, read from its cache folder while it downloads.

The client's own bars are switched off: they are many, and overlap in a cell. What it has written is counted instead, so
nothing of it is patched. The total comes from one question about the files' sizes, asked when bytes are seen to come.
"""

from __future__ import annotations

import threading
from pathlib import Path

_WEIGHTS = (".safetensors", ".bin")


class Fetching:
    """Measures a download; see :meth:`__call__`.

    Parameters
    ----------
    repo
        A hub id, ``owner/name``.
    """

    def __init__(self, repo: str) -> None:
        from huggingface_hub import constants

        self._repo = repo
        self._blobs = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs"
        self._before = self._bytes()[0]
        self._total: float | None = None
        self._asked = False

    def __call__(self) -> tuple[str, float, float | None]:
        """Return (words, bytes fetched, bytes in all or None) for :func:`shadownb.engine.live.tell`."""
        written, unfinished = self._bytes()
        fetched = written - self._before
        if fetched <= 0:
            return "opening its files", 0, None
        if not self._asked:
            self._asked = True
            threading.Thread(target=self._ask, name="shadownb-sizes", daemon=True).start()
        if not unfinished:
            return f"fetched {_megabytes(fetched)}, reading weights", 0, None
        whole = f" of {_megabytes(self._total)}" if self._total and self._total >= fetched else ""
        return f"fetching {_megabytes(fetched)}{whole}", fetched, self._total if whole else None

    def _bytes(self) -> tuple[int, bool]:
        """Return (bytes on the disk, whether a file is unfinished)."""
        total, unfinished = 0, False
        if self._blobs.is_dir():
            for file in self._blobs.iterdir():
                try:
                    found = file.stat()
                except FileNotFoundError:  # renamed meanwhile
                    continue
                # A file that is written in parts has its whole length from the start; its blocks say what is there.
                total += min(found.st_size, getattr(found, "st_blocks", found.st_size) * 512)
                unfinished = unfinished or file.suffix == ".incomplete"
        return total, unfinished

    def _ask(self) -> None:
        """Ask the hub for the sizes of what transformers loads: one kind of weights, and the small files beside them."""
        from huggingface_hub import HfApi

        try:
            info = HfApi().model_info(self._repo, files_metadata=True, timeout=10)
        except Exception:  # whatever it is: the line then says how much has come, without of how much
            return
        files = [(f.rfilename, f.size or 0) for f in info.siblings or [] if "/" not in f.rfilename]
        for kind in _WEIGHTS:
            if weights := [size for name, size in files if name.endswith(kind)]:
                self._total = sum(weights) + sum(size for name, size in files if name.endswith((".json", ".txt")))
                return


def _megabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
