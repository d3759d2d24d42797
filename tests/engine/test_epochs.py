"""Which rows a step sees: every row once an epoch, in the order that torch's generator gives, whoever trains."""

from __future__ import annotations

import pytest
import torch

from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.runs.epochs import Epochs, permutation


def examples(count: int) -> list[Example]:
    return [Example((Rendered([1] * (10 + number), [1] * (10 + number)),)) for number in range(count)]


def test_each_epoch_has_every_row_once_in_another_order() -> None:
    rows = examples(23)
    source = Epochs(rows, 4, seed=1, packing=False, max_length=100)
    assert source.steps == 6
    orders = [[rows.index(row) for step in range(6) for row in source.next(6 * epoch + step)] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(23))
    assert orders[0] != orders[1]
    assert source.epoch(3) == 0.5 and source.epoch(12) == 2.0


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    rows = examples(23)
    source = Epochs(rows, 4, seed=1, packing=False, max_length=100)
    forward = [source.next(step) for step in range(18)]
    assert [Epochs(rows, 4, seed=1, packing=False, max_length=100).next(step) for step in reversed(range(18))] == list(
        reversed(forward)
    )


@pytest.mark.parametrize("packing", [False, True])
def test_the_rows_of_the_first_steps_are_those_the_run_sees(packing: bool) -> None:
    rows = examples(23)
    source = Epochs(rows, 4, seed=1, packing=packing, max_length=60)
    source.next(source.steps)  # whichever epoch was asked for last
    assert source.known(2) == sorted(rows.index(row) for step in (0, 1) for row in source.next(step))
    assert source.known(source.steps) == source.known(99) == list(range(23))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 23, 1000, 20_001])
def test_the_order_is_that_of_torch(count: int) -> None:
    """Runs of earlier versions drew it with torch, and go on."""
    for seed in (0, 1, 2**32 - 1, 2**62 + 12345):
        drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        assert permutation(count, seed) == drawn
