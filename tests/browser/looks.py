"""How a panel looks: its theme and width on the page, pictures of it, and what axe-core finds wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

AXE = Path(__file__).parents[2] / "widgets" / "node_modules" / "axe-core" / "axe.min.js"

SIZE = {"width": 1200, "height": 1000}
WIDTHS = (700, 1100)

_CHANGE_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"


def in_both_themes(panel: Locator) -> Iterator[str]:
    """Show the page dark, then light, as it is at first; yields the name once the panel has followed."""
    for theme in ("Dark", "Light"):
        panel.page.evaluate(_CHANGE_THEME, f"JupyterLab {theme}")
        expect(panel.first).to_have_attribute("data-theme", theme.lower())
        expect(panel.page.locator("#jupyterlab-splash")).to_have_count(0)
        # A chart draws again in the new colours.
        panel.page.wait_for_load_state("networkidle")
        yield theme.lower()


def violations(panel: Locator) -> list[str]:
    """Return what axe-core finds wrong in a panel, in both themes: rule, element, and what to do."""
    panel.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for theme in in_both_themes(panel):
        result: dict[str, Any] = panel.evaluate("panel => axe.run(panel, { resultTypes: ['violations'] })")
        for violation in result["violations"]:
            found += [
                f"{theme}: {violation['id']}: {node['html'][:160]}: {node['failureSummary']}"
                for node in violation["nodes"]
            ]
    return found


def take_pictures(panel: Locator, folder: Path, name: str) -> None:
    """Keep pictures of a panel, light and dark, narrow and wide."""
    page = panel.page
    before = page.viewport_size
    for width in WIDTHS:
        around = page.viewport_size["width"] - panel.evaluate("panel => panel.getBoundingClientRect().width")  # type: ignore[index]
        page.set_viewport_size({"width": round(width + around), "height": SIZE["height"]})
        height = panel.evaluate("panel => Math.ceil(panel.getBoundingClientRect().height)")
        page.set_viewport_size({"width": round(width + around), "height": height + 250})
        for theme in in_both_themes(panel):
            panel.screenshot(path=str(folder / f"{name}-{width}-{theme}.png"))
    page.set_viewport_size(before or SIZE)  # type: ignore[arg-type]
