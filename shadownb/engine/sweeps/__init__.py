"""Sweeps: trials of one training with different options, kept in a folder, gone on with after any end.

Examples
--------
>>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=1, background=False)
>>> snb.sweeps.load(sweep.name).best.config.lora_r == sweep.best.config.lora_r
True
"""

from __future__ import annotations

import builtins

from shadownb.engine.sweeps.folder import find, folders
from shadownb.engine.sweeps.sweep import Sweep

__all__ = ["Sweep", "list", "load"]


def list() -> builtins.list[str]:
    """Return the names of all sweeps, the newest first.

    Examples
    --------
    >>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2]}, metric="loss", max_steps=1, background=False)
    >>> snb.sweeps.list()[0] == sweep.name
    True
    """
    return [folder.name for folder in folders()]


def load(name: str) -> Sweep:
    """Return a sweep by its name, from any kernel, also while it goes on elsewhere.

    Raises
    ------
    RunNotFoundError
        There is none; the message suggests the closest name.

    Examples
    --------
    >>> snb.sweeps.load("no-such-sweep")
    Traceback (most recent call last):
        ...
    shadownb.errors.RunNotFoundError: There is no sweep 'no-such-sweep'.
    Next: snb.sweeps.list() shows the sweeps.
    """
    return Sweep(find(name))
