"""Adapters reach what target_modules says on the model at hand, and what they do not reach is told or refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

import shadownb as snb
from shadownb.engine import estimate, methods
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters import (
    expert_products,
    experts,
    linear,
    quiet,
    rounded_once,
    sizes,
    targets,
)
from shadownb.errors import MethodError
from tests.engine.methods_data import OPTIONS, chats, logits
from tests.tiny_models import UNUSUAL, byte_gpt2, unusual

SHORT = {**OPTIONS, "max_steps": 2, "lora_r": 4}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Every test has a home of its own."""


@pytest.fixture(scope="module")
def gpt2_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_gpt2(tmp_path_factory.mktemp("gpt2"), 256)


def load(byte_model_dir: Path, name: str, **options: Any) -> Any:
    return snb.load(str(unusual(byte_model_dir, name)), max_length=256, **{"dtype": "float32", **options})


def train(model: Any, **options: Any) -> Any:
    run = model.train(chats(), background=True, **{**SHORT, **options}).wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    return run


def told(run: Any) -> set[str]:
    return {warning["code"] for warning in run.state.warnings}


def planned(model: Any, **options: Any) -> Any:
    config = snb.TrainConfig(**options)
    return estimate.estimate(model, config, snb.Dataset.from_list(chats()))


# -- experts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Qwen3Moe", "GptOss", "Llama4"])
def test_experts_are_trained_and_load_elsewhere(name: str, byte_model_dir: Path, tmp_path: Path) -> None:
    model = load(byte_model_dir, name)
    run = train(model)
    assert told(run) == set()
    unmoved = {n for n, p in model.adapter.owned().items() if ".lora_B." in n and not p.any()}
    assert unmoved == set()
    assert targets.there(model.adapter.base) == all_there_is(model.adapter.base)

    saved = model.save(tmp_path / "adapter")
    content = json.loads((saved / "adapter_config.json").read_text(encoding="utf-8"))
    assert {"experts.gate_up_proj", "experts.down_proj"} <= {
        ".".join(entry.split(".")[-2:]) for entry in content["target_parameters"]
    }
    base = AutoModelForCausalLM.from_pretrained(unusual(byte_model_dir, name), dtype=torch.float32)
    plain = PeftModel.from_pretrained(base, saved).eval()
    merged = AutoModelForCausalLM.from_pretrained(model.save(tmp_path / "merged", fmt="merged"), dtype=torch.float32)
    ids = torch.arange(10, 60)[None]
    with torch.no_grad():
        mine = model.module(ids).logits
        torch.testing.assert_close(plain(ids).logits, mine, atol=1e-5, rtol=0)
        torch.testing.assert_close(merged.eval()(ids).logits, mine, atol=1e-4, rtol=0)


def all_there_is(base: Any) -> set[str]:
    layers = set(linear.linear_layers(base)) - experts.routers(base)
    return layers | set(experts.expert_tensors(base))


def test_dense_layers_beside_experts_are_trained(byte_model_dir: Path) -> None:
    """peft takes gate_proj, up_proj and down_proj for names of experts, and would leave these out without a word."""
    model = load(byte_model_dir, "Qwen3Moe")
    run = train(model)
    assert {f"model.layers.0.mlp.{leaf}" for leaf in ("gate_proj", "up_proj", "down_proj")} <= targets.there(
        model.adapter.base
    )
    assert "11 layers of 7 kinds" in run.reach and "2 expert tensors" in run.reach


def test_dense_layers_that_4_bits_keep_from_it_are_told(byte_model_dir: Path) -> None:
    run = train(load(byte_model_dir, "Qwen3Moe", quantize="4bit", dtype="bfloat16"), method="qlora")
    assert told(run) == {"not-reached"} and "gate_proj, up_proj, down_proj (peft takes the name" in run.reach


@pytest.mark.parametrize("name", ["Qwen3Moe", "GptOss"])
def test_experts_by_rows_are_those_of_peft(name: str, byte_model_dir: Path) -> None:
    model = load(byte_model_dir, name)
    adapter = prepared(model, "lora", scale=0.2)
    ids = torch.arange(10, 90)[None]
    mine = loss_and_gradients(adapter, ids)
    for module in adapter.module.modules():
        vars(module).pop("forward", None)
    theirs = loss_and_gradients(adapter, ids)
    torch.testing.assert_close(mine[0], theirs[0], atol=1e-6, rtol=1e-5)
    assert set(mine[1]) == set(theirs[1])
    for parameter, gradient in theirs[1].items():
        torch.testing.assert_close(mine[1][parameter], gradient, atol=1e-5, rtol=1e-3, msg=parameter)


def prepared(model: Any, method: str, *, scale: float, **options: Any) -> Any:
    """Return an untrained adapter whose second matrices are random, so that it computes something."""
    config = snb.TrainConfig(method=method, lora_r=4, **options)
    adapter = adapters.prepare(model.module, None, config, adapters.Start("tiny", model.source))
    model.weights.attach(adapter)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in adapter.owned().items():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * scale)
    return adapter


def loss_and_gradients(adapter: Any, ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    adapter.module.zero_grad()
    loss = adapter.module(ids, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in adapter.owned().items()}


@pytest.mark.parametrize("name", ["Qwen3Moe", "GptOss"])
def test_small_updates_of_experts_show_in_16_bits(name: str, byte_model_dir: Path) -> None:
    """What an expert's adapter adds is a fraction of half a step of its weights; added to them it would be lost."""
    model = load(byte_model_dir, name)
    adapter = prepared(model, "lora", scale=3e-5, target_modules=("gate_up_proj", "down_proj"))
    wrapper = next(m for m in adapter.module.modules() if experts.is_expert_wrapper(m) and "forward" in vars(m))
    hidden, size = 64, 512
    draw = torch.Generator().manual_seed(3)
    given = (
        torch.randn(size, hidden, generator=draw),
        torch.stack([torch.randperm(4, generator=draw)[:2] for _ in range(size)]),
        torch.full((size, 2), 0.5),
    )

    def added(call: Any, dtype: torch.dtype) -> torch.Tensor:
        rows, chosen, weights = given[0].bfloat16().to(dtype), given[1], given[2].to(dtype)
        with torch.no_grad():
            with_adapter = call(rows, chosen, weights).float()
            with adapter.switched_off():
                return with_adapter - wrapper(rows, chosen, weights).float()

    for parameter in wrapper.get_base_layer().parameters(recurse=False):
        parameter.data = parameter.data.bfloat16().float()
    exact = added(wrapper, torch.float32)
    for parameter in wrapper.get_base_layer().parameters(recurse=False):
        parameter.data = parameter.data.bfloat16()
    mine = added(wrapper, torch.bfloat16)
    theirs = added(lambda *args: type(wrapper).forward(wrapper, *args), torch.bfloat16)

    def share(found: torch.Tensor) -> float:
        """Return how much of what should be added is there on average; single outputs are rounded by more than that."""
        return float((found * exact).sum() / exact.square().sum())

    assert share(theirs) < 0.5
    assert share(mine) == pytest.approx(1, abs=0.2)


def test_pissa_on_experts_starts_at_the_base(byte_model_dir: Path) -> None:
    from shadownb.engine.backends.torch.adapters.starts import lora_layers, weight_of

    model = load(byte_model_dir, "GptOss")
    before = logits(model)
    config = snb.TrainConfig(init_lora_weights="pissa", lora_r=8)
    adapter = adapters.prepare(model.module, None, config, adapters.Start("tiny", model.source))
    model.weights.attach(adapter)
    model.module.eval()
    torch.testing.assert_close(logits(model), before, atol=1e-4, rtol=0)
    of_experts = [layer for _, layer in lora_layers(adapter.module) if experts.is_expert_wrapper(layer)]
    assert len(of_experts) == 4
    for layer in of_experts:
        weight = weight_of(layer)
        down, up = experts.pairs(layer, "default")
        left = (weight - layer.scaling["default"] * (up @ down)).norm(dim=(1, 2))
        assert (left < 1.05 * torch.linalg.svdvals(weight)[:, 8:].norm(dim=1)).all()


def test_an_adapter_that_peft_made_loads_and_trains_on(byte_model_dir: Path, tmp_path: Path) -> None:
    """all-linear on Qwen3-MoE: peft gives the router one too, the experts twice the rank, and warns of its own pattern."""
    source = unusual(byte_model_dir, "Qwen3Moe")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = get_peft_model(
            AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32),
            LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"),
        )
    made.save_pretrained(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        quiet.libraries()
        model = snb.load(str(source), adapter=tmp_path, max_length=256, dtype="float32")
    assert [str(entry.message) for entry in said if "pattern" in str(entry.message)] == []
    ids = torch.arange(10, 60)[None]
    with torch.no_grad():
        torch.testing.assert_close(model.module(ids).logits, made.eval()(ids).logits, atol=1e-5, rtol=0)
    run = model.train(chats(), background=True, **{**SHORT, "lora_r": 4}).wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    assert all(p.requires_grad for p in model.adapter.owned().values())
    assert (
        "and 1 other tensor (gate.weight); frozen: gate_proj, up_proj, down_proj (not in target_modules), " in run.reach
    )


@pytest.mark.parametrize("method", ["dora", "miss", "shira"])
def test_a_method_without_a_form_for_experts_says_so(method: str, byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    run = train(model, method=method)
    assert told(run) == {"not-reached"}
    assert "frozen: 4 expert tensors" in run.reach and "lora has" in run.reach
    with pytest.raises(MethodError, match="gate_up_proj cannot have an adapter"):
        load(byte_model_dir, "GptOss").train(
            chats(), method=method, **{**SHORT, "target_modules": ("q_proj", "gate_up_proj")}
        )


def test_experts_of_an_unknown_scheme_round_twice_and_say_so(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "Llama4", dtype="bfloat16")
    assert told(train(model)) == {"rounded-twice"}
    assert expert_products.others(model.module) == 2


def test_experts_of_a_4_bit_base_stay_in_16(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss", quantize="4bit", dtype="bfloat16")
    run = train(model, method="qlora")
    assert "the experts stay in bfloat16, because only linear layers are held in 4 bits" in run.reach
    assert "4 expert tensors" in run.reach
    assert expert_products.installed(model.module) == 4 and told(run) == set()


# -- other layers that are no plain linear ones -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["FalconH1", "Mamba2"])
@pytest.mark.parametrize("method", ["lora", "miss"])
def test_state_spaces_are_trained_where_an_adapter_has_a_part(name: str, method: str, byte_model_dir: Path) -> None:
    model = load(byte_model_dir, name)
    run = train(model, method=method)
    there = {entry.rsplit(".", 1)[-1] for entry in targets.there(model.adapter.base)}
    assert "in_proj" in there and "out_proj" not in there
    assert "frozen: out_proj (kernels of state-space layers" in run.reach and "convolutions" in run.reach
    with pytest.raises(MethodError, match="out_proj cannot have an adapter"):
        load(byte_model_dir, name).train(chats(), **{**SHORT, "target_modules": ("in_proj", "out_proj")})


@pytest.mark.parametrize("method", ["miss", "shira"])
def test_transposed_layers_are_refused_before_the_first_step(method: str, gpt2_dir: Path) -> None:
    model = snb.load(str(gpt2_dir), dtype="float32")
    with pytest.raises(MethodError, match=r"c_attn is a Conv1D"):
        model.train(chats(2), method=method, **SHORT)
    assert "Conv1D" in str(model.blocked(method))


def test_transposed_layers_say_nothing_and_start_from_what_4_bits_lost(gpt2_dir: Path, tmp_path: Path) -> None:
    model = snb.load(str(gpt2_dir), dtype="float32")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(model, max_length=200)
        again = snb.load(str(model.save(tmp_path / "adapter")), dtype="float32")
    assert [str(entry.message) for entry in said if "fan_in_fan_out" in str(entry.message)] == []
    torch.testing.assert_close(logits(again), logits(model), atol=1e-6, rtol=0)
    four = snb.load(str(gpt2_dir), quantize="4bit", dtype="float32")
    train(four, method="qlora", init_lora_weights="loftq", max_length=200)


# -- target_modules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("GptOss", "router", "router of the experts"),
        ("GptOss", "lm_head", "train_embeddings=True"),
        ("GptOss", "embed_tokens", "train_embeddings=True"),
        ("GptOss", "self_attn", "holds k_proj, o_proj, q_proj, v_proj"),
        ("GptOss", "norm", "no linear layer"),
        ("GptOss", "query", "no linear layer named 'query'"),
        ("GptOss", "proj", "no linear layer named 'proj'"),
        ("Mamba2", "attention", "nothing there"),
        ("Mamba2", "conv1d", "no linear layer"),
    ],
)
def test_names_that_reach_nothing_are_refused(name: str, given: str, words: str, byte_model_dir: Path) -> None:
    model = load(byte_model_dir, name)
    wanted = given if given == "attention" else ("in_proj" if name == "Mamba2" else "q_proj", given)
    with pytest.raises(MethodError) as caught:
        model.train(chats(), **{**SHORT, "target_modules": wanted})
    assert words in str(caught.value) and (given in str(caught.value))
    assert model.adapter is None and snb.runs.list() == []


def test_dropout_that_experts_cannot_have_is_refused(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    with pytest.raises(MethodError, match=r"lora_dropout=0.1: peft has no dropout"):
        model.train(chats(), **{**SHORT, "lora_dropout": 0.1})
    train(model, lora_dropout=0.1, target_modules="attention")


def test_dropout_cannot_come_later_either(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    train(model)
    with pytest.raises(MethodError, match=r"lora_dropout=0.1: peft has no dropout"):
        model.train(chats(), **{**SHORT, "lora_dropout": 0.1})


@pytest.mark.parametrize("name", ["Qwen3Moe", "GptOss", "FalconH1", "Mamba2", "gpt2"])
@pytest.mark.parametrize("given", ["all", "attention", "mlp"])
def test_presets_mean_the_parts_of_this_model(name: str, given: str, byte_model_dir: Path, gpt2_dir: Path) -> None:
    source = gpt2_dir if name == "gpt2" else unusual(byte_model_dir, name)
    base = AutoModelForCausalLM.from_pretrained(source)
    config = snb.TrainConfig(target_modules=given)
    found = targets.resolve(base, config, methods.get("lora"))
    leaves = {entry.rsplit(".", 1)[-1] for entry in found.names}
    dense, fused = {"gate_proj", "up_proj", "down_proj"}, {"gate_up_proj", "down_proj"}
    attention: dict[str, set[str]] = {"gpt2": {"c_attn", "c_proj"}, "Mamba2": set()}
    mlp = {"gpt2": {"c_fc", "c_proj"}, "Mamba2": set(), "GptOss": fused, "Qwen3Moe": dense | fused}
    only = {"FalconH1": {"in_proj"}, "Mamba2": {"in_proj"}}
    parts = {"attention": attention.get(name, ATTENTION), "mlp": mlp.get(name, dense)}
    assert leaves == parts.get(given, parts["attention"] | parts["mlp"] | only.get(name, set()))


SOME = ("in_proj", "q_proj", "down_proj")


@pytest.mark.parametrize(
    ("name", "method", "given"),
    [*((name, "lora", "all") for name in UNUSUAL), ("Qwen3Moe", "dora", "all"), ("FalconH1", "shira", "all"),
     ("Qwen3Moe", "miss", "all"), ("Qwen3Moe", "lora", SOME), ("GptOss", "lora", "mlp"), ("Llama4", "lora", SOME)],
)  # fmt: skip
def test_what_is_counted_is_what_is_put_on(name: str, method: str, given: Any, byte_model_dir: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(unusual(byte_model_dir, name))
    config, spec = snb.TrainConfig(method=method, lora_r=4, target_modules=given), methods.get(method)
    wanted = targets.resolve(base, config, spec)
    counted = adapters.count(base, None, config)
    before = adapters.reached(base, None, config)
    adapter = adapters.prepare(base, None, config, adapters.Start("tiny"))
    assert counted == sum(p.numel() for p in adapter.owned().values())
    assert targets.there(adapter.base) == wanted.names
    assert adapters.reached(adapter.module, adapter, config) == before
    assert adapter.effective_config(config).target_modules == given or given != "all"
    bare = AutoModelForCausalLM.from_pretrained(unusual(byte_model_dir, name))
    removed = adapter.remove()
    assert {n for n, _ in removed.named_parameters()} == {n for n, _ in bare.named_parameters()}
    assert not any("base_layer" in module._modules for module in removed.modules())


def test_one_name_for_all_layers_is_taken_as_peft_writes_it() -> None:
    assert snb.TrainConfig(target_modules="all-linear").target_modules == "all"


# -- the plan -----------------------------------------------------------------------------------------------------------


def test_the_plan_says_what_is_trained_and_what_is_not(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    found = planned(model)
    words = (
        "adapters on 8 layers of 4 kinds (q_proj, k_proj, v_proj, o_proj) and 4 expert tensors (gate_up_proj, down_proj, "
        "4 experts each); frozen: router (so that tokens keep their experts), embeddings and output head "
        "(train_embeddings trains them), sinks, biases, norms"
    )
    assert str(found.reach) == words and words in str(found) and "adapters on 8 layers" in repr(found)
    assert "4 expert tensors (not in target_modules)" in str(planned(model, target_modules="attention"))
    assert "embeddings" not in planned(model, train_embeddings=True).reach.frozen_words
    run = train(model)
    assert run.reach == words == run.to_dict()["reach"] and "4 expert tensors" in run._repr_html_()
    assert str(planned(model, lora_r=4).reach) == words, "trained on, it is the same"


def test_trained_embeddings_are_neither_frozen_nor_left_out(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    wanted = str(planned(model, train_embeddings=True).reach)
    assert "and the embeddings themselves; frozen: router" in wanted
    assert train(model, train_embeddings=True).reach == wanted
    train(model, target_modules="all")  # which means the same layers as before


PLANS = {
    "full": "all weights of the model",
    "adapter": "2 networks of width 16, one behind each block; frozen: the whole model",
    "prompt": "16 learned embeddings before every row; frozen: the whole model",
    "bitfit": "bias vectors; frozen: everything else",
}


@pytest.mark.parametrize("method", list(PLANS))
def test_every_method_has_words_for_it(method: str, byte_model_dir: Path) -> None:
    assert str(planned(load(byte_model_dir, "GptOss"), method=method).reach).endswith(PLANS[method])


def test_idle_experts_cost_memory_and_no_time(byte_model_dir: Path) -> None:
    model = load(byte_model_dir, "GptOss")
    base = model.module
    tensors = experts.expert_tensors(base)
    assert sum(x.numel() for x in tensors.values()) == 2 * 4 * 3 * 64 * 96
    assert sizes.idle_weights(base) == 2 * 2 * 3 * 64 * 96, "two of four experts read a token"
    assert sizes.inner_size(base) == 2 * 96
    count = adapters.count(base, None, snb.TrainConfig(lora_r=4, target_modules=("gate_up_proj", "down_proj")))
    assert count == 2 * 4 * 4 * ((64 + 192) + (96 + 64))
    assert rounded_once.installed(base) == 0
