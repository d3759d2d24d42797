"""What every exporter owes, shown by ours and by one that is a class of this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine import registry
from shadownb.errors import ExportError
from tests.engine.methods_data import OPTIONS, chats


class Card:
    """Writes a card of what was trained, and nothing to load."""

    def check(self, model: Any) -> None:
        if model.weights.kind is None:
            raise ExportError("fmt='card': there is nothing to tell of.", fix="Train first.")

    def write(self, model: Any, folder: Path) -> None:
        (folder / "card.json").write_text(json.dumps({"kind": model.weights.kind}), encoding="utf-8")


@pytest.fixture(autouse=True)
def card() -> Iterator[None]:
    registry.register("exporter", "card", f"{__name__}:Card")
    yield
    registry.unregister("exporter", "card")


def trained(model: Any) -> Any:
    model.train(chats(), background=False, **{**OPTIONS, "max_steps": 1}, lora_r=4)
    return model


@pytest.mark.parametrize("fmt", ["adapter", "merged", "gguf", "gguf-lora", "mlx", "card"])
def test_what_it_writes_is_whole_and_takes_the_place_of_what_was_saved(model: Any, tmp_path: Path, fmt: str) -> None:
    folder = tmp_path / "out"
    trained(model).save(folder, fmt="merged")
    before = {file.name for file in folder.iterdir()}
    model.save(folder, fmt=fmt)
    record = json.loads((folder / "shadownb.json").read_text())
    there = {file.name for file in folder.iterdir()}
    assert set(record["files"]) == there - {"shadownb.json"}
    assert record["trained"]["run"] == model.trained[0]
    assert fmt == "merged" or "model.safetensors" in before - there


@pytest.mark.parametrize("fmt", ["adapter", "merged", "gguf", "gguf-lora", "mlx", "card"])
def test_one_that_fails_leaves_what_was_there(
    model: Any, tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    trained(model).save(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    kind = registry.resolve("exporter", fmt)
    write = kind.write

    def broken(self: Any, *args: Any) -> None:
        write(self, *args)
        raise OSError(28, "full")

    monkeypatch.setattr(kind, "write", broken)
    with pytest.raises(Exception, match=r"full|space"):
        model.save(folder, fmt=fmt)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("fmt", ["adapter", "mlx", "gguf-lora", "card"])
def test_what_it_cannot_write_it_refuses_before_a_folder_is_made(model: Any, tmp_path: Path, fmt: str) -> None:
    with pytest.raises(ExportError, match=f"(fmt|format)='{fmt}'"):
        model.save(tmp_path / "none", fmt=fmt)
    assert not (tmp_path / "none").exists()


def test_a_format_that_is_not_known_names_those_that_are(model: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"Did you mean 'merged'[\s\S]*adapter, merged, gguf, gguf-lora, awq, gptq, mlx, card"
    ):
        model.save(tmp_path / "none", fmt="merge")
