"""Which weights a trained state belongs to: other weights under the same name are refused, and so is what is no base."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import shadownb as snb
from shadownb.errors import ModelError
from tests.engine.methods_data import CASES, OPTIONS, chats, logits


@pytest.fixture
def base(home: Path, byte_model_dir: Path, tmp_path: Path) -> Path:
    """A base of this test's own, which it may change."""
    return Path(shutil.copytree(byte_model_dir, tmp_path / "base"))


def other_weights(base: Path) -> None:
    """Write other weights of the same shapes into a base's folder, as a new release would."""
    file = base / "model.safetensors"
    tensors = {name: tensor + 0.01 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("method", ["lora", "adapter", "full"])
def test_a_run_id_is_not_loaded_on_other_weights(method: str, base: Path) -> None:
    run = CASES[method].train(snb.load(str(base), max_length=256, dtype="float32"))
    expected = logits(snb.load(run.id))
    shutil.copytree(base, base.with_name("kept"))
    other_weights(base)
    with pytest.raises(ModelError, match="not the one this run was trained on") as caught:
        snb.load(run.id)
    assert caught.value.fix
    assert snb.load(str(base), dtype="float32").trained is None, "the new weights themselves load"
    shutil.rmtree(base)
    base.with_name("kept").rename(base)
    assert torch.equal(logits(snb.load(run.id)), expected)


def test_an_adapter_is_not_taken_for_a_base(base: Path, tmp_path: Path) -> None:
    model: Any = snb.load(str(base), max_length=256, dtype="float32")
    model.train(chats(), background=False, **{**OPTIONS, "lora_r": 4, "learning_rate": 0.01})
    folder = model.save(tmp_path / "adapter")
    assert torch.equal(logits(snb.load(str(folder), dtype="float32")), logits(model)), (
        "a folder with nothing but the adapter loads"
    )
    for name in ("config.json", "model.safetensors"):  # as trainers of other libraries leave it
        shutil.copy(base / name, folder / name)
    with pytest.raises(ModelError, match="has an adapter") as caught:
        snb.load(str(folder), dtype="float32")
    assert f"shadownb.load({str(base)!r}, adapter={str(folder)!r})" in caught.value.fix
    assert torch.equal(logits(snb.load(str(base), adapter=folder, dtype="float32")), logits(model))


def test_an_adapter_on_the_hub_is_not_taken_for_a_base(tmp_path: Path) -> None:
    """The hub's cache as a download leaves it; transformers would load the adapter on the base that it names."""
    repository = tmp_path / "hub" / "models--someone--an-adapter"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (snapshot / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/a-base"}))
    code = "import shadownb as snb; snb.load('someone/an-adapter')"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "SHADOWNB_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "'someone/an-adapter' has an adapter" in done.stderr, done.stderr[-2000:]
    assert (
        "shadownb.load('someone/a-base', adapter=huggingface_hub.snapshot_download('someone/an-adapter'))"
        in done.stderr
    )
