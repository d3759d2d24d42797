"""Bottleneck adapters: what they read of a block's output, and that saved ones which read something else are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch.adapters.bottleneck import Bottleneck
from shadownb.errors import ModelError
from tests.engine.methods_data import CASES


def test_an_adapter_adds_the_same_to_an_output_of_any_scale() -> None:
    """So the few numbers that are hundreds of times larger on every text do not become the adapter's whole input."""
    torch.manual_seed(0)
    adapter = Bottleneck(hidden=16, width=4, device=torch.device("cpu"))
    torch.nn.init.normal_(adapter.up.weight)
    output = torch.randn(3, 16)
    added = adapter(output) - output
    assert float(added.abs().max()) > 0.1
    torch.testing.assert_close(adapter(100 * output) - 100 * output, added, rtol=1e-3, atol=1e-4)


def test_adapters_of_an_earlier_version_are_refused(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    case = CASES["adapter"]
    model = case.load(byte_model_dir)
    assert case.train(model).status == "succeeded"
    saved = model.save(tmp_path / "saved")
    snb.load(str(byte_model_dir), adapter=saved, dtype="float32")
    file = saved / "bottleneck_config.json"
    content = json.loads(file.read_text())
    del content["reads"]
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="earlier version"):
        snb.load(str(byte_model_dir), adapter=saved, dtype="float32")
