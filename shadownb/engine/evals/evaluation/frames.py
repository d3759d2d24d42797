"""An evaluation as pandas DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.evals.evaluation.kept import KeptAnswers


def frame(kept: KeptAnswers) -> pd.DataFrame:
    """Return one line an answer."""
    import pandas as pd

    lines = [
        {
            "suite": suite,
            "side": side,
            "item": each.item.id,
            "sample": sample,
            "score": (verdict or {}).get("value"),
            "outcome": (verdict or {}).get("outcome"),
            "reason": (verdict or {}).get("reason") or each.errors[sample],
            "extracted": (verdict or {}).get("extracted"),
            "answer": turn.raw or turn.text if turn is not None else None,
            "expected": each.item.expected,
        }
        for suite in kept.suites
        for side in kept.sides
        for each in kept.items(suite, side)
        for sample, (turn, verdict) in enumerate(zip(each.turns, each.verdicts, strict=True))
    ]
    return pd.DataFrame(lines)
