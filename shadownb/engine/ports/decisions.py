"""A decision: a value, and the reason that is shown and kept."""

from __future__ import annotations

from typing import Any

Decision = tuple[Any, str]
