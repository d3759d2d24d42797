"""Linear layers by their kernel: the numbers and gradients of peft's own LoRA layers, and only where it is a plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from shadownb.engine.backends.torch.adapters import lora_operation
from shadownb.engine.backends.torch.kernels.installed import LINEARS, Kernels


class Net(nn.Module):
    """Two layers with one input, and one behind them."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20, bias=bias)
        self.beside = nn.Linear(12, 20, bias=bias)
        self.second = nn.Linear(20, 8, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(torch.tanh(self.first(inputs)) * self.beside(inputs))
        return hidden


ALL = ["first", "beside", "second"]


def adapted(
    *, bias: bool = False, dtype: torch.dtype = torch.float32, target_modules: list[str] = ALL, **options: Any
) -> Any:
    torch.manual_seed(3)
    net = get_peft_model(
        Net(bias=bias).to(dtype), LoraConfig(r=4, lora_alpha=12, target_modules=target_modules, **options)
    )
    for name, parameter in net.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.5)
            parameter.data = parameter.data.float()  # adapters have 32 bits on every base
    return net


def kernels(net: Any, *, onednn: bool = True) -> Kernels:
    return Kernels(net, lora_operation.linears(net, None), frozenset({LINEARS}), onednn=onednn)


def trained(net: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    net.zero_grad()
    inputs = inputs.clone().requires_grad_()
    output = net(inputs)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    assert inputs.grad is not None
    grads = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    return output.detach(), {**grads, "inputs": inputs.grad}


def close(ours: torch.Tensor, theirs: torch.Tensor, name: str = "") -> None:
    """Compare a whole tensor's distance with its size: in 16 bits each number alone is a rounding off."""
    limit = 1e-5 if theirs.dtype == torch.float32 and "bf16" not in name else 0.02
    assert ours.dtype == theirs.dtype
    assert float((ours.float() - theirs.float()).norm() / theirs.float().norm()) < limit, name


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize(("bias", "target_modules"), [(False, ALL), (True, ALL), (True, ["beside"])])
@pytest.mark.parametrize("shape", [(7, 12), (2, 3, 5, 12)])
def test_outputs_and_all_gradients_are_pefts(
    bias: bool, shape: tuple[int, ...], onednn: bool, grouped: bool, target_modules: list[str]
) -> None:
    net = adapted(bias=bias, target_modules=target_modules)
    inputs = torch.randn(shape)
    ours = kernels(net, onednn=onednn)
    if grouped:
        with ours.finding_groups():
            expected, gradients = trained(net, inputs)
    else:
        expected, gradients = trained(net, inputs)
    with ours.applied():
        assert ours.adapted == len(target_modules)
        made_by = net.base_model.model.first(inputs).grad_fn
        assert made_by is None or "_LinearsBackward" in {node.name() for node, _ in made_by.next_functions if node}
        found, found_gradients = trained(net, inputs)
    close(found, expected)
    assert found_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        close(found_gradients[name], gradient, name)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [1e-4, 0.5])
def test_in_16_bits_what_is_added_is_there_however_small(bias: bool, size: float) -> None:
    """Rounded after the base's output was, an update below half a step of it would be gone: of peft's own nothing is left."""
    net, wide = adapted(bias=bias, dtype=torch.bfloat16), adapted(bias=bias)
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            parameter.data.mul_(size / 0.5)
    wide.load_state_dict({name: tensor.float() for name, tensor in net.state_dict().items()})
    inputs, layer = torch.randn(4000, 12).bfloat16(), net.base_model.model.first
    reference = wide.base_model.model.first
    base = reference.get_base_layer()(inputs.float())
    added = (reference(inputs.float()) - base).detach()
    with kernels(net).applied():
        found = layer(inputs).detach().float() - base.detach()
    assert float((found * added).sum() / added.square().sum()) == pytest.approx(1, abs=0.05)
    _, gradients = trained(wide, inputs[:64].float())
    with kernels(net).applied():
        _, found_gradients = trained(net, inputs[:64])
    for name, gradient in gradients.items():
        assert (found_gradients[name].float() - gradient).norm() / gradient.norm() < 0.03, name
        assert name == "inputs" or found_gradients[name].dtype == torch.float32


def test_a_base_that_is_trained_gets_its_gradients() -> None:
    net = Net(bias=True)
    inputs = torch.randn(6, 12)
    ours = kernels(net)
    with ours.finding_groups():
        _, gradients = trained(net, inputs)
    with ours.applied():
        _, found = trained(net, inputs)
    assert len(found) == 7
    for name, gradient in gradients.items():
        close(found[name], gradient, name)


def test_a_layer_whose_output_is_not_used_gets_no_gradient() -> None:
    """As without the kernel: zeros would look as if it had been trained."""
    net, inputs = adapted(), torch.randn(6, 12)
    ours = kernels(net)
    with ours.finding_groups():
        net(inputs)
    with ours.applied():
        first, beside = net.base_model.model.first(inputs), net.base_model.model.beside(inputs)
        assert first.shape == beside.shape
        first.sum().backward()
    assert net.base_model.model.first.lora_B["default"].weight.grad is not None
    assert net.base_model.model.beside.lora_B["default"].weight.grad is None
    assert net.base_model.model.beside.lora_A["default"].weight.grad is None


def test_layers_that_get_another_input_than_before_are_computed_alone() -> None:
    net, inputs = adapted(), torch.randn(6, 12)
    ours, model = kernels(net), net.base_model.model
    with ours.finding_groups():
        net(inputs)
    with ours.applied(), torch.no_grad():
        found = [model.first(inputs), model.beside(inputs + 1), model.beside(inputs), model.first(inputs)]
    with torch.no_grad():
        expected = [model.first(inputs), model.beside(inputs + 1), model.beside(inputs), model.first(inputs)]
    for ours_, theirs in zip(found, expected, strict=True):
        close(ours_, theirs)


def test_outside_the_layers_are_pefts() -> None:
    net = adapted()
    inputs = torch.randn(3, 12)
    with torch.no_grad():
        expected = net(inputs)
        with kernels(net).applied():
            close(net(inputs), expected)
        assert torch.equal(net(inputs), expected)
    assert all("forward" not in vars(layer) for layer in net.modules())


def test_a_block_in_a_block() -> None:
    net = adapted()
    ours = kernels(net)
    with ours.applied():
        with ours.applied():
            pass
        assert sum("forward" in vars(layer) for layer in net.modules()) == 3
    assert all("forward" not in vars(layer) for layer in net.modules())


def test_the_layers_are_pefts_again_after_an_error() -> None:
    net = adapted()
    with pytest.raises(RuntimeError), kernels(net).applied():
        net(torch.randn(3, 5))
    assert all("forward" not in vars(layer) for layer in net.modules())


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True, "bias": True}])
def test_what_is_more_than_plain_stays_pefts(options: dict[str, Any]) -> None:
    net = adapted(**options)
    assert kernels(net).adapted == 0
    net.eval()
    inputs = torch.randn(5, 12)
    expected, gradients = trained(net, inputs)
    with kernels(net).applied():  # their linear parts, one by one
        found, found_gradients = trained(net, inputs)
    close(found, expected)
    for name, gradient in gradients.items():
        close(found_gradients[name], gradient, name)


def test_a_layer_that_is_off_or_merged_stays_pefts() -> None:
    net = adapted()
    ours, inputs = kernels(net), torch.randn(3, 12)
    with net.disable_adapter():
        expected = net(inputs)
        assert kernels(net).adapted == ours.adapted == 0
        with ours.applied():
            close(net(inputs), expected)
    net.merge_adapter()
    assert kernels(net).adapted == 0
    net.unmerge_adapter()
    assert kernels(net).adapted == 3


def test_two_adapters_at_once_stay_pefts() -> None:
    net = adapted()
    net.add_adapter("other", LoraConfig(r=2, target_modules=["first", "second"]))
    net.base_model.set_adapter(["default", "other"])
    assert kernels(net).adapted == 0


def test_recomputed_activations_give_the_same_gradients() -> None:
    net = adapted()
    inputs = torch.randn(4, 12)
    ours, model = kernels(net), net.base_model.model
    with ours.finding_groups():
        _, gradients = trained(net, inputs)
    block = type(model).forward

    def recompute(hidden: torch.Tensor) -> torch.Tensor:
        return torch.utils.checkpoint.checkpoint(block, model, hidden, use_reentrant=False)

    model.forward = recompute
    with ours.applied():
        _, found = trained(net, inputs)
    for name, gradient in gradients.items():
        close(found[name], gradient, name)
