"""Panels that other packages bring: each is made for a tab of Studio, and one that fails says so in its tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget

from shadownb.engine import registry
from shadownb.errors import ShadowError


class AddedPanels:
    """The panels that are registered beside the package's own.

    Parameters
    ----------
    own
        Names of the package's own.
    """

    def __init__(self, own: tuple[str, ...]) -> None:
        self.by_name: dict[str, anywidget.AnyWidget] = {}
        self.tabs = [self._tab(name) for name in registry.names("panel") if name not in own]

    def _tab(self, name: str) -> dict[str, Any]:
        tab = {"id": name, "title": name.replace("_", " ").capitalize(), "panel": None, "failure": ""}
        try:
            kind = registry.resolve("panel", name)
            panel = kind()
            if not isinstance(panel, anywidget.AnyWidget):
                raise TypeError(
                    f"{registry.target('panel', name)} makes a {type(panel).__name__}, no widget of anywidget"
                )
        except Exception as error:  # whatever a package does there
            return {
                **tab,
                "failure": f"{error.what}" if isinstance(error, ShadowError) else f"{type(error).__name__}: {error}",
            }
        self.by_name[name] = panel
        title = getattr(panel, "title", "")
        return {
            **tab,
            "title": title if isinstance(title, str) and title else tab["title"],
            "panel": f"anywidget:{panel.model_id}",
        }

    def tell(self, what: str, subject: Any, failed: Callable[[BaseException], None]) -> None:
        """Call ``take_run`` or ``take_model`` of those that have it; one that raises keeps the others from nothing."""
        for panel in self.by_name.values():
            take = getattr(panel, what, None)
            if take is not None:
                try:
                    take(subject)
                except Exception as error:
                    getattr(panel, "show_error", failed)(error)
