"""A LoRA layer as one operation: the numbers and gradients of peft's own layer, and only where it is a plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from shadownb.engine.backends.torch.adapters import lora_operation


class Net(nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20, bias=bias)
        self.second = nn.Linear(20, 8, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(torch.tanh(self.first(inputs)))
        return hidden


def adapted(*, bias: bool = False, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    torch.manual_seed(3)
    net = get_peft_model(
        Net(bias=bias).to(dtype), LoraConfig(r=4, lora_alpha=12, target_modules=["first", "second"], **options)
    )
    for name, parameter in net.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.5)
            parameter.data = parameter.data.to(dtype)
    return net


def trained(net: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    net.zero_grad()
    inputs = inputs.clone().requires_grad_()
    output = net(inputs)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    assert inputs.grad is not None
    grads = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    return output.detach(), {**grads, "inputs": inputs.grad}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(7, 12), (1, 7, 12), (2, 3, 5, 12)])
def test_outputs_and_all_gradients_are_pefts(bias: bool, shape: tuple[int, ...]) -> None:
    net = adapted(bias=bias)
    inputs = torch.randn(shape)
    expected, gradients = trained(net, inputs)
    layers = lora_operation.suited(net)
    with lora_operation.in_one_operation(layers) as count:
        assert count == 2
        made_by = net.base_model.model.first(inputs).grad_fn.next_functions[0][0]
        assert type(made_by).__name__ == "_LoraLinearBackward"
        found, ours = trained(net, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert ours.keys() == gradients.keys() and len(ours) == 5
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_outside_and_without_gradients_the_layers_are_pefts() -> None:
    net = adapted()
    inputs = torch.randn(3, 12)
    with torch.no_grad():
        expected = net(inputs)
        with lora_operation.in_one_operation(lora_operation.suited(net)):
            assert torch.equal(net(inputs), expected)
    assert all("forward" not in vars(layer) for layer in net.modules())


def test_a_block_in_a_block() -> None:
    net = adapted()
    layers = lora_operation.suited(net)
    with lora_operation.in_one_operation(layers):
        with lora_operation.in_one_operation(layers) as count:
            assert count == 2
        assert all("forward" in vars(layer) for layer in layers)
    assert all("forward" not in vars(layer) for layer in layers)


def test_the_layers_are_pefts_again_after_an_error() -> None:
    net = adapted()
    with pytest.raises(RuntimeError), lora_operation.in_one_operation(lora_operation.suited(net)):
        net(torch.randn(3, 5))
    assert all("forward" not in vars(layer) for layer in net.modules())


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True, "bias": True}])
def test_what_is_more_than_plain_stays_pefts(options: dict[str, Any]) -> None:
    assert lora_operation.suited(adapted(**options)) == []


def test_a_layer_that_is_off_merged_or_in_another_format_stays_pefts() -> None:
    net = adapted()
    with net.disable_adapter():
        assert lora_operation.suited(net) == []
    net.merge_adapter()
    assert lora_operation.suited(net) == []
    net.unmerge_adapter()
    assert len(lora_operation.suited(net)) == 2
    net.base_model.model.first.get_base_layer().to(torch.bfloat16)
    assert len(lora_operation.suited(net)) == 1


def test_two_adapters_at_once_stay_pefts() -> None:
    net = adapted()
    net.add_adapter("other", LoraConfig(r=2, target_modules=["first", "second"]))
    net.base_model.set_adapter(["default", "other"])
    assert lora_operation.suited(net) == []


def test_recomputed_activations_give_the_same_gradients() -> None:
    net = adapted()
    inputs = torch.randn(4, 12)
    _, gradients = trained(net, inputs)
    first = net.base_model.model.first

    def recompute(hidden: torch.Tensor) -> torch.Tensor:
        return torch.utils.checkpoint.checkpoint(type(first).__call__, first, hidden, use_reentrant=False)

    with lora_operation.in_one_operation(lora_operation.suited(net)):
        net.base_model.model.forward = lambda hidden: net.base_model.model.second(torch.tanh(recompute(hidden)))
        _, ours = trained(net, inputs)
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
