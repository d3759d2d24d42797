"""Docstrings as the reference shows them: Sphinx's roles become code, ``::`` before a block becomes a colon."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|exc|data):`(~?)([^`<]+)`")


class Roles(griffe.Extension):
    """Rewrites every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """Return a docstring in Markdown."""
    return re.sub(r"::$", ":", _ROLE.sub(_name, text), flags=re.MULTILINE).replace("``", "`")


def _name(role: re.Match[str]) -> str:
    short, name = role[1], role[2].lstrip(".")
    return f"`{name.rsplit('.', 1)[-1] if short or role[2].startswith('.') else name}`"
