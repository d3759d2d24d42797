"""What of the hub's cache is whole, how large it is, what may be deleted, and whether a model fits before it is downloaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shadownb.engine import hardware
from shadownb.engine.models.catalog import catalog, find
from shadownb.engine.models.fitting import fit
from shadownb.engine.models.shelf import cached_models, forget
from shadownb.errors import BusyError, ModelNotFoundError

BESIDE = {"config.json": b"", "tokenizer.json": b""}  # no bytes, so that sizes are those of the weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, hub_id: str, files: dict[str, bytes]) -> Path:
    """Put a model into the cache as the hub's client does: blobs, and a snapshot of links to them."""
    folder = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    for name, content in {**BESIDE, **files}.items():
        (folder / "blobs" / name).write_bytes(content)
        (snapshot / name).symlink_to(folder / "blobs" / name)
    return snapshot


def sharded(missing: int = 0) -> dict[str, bytes]:
    shards = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(shards)}}
    kept = shards[: len(shards) - missing]
    return {"model.safetensors.index.json": json.dumps(index).encode(), **dict.fromkeys(kept, b"x" * 1000)}


def test_a_model_counts_as_here_only_when_every_shard_is(cache: Path) -> None:
    smallest, larger, whole = (find(name) for name in ("qwen3-0.6b", "qwen3-4b", "qwen3-1.7b"))
    assert smallest and larger and whole and not whole.cached
    put(cache, larger.hub_id, sharded(missing=1))
    put(cache, whole.hub_id, sharded())
    put(cache, smallest.hub_id, {"model.safetensors": b"x" * 10})
    put(cache, "me/config-only", {"config.json": b"{}"})
    (put(cache, "me/no-tokenizer", {"model.safetensors": b"x" * 10}) / "tokenizer.json").unlink()
    assert whole.cached and smallest.cached and not larger.cached
    found = {each.hub_id: each for each in cached_models()}
    assert [found[info.hub_id].whole for info in (smallest, larger, whole)] == [True, False, True]
    assert found[smallest.hub_id].size == 10, "a link is no second copy"
    assert not found["me/config-only"].whole and not found["me/no-tokenizer"].whole


def test_one_is_deleted_unless_a_loaded_model_is_read_from_it(cache: Path) -> None:
    snapshot = put(cache, "me/mine", sharded())
    put(cache, "me/other", sharded())
    for source in ("me/mine", str(snapshot)):
        with pytest.raises(BusyError, match="is loaded"):
            forget("me/mine", [source])
    assert forget("me/mine", ["me/other"]) > 3000
    assert [each.hub_id for each in cached_models()] == ["me/other"]
    with pytest.raises(ModelNotFoundError, match="not in the hub's cache"):
        forget("me/mine")


def machine(memory: float) -> hardware.Hardware:
    found = hardware.detect()
    cpu = replace(next(device for device in found.devices if device.kind == "cpu"), memory_gb=memory)
    return replace(found, devices=(cpu,), recommended="cpu", memory_gb=memory)


def test_a_model_fits_whole_in_4_bits_or_not_by_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    info = find("qwen3-4b")
    assert info is not None
    assert [fit(info, machine(memory)).how for memory in (64, 8, 2)] == ["whole", "4bit", "none"]
    assert "hold the base in 4 bits" in fit(info, machine(8)).reason
    monkeypatch.setattr(hardware, "has_package", lambda name: False)
    without = fit(info, machine(8))
    assert without.how == "none" and "pip install" in without.reason


def test_every_entry_of_the_catalogue_says_its_licence_and_context() -> None:
    for info in catalog():
        assert info.licence and info.context >= 8192 and "/" in info.hub_id
    assert len({info.name for info in catalog()}) == len(catalog())


# Of published configurations: width, inner width, layers, heads, heads of keys, width of a head, tokens.
SHAPES = {
    "smollm2-135m": (576, 1536, 30, 9, 3, 64, 49_152),
    "smollm2-360m": (960, 2560, 32, 15, 5, 64, 49_152),
    "smollm2-1.7b": (2048, 8192, 24, 32, 32, 64, 49_152),
    "qwen2.5-0.5b": (896, 4864, 24, 14, 2, 64, 151_936),
    "qwen2.5-1.5b": (1536, 8960, 28, 12, 2, 128, 151_936),
    "qwen3-0.6b": (1024, 3072, 28, 16, 8, 128, 151_936),
    "qwen3-4b": (2560, 9728, 36, 32, 8, 128, 151_936),
    "llama-3.2-1b": (2048, 8192, 16, 32, 8, 64, 128_256),
    "gemma-3-1b": (1152, 6912, 26, 4, 1, 256, 262_144),
}


def test_the_sizes_of_the_catalogue_are_those_of_published_shapes() -> None:
    checked = {info.name: info.parameters for info in catalog() if "size" not in info.unchecked}
    assert checked.keys() == SHAPES.keys()
    for name, (width, inner, layers, heads, keys, head, tokens) in SHAPES.items():
        attention = 2 * width * heads * head + 2 * width * keys * head
        attention += (heads + 2 * keys) * head if name.startswith("qwen2") else 0  # biases
        attention += 2 * head if name.startswith(("qwen3", "gemma")) else 0  # norms of queries and keys
        norms = 4 if name.startswith("gemma") else 2
        assert checked[name] == tokens * width + layers * (attention + 3 * width * inner + norms * width) + width, name
