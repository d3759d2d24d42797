"""What formulas may do with MLX's arrays, where MLX itself would compute something else or never end."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from shadownb.engine.backends.mlx import sums, worker
from shadownb.engine.backends.mlx.arrays import MlxOps, MlxTokens

OPS = MlxOps()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of elements of each array that MLX itself is asked to sum."""
    seen: list[int] = []
    for name in ("sum", "mean", "logsumexp"):
        plain = getattr(mx, name)

        def noted(x: Any, *args: Any, plain: Any = plain, **more: Any) -> Any:
            seen.append(int(x.size))
            return plain(x, *args, **more)

        monkeypatch.setattr(mx, name, noted)
    return seen


def test_nothing_is_summed_without_asking_mlx(sizes: list[int]) -> None:
    """Its sum of no numbers may take forever: KTO's mean over the bad answers of a pass without any stood still."""
    none = OPS.numbers([])
    assert OPS.listed(OPS.sum(none)) == 0.0 and math.isnan(OPS.listed(OPS.mean(none)))
    assert OPS.listed(OPS.sum(OPS.numbers([2.0, 3.0]))) == 5.0
    assert sizes and 0 not in sizes


def test_rows_without_a_trained_token_have_sums_too(sizes: list[int]) -> None:
    def made(counts: list[int]) -> MlxTokens:
        logits = mx.array(np.random.default_rng(0).normal(size=(sum(counts), 700)).astype(np.float32))
        targets = mx.array(np.arange(sum(counts), dtype=np.int32))
        return MlxTokens(logits, targets, counts, frozenset({"entropy"})).evaluated()

    some, none = worker.run(lambda: made([2, 0, 1])), worker.run(lambda: made([0, 0]))
    by_row = OPS.listed(some.by_row(some.logp))
    assert by_row[1] == 0.0 and all(value < 0 for value in (by_row[0], by_row[2]))
    assert OPS.listed(none.by_row(none.logp)) == [0.0, 0.0] and len(none.entropy) == 0
    assert 0 not in sizes


def test_the_slope_of_a_loss_beside_nothing_is_its_own() -> None:
    def slope() -> Any:
        return mx.grad(lambda w: sums.total(w * w) + sums.total(w[:0]))(mx.array([1.0, -2.0])).tolist()

    assert worker.run(slope) == [2.0, -4.0]
