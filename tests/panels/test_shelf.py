"""The models of the Train panel: looked at when asked, one deleted from the disk, one taken out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_driver import press

import shadownb as snb
from shadownb.panels import TrainPanel


def test_models_are_listed_with_fit_disk_and_memory_deleted_and_unloaded(
    byte_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--me--mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x" * 1000)
    mine = snb.load(str(byte_model_dir), dtype="float32")
    panel = TrainPanel(mine, namespace={"mine": mine})
    assert panel.settle() and panel.shelf == {}, "nobody has looked"
    press(panel, "look_at_models")
    shelf = panel.shelf
    first = shelf["entries"][0]
    assert first["name"] == "smollm2-135m" and first["fits"] == "whole" and "can be used" in first["reason"]
    assert [(each["hub_id"], each["whole"]) for each in shelf["others"]] == [("me/mine", True)]
    assert [(each["choice"], each["busy"]) for each in shelf["held"]] == [("var:mine", False)]
    press(panel, "forget_model", hub_id="me/mine")
    assert panel.settle() and panel.shelf["others"] == [] and not snapshot.exists()
    press(panel, "forget_model", hub_id="me/mine")
    assert "not in the hub's cache" in panel.error["what"]
    press(panel, "unload_model", choice="var:mine")
    assert panel.settle() and not mine.is_loaded and panel.model is None and panel.shelf["held"] == []
