"""A run whose gradient is cut ends with an error before any weight has moved; a run that is right is not disturbed."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.updates import WeightUpdates
from shadownb.engine.runs.loop import Loop
from shadownb.errors import GradientError
from tests.engine.methods_data import OPTIONS, chats, pairs, verdicts

SHORT = {**OPTIONS, "max_steps": 2}
_LIBRARY = torch.library.Library("shadownb_tests", "DEF")
_LIBRARY.define("forward_only(Tensor x) -> Tensor")
_LIBRARY.define("of_parts(Tensor x) -> Tensor")


def _forward_only(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return x.detach() * 1.0


_LIBRARY.impl("forward_only", _forward_only, "CPU")
_LIBRARY.impl("of_parts", lambda x: x * 1.0, "CPU")


def wrapped(module: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let a module's output go through a function, without a hook that could be seen."""
    inner = module.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = inner(*args, **kwargs)
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    module.forward = types.MethodType(forward, module)


PLACES: dict[str, Callable[[Any], Any]] = {
    "a block": lambda base: base.model.layers[1],
    "its feed-forward part": lambda base: base.model.layers[1].mlp,
    "its attention": lambda base: base.model.layers[1].self_attn,
    "a norm": lambda base: base.model.layers[1].post_attention_layernorm,
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"lora_r": 4},
    "lora on attention": {"lora_r": 4, "target_modules": "attention"},
    "prompt": {},
    "adapter": {"lora_r": 4},
    "full": {},
}


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_a_cut_graph_ends_the_run_before_any_weight_moves(
    home: Path, byte_model_dir: Path, place: str, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    before = adapters.digest(model.weights.base_parameters())
    stepped: list[int] = []
    moved = WeightUpdates.clip
    monkeypatch.setattr(WeightUpdates, "clip", lambda *args: stepped.append(1) or moved(*args))
    wrapped(PLACES[place](model.module), torch.Tensor.detach)
    with pytest.raises(GradientError, match=r"No gradient comes to .*layers\.[01]\.") as raised:
        model.train(chats(), method=adapter.split(maxsplit=1)[0], background=False, **{**SHORT, **ADAPTERS[adapter]})
    assert "No weight has been moved" in raised.value.why
    assert not stepped
    assert adapters.digest(model.weights.base_parameters()) == before
    assert snb.runs.list()[0].status == "failed"


@pytest.mark.parametrize("method", ["lora", "dpo", "kto"])
@pytest.mark.parametrize("operation", ["forward_only", "of_parts"])
def test_an_operation_without_a_backward_pass_is_an_error(
    home: Path, byte_model_dir: Path, operation: str, method: str
) -> None:
    """torch has a warning for both; of the first it gives no gradient, of the second that of its parts."""
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    wrapped(model.module.model.layers[1].mlp.act_fn, getattr(torch.ops.shadownb_tests, operation))
    rows = {"lora": chats, "dpo": pairs, "kto": verdicts}[method]()
    with pytest.raises(GradientError, match="an operation that has no backward pass"):
        model.train(rows, method=method, background=False, **{**SHORT, "lora_r": 4})


def test_it_is_looked_again_after_an_answer(home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when an answer leaves the model in a state that cannot be trained through."""
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    step = Loop.compute

    def cut_after_an_answer(loop: Loop, *args: Any) -> float:
        if loop.step == 1:
            with loop.services.gate.inference():
                wrapped(model.weights.base_module().model.layers[1].mlp, torch.Tensor.detach)
        return step(loop, *args)

    monkeypatch.setattr(Loop, "compute", cut_after_an_answer)
    with pytest.raises(GradientError):
        model.train(chats(), background=False, **{**SHORT, "max_steps": 4}, lora_r=4)
    assert snb.runs.list()[0].step == 1


def test_the_record_says_how_far_down_the_gradient_came(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    run = model.train(chats(), background=False, **SHORT, lora_r=4, target_modules=["q_proj", "down_proj"])
    reached = run.state.record["actual_setup"]["gradient_reaches"]
    assert [name.split("layers.")[1] for name in reached] == [
        "0.mlp.down_proj.lora_A.default.weight",
        "0.mlp.down_proj.lora_B.default.weight",
        "0.self_attn.q_proj.lora_A.default.weight",
        "0.self_attn.q_proj.lora_B.default.weight",
    ]


@pytest.mark.parametrize(
    "options", [{"gradient_checkpointing": "on"}, {"target_modules": ["q_proj", "v_proj"]}, {"lora_dropout": 0.1}]
)
def test_runs_that_are_right_are_not_disturbed(home: Path, byte_model_dir: Path, options: dict[str, Any]) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    run = model.train(chats(), background=False, **SHORT, lora_r=4, **options)
    assert run.status == "succeeded"
    assert run.state.warnings == []


def test_a_layer_that_the_first_step_does_not_compute_is_told(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    model.module.model.layers[1].mlp.spare_proj = torch.nn.Linear(4, 4)
    run = model.train(chats(), background=False, **SHORT, lora_r=4, target_modules=["q_proj", "spare_proj"])
    (told,) = run.state.warnings
    assert told["code"] == "untrained-layers"
    assert "spare_proj" in told["what"]
