"""In 16 bits an adapter learns as in 32: what it adds is summed inside its base's product, and both are rounded once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, MissConfig, ShiraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters import merging, products, rounded_once
from shadownb.engine.backends.torch.generation import products as answering
from shadownb.engine.backends.torch.kernels import onednn_linear
from tests.engine.methods_data import OPTIONS, chats
from tests.tiny_models import byte_llama_of

TARGETS = ["first", "second"]
KINDS: dict[str, Any] = {
    "lora": LoraConfig(r=4, target_modules=TARGETS),
    "rslora": LoraConfig(r=4, use_rslora=True, target_modules=TARGETS),
    "dora": LoraConfig(r=4, use_dora=True, target_modules=TARGETS),
    "miss": MissConfig(r=5, target_modules=TARGETS),
    "shira": ShiraConfig(r=4, random_seed=3, target_modules=TARGETS),
}
SMALL = {"miss": 2e-5, "shira": 2e-5}  # of what is trained: what it adds is a fraction of half a step of bf16


class Net(nn.Module):
    def __init__(self, layer: Any, *, bias: bool) -> None:
        super().__init__()
        self.first, self.second = layer(64, 96, bias), layer(96, 64, bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(torch.tanh(self.first(inputs)))
        return hidden


def _linear(before: int, after: int, bias: bool) -> nn.Module:
    return nn.Linear(before, after, bias=bias)


def _conv1d(before: int, after: int, bias: bool) -> nn.Module:
    layer = Conv1D(after, before)
    if bias:
        nn.init.normal_(layer.bias)
    return layer


def adapted(kind: str, dtype: torch.dtype, *, layer: Any = _linear, bias: bool = False, scale: float = 5e-6) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net(layer, bias=bias)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(parameter.to(torch.bfloat16))
        config = copy.deepcopy(KINDS[kind])
        if layer is _conv1d:
            config.fan_in_fan_out = True
        module = get_peft_model(net.to(dtype), config)
        torch.manual_seed(1)
        for name, parameter in module.named_parameters():
            if "lora_A" in name:
                parameter.data = torch.randn(parameter.shape)
            elif parameter.requires_grad and "magnitude" not in name:
                parameter.data = torch.randn(parameter.shape) * scale
            elif "magnitude" in name:
                parameter.data *= 1 + torch.randn(parameter.shape) * scale
    return module


def computed(module: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    module.zero_grad()
    inputs = inputs.detach().clone().requires_grad_()
    output = module(inputs)
    (output.float() * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    assert inputs.grad is not None
    grads = {name: p.grad.float() for name, p in module.named_parameters() if p.grad is not None}
    return output.detach().float(), {**grads, "inputs": inputs.grad.float()}


def rows(count: int) -> torch.Tensor:
    return torch.randn(count, 64, generator=torch.Generator().manual_seed(5)).to(torch.bfloat16)


def survives(module: Any, exact: torch.Tensor, base: torch.Tensor, inputs: torch.Tensor) -> float:
    """Return how much of what an adapter adds is in its output, as a share: 1 where nothing is lost."""
    with torch.no_grad():
        found = module.base_model.model.first(inputs).float()
    wanted = exact - base
    return float(((found - base) * wanted).sum() / wanted.square().sum())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_small_contribution_is_not_lost(kind: str, bias: bool) -> None:
    """peft loses a part that grows with the width; 4,096 rows, so that the rounding of single numbers averages out."""
    inputs = rows(4096)
    exact, ours, pefts = (
        adapted(kind, dtype, bias=bias, scale=SMALL.get(kind, 5e-6))
        for dtype in (torch.float32, torch.bfloat16, torch.bfloat16)
    )
    assert rounded_once.install(ours) == rounded_once.installed(ours) == 2
    lengths = {n: p for n, p in exact.named_parameters() if "magnitude" in n}  # peft makes them in the base's format
    for net in (ours, pefts):
        net.load_state_dict(lengths, strict=False)
    with torch.no_grad():
        wanted = exact.base_model.model.first(inputs.float())
        with exact.disable_adapter():
            base = exact.base_model.model.first(inputs.float())
    assert survives(ours, wanted, base, inputs) == pytest.approx(1.0, abs=0.1)
    assert survives(pefts, wanted, base, inputs) < 0.8


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize(
    ("kind", "layer"),
    [("lora", _linear), ("lora", _conv1d), ("dora", _linear), ("dora", _conv1d), ("miss", _linear), ("shira", _linear)],
)
def test_outputs_and_gradients_are_those_of_32_bits(kind: str, layer: Any, count: int) -> None:
    exact, ours = (
        adapted(kind, dtype, layer=layer, bias=True, scale=0.05) for dtype in (torch.float32, torch.bfloat16)
    )
    rounded_once.install(ours)
    wanted, gradients = computed(exact, rows(count).float())
    found, mine = computed(ours, rows(count))
    assert mine.keys() == gradients.keys()
    for name, (a, b) in {"output": (found, wanted), **{n: (mine[n], gradients[n]) for n in mine}}.items():
        assert (a - b).norm() <= 0.02 * b.norm(), name


def test_without_the_adapter_the_base_answers_bit_for_bit() -> None:
    ours, pefts = adapted("lora", torch.bfloat16), adapted("lora", torch.bfloat16)
    rounded_once.install(ours)
    inputs = rows(7)
    with torch.no_grad(), ours.disable_adapter(), pefts.disable_adapter():
        assert torch.equal(ours(inputs), pefts(inputs))
    copied = copy.deepcopy(ours)
    copied.base_model.model.first.get_base_layer().weight.data.zero_()
    assert not torch.equal(copied(inputs), ours(inputs)), "a copy computes with its own weights"


def test_dropout_is_the_adapters_alone() -> None:
    """With dropout, too, the base's product is the one that the contribution is summed in."""
    for kind in ("lora", "dora"):
        ours = adapted(kind, torch.bfloat16, scale=0.05)
        rounded_once.install(ours)
        pefts = copy.deepcopy(ours)
        for net in (ours, pefts):
            for layer in net.modules():
                if hasattr(layer, "lora_dropout"):
                    layer.lora_dropout["default"] = Halves()
        for layer in pefts.modules():
            vars(layer).pop("forward", None)
        wanted, gradients = computed(pefts, rows(40))
        found, mine = computed(ours, rows(40))
        for name, (a, b) in {"output": (found, wanted), **{n: (mine[n], gradients[n]) for n in mine}}.items():
            assert (a - b).norm() <= 0.02 * b.norm(), (kind, name)


class Halves(nn.Module):
    """Leaves out every other input and doubles the rest."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * (torch.arange(inputs.shape[-1]) % 2) * 2


def test_what_32_bits_compute_is_left_alone() -> None:
    assert rounded_once.install(adapted("lora", torch.float32)) == 0


# -- whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that is wide enough for its products to be rounded coarsely."""
    return byte_llama_of(tmp_path_factory.mktemp("wide-llama"), 256, 512)


def losses(
    folder: Path, dtype: str, method: str, monkeypatch: pytest.MonkeyPatch, *, as_peft: bool = False, **more: Any
) -> list[float]:
    with monkeypatch.context() as patch:
        if as_peft:
            patch.setattr(rounded_once, "install", lambda module: 0)
        quantize = "4bit" if method == "qlora" else None
        plain = {"accelerator": "none"} if as_peft else {}  # our own linear layers sum inside, too
        model = snb.load(str(folder), dtype=dtype, quantize=quantize, max_length=256, **plain)
        options = {**OPTIONS, "max_steps": 6, "save_steps": 6, "learning_rate": 3e-4, "lr_scheduler_type": "constant"}
        run = model.train(chats(), method=method, background=False, **{**options, **more})
    return list(run.losses())


def gap(found: list[float], wanted: list[float]) -> float:
    """Return the largest difference of steps 2 to 6 in what was learned until then."""
    return max(abs((a - found[0]) - (b - wanted[0])) for a, b in zip(found[1:], wanted[1:], strict=True))


@pytest.mark.parametrize("method", ["lora", "dora", "qlora"])
def test_the_curve_is_that_of_32_bits(
    home: Path, wide_model_dir: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    wanted = losses(wide_model_dir, "float32", method, monkeypatch)
    ours = losses(wide_model_dir, "bfloat16", method, monkeypatch)
    before = losses(wide_model_dir, "bfloat16", method, monkeypatch, as_peft=True)
    assert gap(ours, wanted) < 0.5 * gap(before, wanted)


def test_an_untrained_dora_adapter_leaves_the_base_as_it_is(home: Path, wide_model_dir: Path) -> None:
    model = snb.load(str(wide_model_dir), dtype="bfloat16", max_length=256)
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        wanted = model.module(tokens).logits.float()
        options = {**OPTIONS, "max_steps": 1, "learning_rate": 1e-12}
        model.train(chats(), method="dora", background=False, **options)
        found = model.module(tokens).logits.float()
    assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_an_answer_is_computed_as_in_training(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pair is summed inside the base's product there, too, whichever product that is."""
    model = snb.load(str(byte_model_dir), dtype="bfloat16", max_length=256)
    model.train(chats(), background=False, **{**OPTIONS, "max_steps": 2}, lora_r=4)
    assert rounded_once.installed(model.module) == 14
    draw = torch.Generator().manual_seed(0)
    layers = [module for module in model.module.modules() if hasattr(module, "lora_A")]
    lost = 0
    with torch.no_grad():
        for layer in layers:
            layer.lora_B["default"].weight.normal_(std=0.1, generator=draw)
            rows = torch.randn(5, layer.in_features, generator=draw).bfloat16()
            trained = layer(rows)
            with answering.computing(layer):
                answered = layer(rows)
            exact = layer.get_base_layer().weight.float() @ rows.float().t()
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            exact = (exact + layer.scaling["default"] * up @ (down @ rows.float().t())).t()
            off, peft_off = (
                float((found.float() - exact).square().mean()) for found in (answered, type(layer).forward(layer, rows))
            )
            lost += peft_off > 1.2 * off
            torch.testing.assert_close(answered, trained, rtol=2**-7, atol=1e-2)
    assert len(layers) == 14 and lost >= 10, lost
    made: list[int] = []
    onto, product = products.Onto.forward, onednn_linear.product
    monkeypatch.setattr(products.Onto, "forward", staticmethod(lambda *args: made.append(1) or onto(*args)))
    monkeypatch.setattr(
        onednn_linear, "product", lambda *args: (made.append(1) if len(args) == 4 else None) or product(*args)
    )
    model.generate("Colour number 3?", max_new_tokens=1)  # with the trial of the decoder in it
    made.clear()
    model.generate("Colour number 3?", max_new_tokens=1)
    assert len(made) == 14
    made.clear()
    model.generate("Colour number 3?", max_new_tokens=1, use="base")
    assert not made


@pytest.mark.parametrize(
    "options", [{"method": "lora"}, {"method": "dora"}, {"method": "lora", "init_lora_weights": "pissa"}]
)
def test_saved_and_loaded_it_is_the_same_model(
    home: Path, byte_model_dir: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = snb.load(str(byte_model_dir), dtype="bfloat16", max_length=256)
    before = adapters.digest(model.weights.base_parameters())
    model.train(chats(), background=False, **{**OPTIONS, "max_steps": 2}, lora_r=4, **options)
    again = snb.load(str(byte_model_dir), dtype="bfloat16", adapter=model.save(tmp_path / "adapter"))
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(model.module(tokens).logits, again.module(tokens).logits)
    assert rounded_once.installed(again.module) == 14
    assert adapters.digest(again.weights.base_parameters()) == before
    assert model.weights.verify_base()[0]


# -- merging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_by_chance_is_right_on_average(dtype: torch.dtype) -> None:
    values = torch.tensor([1.0, 1.001, -0.3333, 2.0**-9, 0.0]).repeat(20_000, 1)
    rounded = merging.rounded_by_chance(values, dtype, "test")
    assert torch.equal(rounded, merging.rounded_by_chance(values, dtype, "test"))
    assert not torch.equal(rounded, merging.rounded_by_chance(values, dtype, "another"))
    step = torch.finfo(dtype).eps
    assert torch.allclose(rounded.double().mean(0), values[0].double(), rtol=0.02 * step)
    assert torch.equal(rounded[:, [0, 3, 4]].float(), values[:, [0, 3, 4]]), "what it can hold stays as it is"


def test_a_merged_16_bit_model_keeps_small_changes(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="bfloat16", max_length=256)
    options = {**OPTIONS, "max_steps": 2, "learning_rate": 1e-4}
    model.train(chats(), background=False, **options)
    base = {name: weight.float().clone() for name, weight in model.weights.base_parameters().items()}
    assert model.adapter is not None
    whole = model.adapter.merged()
    layer = model.adapter.base.model.layers[0].mlp.down_proj
    wanted = layer.get_delta_weight("default").detach()
    name = "model.layers.0.mlp.down_proj.weight"
    kept = (dict(whole.named_parameters())[name].detach().float() - base[name]) * wanted
    assert float(kept.sum() / wanted.square().sum()) == pytest.approx(1.0, abs=0.25)
    nearest = ((base[name] + wanted).to(torch.bfloat16).float() - base[name]) * wanted
    assert float(nearest.sum() / wanted.square().sum()) < 0.5, "the changes are smaller than half a step"
    again = model.adapter.merged()
    assert adapters.digest(dict(whole.named_parameters())) == adapters.digest(dict(again.named_parameters()))


def test_a_merged_32_bit_model_is_pefts(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    model.train(chats(), background=False, **{**OPTIONS, "max_steps": 2}, lora_r=4)
    assert model.adapter is not None
    pefts = copy.deepcopy(model.module).merge_and_unload()
    assert adapters.digest(dict(model.adapter.merged().named_parameters())) == adapters.digest(
        dict(pefts.named_parameters())
    )
