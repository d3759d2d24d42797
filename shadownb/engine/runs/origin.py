"""What a run started from, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BASE = "the base"


def in_words(spec: dict[str, Any]) -> str:
    """Return what a run's record says it started from: "the base", "step 40 of run ...", "the adapter in ..."."""
    given = spec.get("from_checkpoint")
    if given is not None:
        checkpoint = Path(given)
        run = checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else checkpoint.parent
        return f"{checkpoint.name} of {run}, optimizer included"
    start = (spec.get("model") or {}).get("start")
    if start is None:
        return f"run {spec['parent']}" if spec.get("parent") else BASE
    if start["trained"] is not None:
        return f"step {start['trained'][1]} of run {start['trained'][0]}"
    return f"the adapter in {start['path']}"
