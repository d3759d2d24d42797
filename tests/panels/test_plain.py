"""What an output holds of a panel for pages that show no widgets."""

from __future__ import annotations

from html import escape

from shadownb.panels import RunsPanel, TrainPanel


def test_a_panel_without_widgets_is_words_and_the_code_that_does_the_same() -> None:
    panel = RunsPanel(namespace={})
    assert panel.settle()
    data, _ = panel._repr_mimebundle_() or ({}, {})
    assert "application/vnd.jupyter.widget-view+json" in data, "hosts with widgets show the panel"
    assert (
        escape(panel.code["python"]) in data["text/html"]
        and "needs a notebook with a running kernel" in data["text/html"]
    )
    assert "http" not in data["text/html"] and "<script" not in data["text/html"]


def test_code_of_a_panel_cannot_become_markup() -> None:
    panel = TrainPanel(namespace={})
    assert panel.settle()
    panel.code = {"python": "snb.load('<script>alert(1)</script>')"}
    data, _ = panel._repr_mimebundle_() or ({}, {})
    assert "&lt;script&gt;" in data["text/html"] and "<script" not in data["text/html"]
