"""The verbs of ``%shadow`` and of the ``shadownb`` command, declared once.

A verb is a click command that takes a :class:`~shadownb._verbs.front_end.FrontEnd`, calls the public API and returns its
result; the front end decides how that is shown. :func:`verbs_for` gives the group of one front end: a few verbs make sense in
one only. Options of ``train`` and their help are generated from the fields of TrainConfig.
"""

from __future__ import annotations

from shadownb._verbs import (
    capture,
    compare,
    curve,
    evaluate,
    export,
    facts,
    judge,
    lab,
    models,
    others,
    runs,
    serve,
    train,
)
from shadownb._verbs.declare import verbs_for
from shadownb._verbs.front_end import DEFAULT_MODEL, FrontEnd, one_line

__all__ = [
    "DEFAULT_MODEL",
    "FrontEnd",
    "capture",
    "compare",
    "curve",
    "evaluate",
    "export",
    "facts",
    "judge",
    "lab",
    "models",
    "one_line",
    "others",
    "runs",
    "serve",
    "train",
    "verbs_for",
]
