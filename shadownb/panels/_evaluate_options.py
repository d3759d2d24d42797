"""The options of the Evaluate panel as they are typed, and as :func:`shadownb.evaluate` takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Fifty items of each suite: of the largest there are thousands, and a first look should take minutes.
DEFAULTS: dict[str, str] = {"limit": "50", "samples": "", "temperature": "", "max_new_tokens": "", "name": ""}

_WHOLE = ("limit", "samples", "max_new_tokens")
_NAME = re.compile(r"[\w-][\w.-]{0,99}")


def read(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (options that were given, what is wrong by option)."""
    options: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, value in typed.items():
        text = str(value).strip()
        if not text:
            continue
        if name in _WHOLE:
            if not text.isdecimal() or int(text) < 1:
                problems[name] = "Give a whole number from 1 on."
            else:
                options[name] = int(text)
        elif name == "temperature":
            try:
                options[name] = float(text)
            except ValueError:
                problems[name] = "Give a number, such as 0.8."
                continue
            if not 0 <= options[name] <= 10:
                problems[name] = "Give a number from 0 to 10."
        elif name == "name":
            if not _NAME.fullmatch(text):
                problems[name] = "Use letters, digits, '.', '_' and '-'."
            else:
                options[name] = text
    if options.get("samples", 1) > 1 and not options.get("temperature"):
        problems.setdefault("temperature", "Several samples need one, such as 0.8: at 0 they are all the same.")
    return options, problems
