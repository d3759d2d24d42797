"""AWQ and GPTQ files, packed here as their formats have it, read back to the numbers that engines multiply with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import shadownb as snb
from shadownb.engine.backends.torch.packed_weights import dense_tensors
from shadownb.engine.exporters import environments
from shadownb.errors import ExportError, ModelError
from tests.exports.conftest import ROWS
from tests.tiny_models import byte_llama_of

GROUP = 32
_AWQ_PLACES = (0, 2, 4, 6, 1, 3, 5, 7)  # which neighbour stands at each place of an integer


def grid(outputs: int, inputs: int, *, positive: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (numbers, zero points, scales, weight), with every number and the zero points 0 and 15 among them."""
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, 16, (inputs, outputs), generator=draw)
    groups = inputs // GROUP
    zeros = torch.randint(0, 16, (groups, outputs), generator=draw)
    zeros[0, 0], zeros[0, 1] = 0, 15
    if positive:
        zeros[:] = 0
    scales = torch.rand((groups, outputs), generator=draw).half() + 0.5
    index = torch.arange(inputs) // GROUP
    weight = ((numbers - zeros[index]).float() * scales.float()[index]).T
    return numbers, zeros, scales, weight


def packed(rows: torch.Tensor, places: tuple[int, ...] = tuple(range(8))) -> torch.Tensor:
    """Return eight neighbours of each row in one 32-bit integer."""
    eight = rows.reshape(rows.shape[0], -1, 8).long()
    whole = sum(eight[..., neighbour] << (4 * place) for place, neighbour in enumerate(places))
    assert isinstance(whole, torch.Tensor)
    return torch.where(whole >= 2**31, whole - 2**32, whole).int()


def written(folder: Path, method: str, *, positive: bool) -> torch.Tensor:
    numbers, zeros, scales, weight = grid(32, 64, positive=positive)
    tensors = {"layer.scales": scales}
    if method == "awq":
        tensors |= {"layer.qweight": packed(numbers, _AWQ_PLACES), "layer.qzeros": packed(zeros, _AWQ_PLACES)}
    else:
        less_one = (zeros - 1) & 15  # which 0 wraps to 15 in this form
        tensors |= {
            "layer.qweight": packed(numbers.T).T.contiguous(), "layer.qzeros": packed(less_one),
            "layer.g_idx": (torch.arange(64) // GROUP).int(),
        }  # fmt: skip
    save_file(tensors, folder / "model.safetensors")
    return weight


@pytest.mark.parametrize("method", ["awq", "gptq"])
@pytest.mark.parametrize("positive", [False, True], ids=["any zero", "zero at 0"])
def test_what_is_packed_comes_out_as_it_was(tmp_path: Path, method: str, positive: bool) -> None:
    weight = written(tmp_path, method, positive=positive)
    found = dense_tensors(tmp_path, {"quant_method": method, "bits": 4})
    assert set(found) == {"layer.weight"} and torch.equal(found["layer.weight"], weight)


def test_what_does_not_fit_is_an_error_that_names_the_layer(tmp_path: Path) -> None:
    written(tmp_path, "awq", positive=False)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["layer.scales"] = tensors["layer.scales"][:, :-8].contiguous()
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="layer in"):
        dense_tensors(tmp_path, {"quant_method": "awq", "bits": 4})


@pytest.mark.full
@pytest.mark.parametrize("fmt", ["awq", "gptq"])
def test_auto_round_s_files_are_read_and_stay_close(home: Path, tmp_path: Path, fmt: str) -> None:
    try:
        environments.AUTO_ROUND.require()
    except (ExportError, ImportError):
        pytest.skip("auto-round cannot be fetched here")
    model = snb.load(str(byte_llama_of(tmp_path / "base", 64, 128)), dtype="float32")
    found = model.export(tmp_path / "out", format=fmt, calibration=ROWS, dataset=ROWS)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == fmt
    (quality,) = found.quality
    assert quality.kl is not None and 0 < quality.kl < 0.5 and quality.types["i32"] > 0
    base: Any = load_file(tmp_path / "base" / "model.safetensors")
    made = dense_tensors(tmp_path / "out", config["quantization_config"])
    name = "model.layers.0.mlp.down_proj.weight"
    assert float((made[name] - base[name]).norm() / base[name].norm()) < 0.12
