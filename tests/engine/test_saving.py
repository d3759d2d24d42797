"""Saving into a folder again: what is saved last is what loads, whatever was there, and nothing but saved files is touched."""

from __future__ import annotations

import errno
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.models import saving
from shadownb.engine.models.model import Model
from shadownb.engine.rendering.templates import bundled
from shadownb.errors import DiskFullError, ExportError, ModelError
from tests.engine.methods_data import OPTIONS, chats, logits
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.tiny_models import biased

METHODS = ("lora", "bitfit", "adapter", "prompt")
KINDS = (*METHODS, "merged", "merged in shards")


@pytest.fixture(scope="module")
def base(byte_model_dir: Path) -> Path:
    return biased(byte_model_dir)


@pytest.fixture(scope="module")
def models(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One trained model of each kind of file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        found = {method: snb.load(str(base), max_length=256, dtype="float32") for method in METHODS}
        for method, model in found.items():
            model.train(chats(), method=method, background=False, learning_rate=0.05, **{**OPTIONS, "max_steps": 2})
        yield found


def save(models: dict[str, Any], kind: str, folder: Path) -> Any:
    """Save a kind of file and return the model that it is of."""
    model = models.get(kind, models["lora"])
    with pytest.MonkeyPatch.context() as patch:
        if kind == "merged in shards":
            shards = functools.partialmethod(type(model.adapter.base).save_pretrained, max_shard_size="30KB")
            patch.setattr(type(model.adapter.base), "save_pretrained", shards)
        assert model.save(folder, fmt="merged" if kind.startswith("merged") else "adapter") == folder
    return model


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_the_later_of_two_kinds_is_what_loads(models: dict[str, Any], first: str, second: str, tmp_path: Path) -> None:
    folder, fresh = tmp_path / "used", tmp_path / "fresh"
    save(models, first, folder)
    (folder / "README.md").write_text("mine")
    (folder / "notes").mkdir()
    model = save(models, second, folder)
    save(models, second, fresh)
    assert len(list(fresh.glob("model-*.safetensors"))) > 1 or second != "merged in shards"
    assert names(folder) == names(fresh) | {"README.md", "notes"}
    loaded = snb.load(str(folder), dtype="float32")
    assert (loaded.adapter is None) == second.startswith("merged")
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-4, rtol=0)
    assert (folder / "README.md").read_text() == "mine"


def test_the_same_kind_again_has_the_newer_weights(base: Path, home: Path, tmp_path: Path) -> None:
    model: Any = snb.load(str(base), max_length=256, dtype="float32")
    for _ in range(2):
        model.train(chats(), lora_r=4, background=False, learning_rate=0.05, **{**OPTIONS, "max_steps": 2})
        model.save(tmp_path / "x")
        assert torch.equal(logits(snb.load(str(tmp_path / "x"), dtype="float32")), logits(model))


@pytest.mark.parametrize("fmt", ["adapter", "merged"])
def test_a_folder_with_another_model_is_left_alone(
    models: dict[str, Any], base: Path, fmt: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.safetensors"):
        (other / name).write_bytes((base / name).read_bytes())
    before = contents(other)
    with pytest.raises(ExportError, match=r"config\.json, which no save\(\) has noted") as caught:
        models["lora"].save(other, fmt=fmt)
    assert caught.value.fix
    assert contents(other) == before


def test_a_checkpoint_is_left_alone(models: dict[str, Any]) -> None:
    run = snb.runs.load(models["lora"].trained[0])
    checkpoint = run.checkpoint
    assert checkpoint is not None
    with pytest.raises(ExportError, match="no save"):
        models["bitfit"].save(checkpoint)
    assert run.checkpoint == checkpoint, "all its files are as they were written"


@pytest.mark.parametrize("fmt", ["adapter", "merged"])
def test_a_models_own_base_is_not_replaced(models: dict[str, Any], home: Path, fmt: str, tmp_path: Path) -> None:
    save(models, "merged", tmp_path / "merged")
    model = snb.load(str(tmp_path / "merged"), max_length=256, dtype="float32")
    model.train(chats(), lora_r=4, background=False, **{**OPTIONS, "max_steps": 1})
    with pytest.raises(ExportError, match="base of this model is read from that folder"):
        model.save(tmp_path / "merged", fmt=fmt)


@pytest.mark.parametrize("failing", ["writing", "moving"])
@pytest.mark.parametrize("used", [True, False])
def test_a_save_that_fails_leaves_what_was_there(
    models: dict[str, Any], failing: str, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x"
    if used:
        save(models, "lora", folder)
    before = contents(folder)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rename = Path.rename

    def once(self: Path, target: Path) -> Path:
        return full() if Path(target) == folder / "config.json" else rename(self, target)  # type: ignore[func-returns-value]

    if failing == "writing":
        monkeypatch.setattr(Model, "save_tokenizer", full)  # behind the weights
    else:
        monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(DiskFullError, match="not saved"):
        models["bitfit"].save(folder, fmt="merged")
    monkeypatch.undo()
    assert contents(folder) == before
    assert folder.exists() == used
    if used:
        torch.testing.assert_close(logits(snb.load(str(folder), dtype="float32")), logits(models["lora"]))


def test_a_killed_save_leaves_no_mixture_and_the_next_one_mends_it(
    models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing after it runs."""

    for stops_after in range(4, 40, 4):
        folder = tmp_path / str(stops_after)
        save(models, "lora", folder)
        left, rename = stops_after, Path.rename

        def counted(self: Path, target: Path, rename: Any = rename) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", counted)  # also of the way back
            patch.setattr(saving.shutil, "rmtree", lambda *_, **__: None)
            try:
                save(models, "merged", folder)
            except Killed:
                with pytest.raises(ModelError):
                    snb.load(str(folder), dtype="float32")
            else:
                break
        model = save(models, "bitfit", folder)
        assert torch.equal(logits(snb.load(str(folder), dtype="float32")), logits(model))
        assert not list(folder.glob(".*"))
    else:
        pytest.fail("no save came to its end")


def test_a_record_from_elsewhere_names_nothing_outside_of_the_folder(models: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "x" / "shadownb.json").write_text('{"files": ["../mine.txt", "..", ".", ""]}')
    save(models, "lora", tmp_path / "x")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_merged_model_stops_where_it_was_trained_to_stop(home: Path, tmp_path: Path) -> None:
    """Its turns end with ``<|im_end|>``, its tokenizer's texts with another token: others would let it write on for ever."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer(bundled("chatml"), eos="<|endoftext|>")
    end, eos = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>"))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, eos_token_id=eos, pad_token_id=eos,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model = snb.load(str(tmp_path / "base"), dtype="float32")
    folder = model.save(tmp_path / "merged", fmt="merged")
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [eos, end]
    assert GenerationConfig.from_pretrained(tmp_path / "base").eos_token_id == eos
    assert snb.load(str(folder), dtype="float32").renderer.stop_token_ids == model.renderer.stop_token_ids
