"""Importing torch, transformers and peft so that other cells are answered meanwhile.

Two things hold the interpreter's lock for long while these are imported, measured as the longest gap between two ticks of
another thread (two cores): linking torch's library of some 400 MB (240 to 520 ms), and full garbage collections over the
objects of 3,000 modules (up to 360 ms). Here the library is linked by a foreign call, which lets go of the lock, and the
collector rests, and does not look at the modules' objects again: the longest gap is then 45 to 80 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_NEEDED = ("shadownb.engine.backends.torch.training", "shadownb.engine.backends.torch.generation.generator")


def import_gently() -> None:
    """Import what loading and training need, unless that is there already."""
    if all(name in sys.modules for name in _NEEDED):
        return
    first = "torch" not in sys.modules
    with _collector_resting():
        if first:
            _link_torch()
        for name in _NEEDED:
            importlib.import_module(name)
        if first:
            # Modules live as long as the process: later collections need not walk through them. Not where torch was there
            # before, because then a model of the user's might be among what is never looked at again.
            gc.freeze()


@contextlib.contextmanager
def _collector_resting() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _link_torch() -> None:
    """Have the dynamic linker load torch's largest library, where there is one by this name; the import finds it loaded."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None or os.name != "posix":
        return
    library = Path(spec.origin).parent / "lib" / "libtorch_cpu.so"
    if library.is_file():
        with contextlib.suppress(OSError, AttributeError):
            dlopen = ctypes.CDLL(None).dlopen
            dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
            dlopen(os.fsencode(library), os.RTLD_LAZY)
