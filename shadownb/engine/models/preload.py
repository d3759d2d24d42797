"""Reading torch's libraries ahead of their import, so that the import does not hold up other cells.

``import torch`` maps a library of some 400 MB while it holds the interpreter's lock. With its pages in memory that takes
about 0.2 s; from a cold disk 0.4 to 0.5 s, in which no cell answers. Reading a file lets go of the lock.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path

_LIBRARIES = ("libtorch_cpu", "libtorch_python", "libc10")
_CHUNK = 8 << 20


def read_torch_ahead() -> None:
    """Bring torch's libraries into the page cache unless torch is imported already (0.1 s where they are there)."""
    if "torch" in sys.modules:
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    for path in sorted((Path(spec.origin).parent / "lib").glob("*")):
        if path.name.split(".")[0] in _LIBRARIES:
            with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
                while file.read(_CHUNK):
                    pass
