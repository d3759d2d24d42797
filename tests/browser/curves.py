"""The loss curve that a Run panel draws, read from the chart on the page."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect


def _chart(panel: Locator) -> Locator:
    chart = panel.get_by_role("img", name=re.compile("^Loss by step"))
    expect(chart.locator(".main-svg").first).to_be_attached()
    chart.scroll_into_view_if_needed()  # a chart out of sight is not drawn again
    return chart


def count_points(panel: Locator) -> int:
    """Return how many points the drawn curve has."""
    return int(_chart(panel).evaluate("chart => chart.data[0].x.length"))


def wait_for_points(panel: Locator, holds: str) -> None:
    """Wait until the number ``n`` of points of the drawn curve satisfies a JavaScript expression."""
    chart = _chart(panel).element_handle()
    panel.page.wait_for_function(f"chart => (n => {holds})(chart.data[0].x.length)", arg=chart)
