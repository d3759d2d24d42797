"""Fetching a model ahead from a hub on a socket: progress, stop, what stays, and what each refusal says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.hub import account as hub_account
from shadownb.engine.hub.account import account, sign_in, sign_out
from shadownb.engine.models.ahead import begin
from shadownb.engine.models.catalog import hub_cache_has
from shadownb.engine.models.shelf import cached_models, forget
from shadownb.errors import BusyError, ConfigError, DiskFullError, ModelError, ModelNotFoundError
from tests.stand_in_hub import TOKEN, Hub, running_hub

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": b"w" * 30_000_000,  # the client writes ten million at a time
    "pytorch_model.bin": b"p" * 1000,
    "README.md": b"words",
}
LOADED = ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    # The process that fetches finds the hub, and the token's place, as any process does: in its environment.
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "kept" / "token"))
    with running_hub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        made.models["me/mine"] = FILES
        yield made


def wait_until(reached: Any) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_is_stopped_in_the_middle_leaves_nothing_unfinished_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.go.clear()
    download = snb.fetch("me/mine", background=True)
    assert begin("me/mine") is download, "a second one waits for the first"
    wait_until(lambda: download.progress()[1] >= 10_000_000)
    words, here, total = download.progress()
    assert total == sum(len(FILES[name]) for name in LOADED) and here < total and words == "fetching 10 MB of 30 MB"
    with pytest.raises(BusyError, match="being fetched"):
        forget("me/mine")
    download.stop()
    assert download.state == "stopped" and list((tmp_path / "hub").rglob("*.incomplete")) == []
    assert not hub_cache_has("me/mine")
    with pytest.raises(ModelError, match="was stopped"):
        download.wait()
    hub.go.set()
    folder = snb.fetch("me/mine")
    assert sorted(path.name for path in folder.iterdir()) == LOADED, "what loading reads, and no pickle"
    assert hub.sent.count("config.json") == 1, "a whole file is not fetched again"
    assert [(each.hub_id, each.whole) for each in cached_models()] == [("me/mine", True)]
    before = list(hub.sent)
    assert snb.fetch("me/mine") == folder and hub.sent == before


def test_each_refusal_says_why_and_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.models["me/pickle"] = {"config.json": b'{"model_type": "llama"}', "pytorch_model.bin": b"p"}
    hub.models["me/gated"], hub.gated = FILES, {"me/gated"}
    for name, code, words in (
        ("me/nothing", "model-not-found", "may read"),
        ("me/pickle", "model", "no weights in safetensors"),
        ("me/gated", "model-gated", "Accept its terms"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            snb.fetch(name)
        assert caught.value.code == code
    with pytest.raises(ModelNotFoundError, match=r"Did you mean 'qwen3-0\.6b'"):
        snb.fetch("qwen3-0.6")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set") as offline:
        snb.fetch("me/mine")
    assert offline.value.code == "model-offline"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotFoundError, match="the hub cannot be reached"):
        snb.fetch("me/mine")


def test_a_model_larger_than_the_disk_is_refused_before_a_byte_comes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.hub import child

    hub.models["me/large"] = {**FILES, "model.safetensors": b"w" * 10}
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(child, "_say", lambda **facts: told.append(facts))
    monkeypatch.setattr(child.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    with pytest.raises(DiskFullError, match=r"models delete NAME"):
        child._fetch("me/large")
    assert hub.sent == []


def test_a_token_is_kept_in_the_hubs_own_place_and_opens_what_is_gated(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    kept = tmp_path / "kept" / "token"
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(kept))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(kept.with_name("stored_tokens")))
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.url)  # read when its module was imported
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub.models["me/gated"], hub.gated = FILES, {"me/gated"}
    assert not account().signed_in
    with pytest.raises(ConfigError, match="does not accept") as wrong:
        sign_in("hf_wrong")
    assert "hf_wrong" not in str(wrong.value) and not kept.exists()
    assert sign_in(f" {TOKEN}\n") == "somebody"
    assert kept.read_text() == TOKEN and kept.stat().st_mode & 0o077 == 0
    assert account() == hub_account.Account(True, "the hub's own file")
    assert (snb.fetch("me/gated") / "model.safetensors").is_file()
    sign_out()
    assert not account().signed_in and not kept.exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert account().source == "HF_TOKEN"
    with pytest.raises(ConfigError, match="Unset HF_TOKEN"):
        sign_out()
    told = capfd.readouterr()
    assert TOKEN not in told.out + told.err
