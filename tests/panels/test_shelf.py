"""The models of the Train panel: looked at when asked, one deleted from the disk, one taken out of memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from panel_driver import press, wait_for

import shadownb as snb
from shadownb.engine import hardware
from shadownb.panels import TrainPanel
from tests.stand_in_hub import TOKEN, running_hub


def test_models_are_listed_with_fit_disk_and_memory_deleted_and_unloaded(
    byte_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--me--mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x" * 1000)
    for name in ("config.json", "tokenizer.json"):
        (snapshot / name).write_text("{}")
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


def test_memory_that_is_short_is_said_before_loading_and_a_pinned_model_is_not_offered(
    byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hardware.detect()
    cpu = next(device for device in found.devices if device.kind == "cpu")
    little = replace(cpu, free_memory_gb=0.1)
    mine, other = (snb.load(str(byte_model_dir), dtype="float32") for _ in range(2))
    monkeypatch.setattr(
        "shadownb.engine.models.room.hardware.detect", lambda *_: replace(found, devices=(little,), recommended="cpu")
    )
    panel = TrainPanel(namespace={"mine": mine, "other": other})
    press(panel, "choose_model", choice="alias:qwen3-0.6b")
    assert panel.room["needed_gb"] == pytest.approx(2.38, abs=0.01), "1.19 GB of 16-bit weights, held in 32"
    assert {each["choice"] for each in panel.room["offers"]} == {"var:mine", "var:other"} and not panel.room["enough"]
    press(panel, "pin_model", choice="var:mine", pinned=True)
    assert mine.pinned and [each["choice"] for each in panel.room["offers"]] == ["var:other"]
    assert {each["choice"]: each["pinned"] for each in panel.shelf["held"]} == {"var:mine": True, "var:other": False}
    press(panel, "unload_model", choice="var:other")
    assert not other.is_loaded and panel.room["offers"] == []
    press(panel, "load_options", quantize="4bit")
    assert panel.room["needed_gb"] == pytest.approx(0.4, abs=0.01)
    press(panel, "choose_model", choice="")
    assert panel.room == {}


def test_a_model_is_fetched_and_stopped_in_the_panel_and_a_token_stands_in_no_trait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "kept" / "token"))
    values = {"HF_HUB_CACHE": tmp_path / "hub", "HF_TOKEN_PATH": tmp_path / "kept" / "token"}
    for name, place in {**values, "HF_STORED_TOKENS_PATH": tmp_path / "kept" / "stored"}.items():
        monkeypatch.setattr(constants, name, str(place))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.url)  # read when its module was imported
        hub.models["me/mine"] = {"config.json": b"{}", "tokenizer.json": b"[]", "model.safetensors": b"w" * 30_000_000}
        hub.gated = {"me/mine"}
        panel = TrainPanel(namespace={})
        press(panel, "fetch_model", name="me/mine")
        wait_for(panel, "error", lambda error: error.get("code") == "model-gated")
        panel._handle_custom_msg({"kind": "sign_in", "token": TOKEN}, [])
        assert panel.settle(300) and panel.error == {} and panel.shelf["account"]["signed_in"] is True
        assert (tmp_path / "kept" / "token").read_text() == TOKEN
        assert TOKEN not in json.dumps(panel.get_state(), default=str), "what is saved with a notebook"
        hub.go.clear()
        press(panel, "fetch_model", name="me/mine")
        wait_for(panel, "fetching", lambda going: bool(going) and 0.3 < (going[0]["share"] or 0) < 1)
        assert panel.fetching[0]["hub_id"] == "me/mine" and panel.fetching[0]["words"].endswith("of 30 MB")
        press(panel, "forget_model", hub_id="me/mine")
        assert "is being fetched" in panel.error["what"]
        press(panel, "stop_fetching", hub_id="me/mine")
        wait_for(panel, "fetching", lambda going: going == [])
        wait_for(panel, "shelf", lambda shelf: [each["whole"] for each in shelf["others"]] == [False])
        hub.go.set()
        press(panel, "fetch_model", name="me/mine")
        wait_for(panel, "shelf", lambda shelf: [each["whole"] for each in shelf["others"]] == [True])
        assert panel.fetching == []
