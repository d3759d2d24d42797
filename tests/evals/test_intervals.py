"""Intervals hold the truth as often as they say, and known values come out."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from shadownb.engine.evals.intervals import difference_of, holm, items_needed, mean_of, pass_at_k
from shadownb.engine.evals.statistics import wilson_interval
from shadownb.errors import ConfigError


def test_the_truth_lies_inside_as_often_as_is_said() -> None:
    spec = importlib.util.spec_from_file_location(
        "coverage_cells", Path(__file__).parents[2] / "benchmarks/coverage.py"
    )
    assert spec is not None and spec.loader is not None
    cells = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cells)
    found = cells.coverage(300, seed=7)
    mean = sum(found.values()) / len(found)
    assert 0.94 <= mean <= 0.97, mean
    assert min(found.values()) >= 0.89, min(found, key=lambda name: found[name])  # 300 draws scatter by 1.3 points


def test_a_share_without_clusters_has_wilsons_interval() -> None:
    found = mean_of([1.0] * 7 + [0.0] * 13)
    assert (found.low, found.high) == pytest.approx(wilson_interval(7, 20))
    assert found.value == 0.35 and found.effective == 20


def test_items_of_one_source_count_as_less() -> None:
    scores = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 5
    clusters = [number // 4 for number in range(40)]
    alone, together = mean_of(scores), mean_of(scores, clusters)
    assert together.clusters == 10 and together.effective == pytest.approx(9, abs=1)
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


def test_a_comparison_in_which_nothing_changed_is_not_sure() -> None:
    found = difference_of([1.0] * 30, [1.0] * 30)
    assert found.value == 0 and found.low < -0.03 and found.high > 0.03
    assert found.ties == 30 and found.p_value == 1 and found.items_needed is None


def test_a_difference_says_how_many_items_it_needs() -> None:
    better = difference_of([1.0] * 12 + [0.0] * 88, [0.0] * 8 + [1.0] * 4 + [0.0] * 88)
    assert better.wins == 8 and better.losses == 0 and better.p_value == pytest.approx(2 * 0.5**8)
    assert better.items_needed == items_needed([1.0] * 8 + [0.0] * 92, 0.08) == 92


def test_pass_at_k_is_without_bias() -> None:
    assert pass_at_k(1, 5, 1) == pytest.approx(0.2)
    assert pass_at_k(2, 5, 3) == pytest.approx(1 - 1 / 10)
    assert pass_at_k(0, 5, 5) == 0 and pass_at_k(3, 5, 3) == 1
    with pytest.raises(ConfigError, match="k=6"):
        pass_at_k(1, 5, 6)


def test_several_comparisons_are_corrected_together() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_odd_data() -> None:
    assert math.isnan(mean_of([]).value) and math.isnan(difference_of([], []).value)
    one = mean_of([0.5])
    assert one.low < 0.1 and one.high > 0.9
    assert mean_of([3.0]).low == -math.inf
    with pytest.raises(ConfigError, match="1 scores"):
        difference_of([1.0], [])
    with pytest.raises(ConfigError, match="clusters"):
        mean_of([1.0, 0.0], ["a"])
