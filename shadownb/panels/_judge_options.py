"""The options of the Judge panel as they are typed, and as :func:`shadownb.judge` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Groups at first: of a recording of a month there are thousands, and a first look should take minutes.
DEFAULTS: dict[str, str] = {"limit": "50", "orders": "", "max_requests": "", "max_cost": ""}


def read(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (options that were given, what is wrong by option)."""
    options: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in DEFAULTS:
        text = str(typed.get(name, "")).strip()
        if not text:
            continue
        try:
            options[name] = value = float(text) if name == "max_cost" else int(text)
            right = value > 0 and value != float("inf")
        except ValueError:
            right = False
        if not right:
            kind = "number of dollars" if name == "max_cost" else "whole number"
            problems[name] = f"{text!r:.30} is no {kind} above 0."
            options.pop(name, None)
    return options, problems
