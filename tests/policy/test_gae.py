"""Advantages token by token are those of plain loops and of trl's whitening; a critic's scale and judgement are what they say."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
import torch

from shadownb.engine.objectives.policy import gae
from shadownb.engine.objectives.policy.value_scale import ValueScale

DRAW = random.Random(11)
REWARDS = [[DRAW.gauss(0, 1) for _ in range(n)] for n in (1, 5, 9)]
VALUES = [[DRAW.gauss(0, 1) for _ in row] for row in REWARDS]


def by_definition(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The sum over all later surprises, each weighted by (gamma lambda) to its distance (Schulman et al., 2016, eq. 16)."""
    after = [*values[1:], 0.0]
    surprises = [r + gamma * a - v for r, a, v in zip(rewards, after, values, strict=True)]
    return [
        sum((gamma * lam) ** (later - at) * surprises[later] for later in range(at, len(rewards)))
        for at in range(len(rewards))
    ]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_are_the_sum_of_later_surprises(gamma: float, lam: float) -> None:
    for rewards, values in zip(REWARDS, VALUES, strict=True):
        found = gae.advantages(rewards, values, gamma=gamma, lam=lam)
        assert found == pytest.approx(by_definition(rewards, values, gamma, lam))


def test_with_lambda_one_an_advantage_is_what_was_earned_less_what_was_expected() -> None:
    for rewards, values in zip(REWARDS, VALUES, strict=True):
        earned = [math.fsum(reward * 0.9**n for n, reward in enumerate(rewards[at:])) for at in range(len(rewards))]
        assert gae.to_go(rewards, 0.9) == pytest.approx(earned)
        found = gae.advantages(rewards, values, gamma=0.9, lam=1.0)
        assert found == pytest.approx([there - told for there, told in zip(earned, values, strict=True)])


@pytest.mark.parametrize("shift", [True, False])
def test_whitening_is_trls(shift: bool) -> None:
    flat = torch.tensor([number for row in REWARDS for number in row], dtype=torch.float64)
    expected = (flat - flat.mean()) * torch.rsqrt(flat.var() + 1e-8)  # trl's masked_whiten, with Bessel's correction
    expected = expected if shift else expected + flat.mean()
    found = [number for row in gae.whitened(REWARDS, shift=shift) for number in row]
    assert found == pytest.approx(expected.tolist())


@pytest.mark.parametrize("rows", [[], [[2.0]], [[1.0, 1.0], [1.0]]])
def test_what_does_not_differ_is_whitened_to_nothing(rows: list[list[float]]) -> None:
    assert gae.whitened(rows) == [[0.0] * len(row) for row in rows]


def test_explained_variance_of_a_prophet_a_constant_and_a_contrarian() -> None:
    earned = [[1.0, 2.0], [4.0]]
    assert gae.explained_variance(earned, earned) == 1.0
    assert gae.explained_variance([[7.0, 7.0], [7.0]], earned) == pytest.approx(0.0)
    assert gae.explained_variance([[4.0, 2.0], [1.0]], earned) < 0  # type: ignore[operator]
    told = [0.5, 2.5, 3.0]
    expected = 1 - np.var(np.subtract([1.0, 2.0, 4.0], told)) / np.var([1.0, 2.0, 4.0])
    assert gae.explained_variance([told[:2], told[2:]], earned) == pytest.approx(expected)
    assert gae.explained_variance([[0.0, 1.0]], [[3.0, 3.0]]) is None, "there is nothing to foretell"


def test_values_are_measured_in_spreads_above_the_mean_of_the_returns_so_far() -> None:
    scale = ValueScale()
    assert scale.told([0.5]) == [0.5], "nothing was seen"
    scale.look([[100.0, 102.0], [104.0]])
    assert scale.told([0.0]) == [pytest.approx(102.0)], "a head that says 0 says the mean"
    assert scale.spread == pytest.approx(statistics.stdev([100.0, 102.0, 104.0]))
    assert scale.told(scale.said([99.0, 105.0])) == pytest.approx([99.0, 105.0])
    scale.look([[200.0, 200.0]])
    assert 102.0 < scale.mean < 200.0 and scale.mean == pytest.approx((0.9 * 102 + 200) / 1.9)
    again = ValueScale(**scale.state_dict())
    assert again.told([1.0]) == scale.told([1.0])
    flat = ValueScale()
    flat.look([[3.0, 3.0]])
    assert flat.said([3.0]) == [0.0] and math.isfinite(flat.said([4.0])[0]), "equal returns have no spread to divide by"


def test_a_scale_that_is_off_leaves_returns_as_they_are() -> None:
    scale = ValueScale(on=False)
    scale.look([[100.0, 104.0]])
    assert scale.told([1.5]) == [1.5] and scale.said([1.5]) == [1.5]
