"""The objectives by name: one that is broken is told of by whoever names it, and stands in nobody else's way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shadownb.engine import objectives, registry
from shadownb.engine.runs.charts import extra_charts
from shadownb.errors import ConfigError, MissingDependencyError


@pytest.fixture(params=["no_such_package.mine:Mine", "shadownb.engine.objectives.dpo:Gone"])
def broken(request: pytest.FixtureRequest) -> Iterator[str]:
    registry.register("objective", "broken", request.param)
    yield "broken"
    registry.unregister("objective", "broken")


def test_a_broken_one_hides_no_curve_and_no_row(broken: str) -> None:
    assert [chart.name for chart in extra_charts(["kl", "rewards_margin"])] == ["rewards", "kl"]
    assert objectives.natural({"messages": []}) == "sft" and objectives.natural({"chosen": []}) == "dpo"
    with pytest.raises((ConfigError, MissingDependencyError), match="objective 'broken'"):
        objectives.get(broken)
