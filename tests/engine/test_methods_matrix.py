"""Every training method, and the options that make it another one, through its whole life.

Trained, stopped, resumed exactly, loaded, trained on, each checkpoint asked, merged, switched off; one seed gives one
result; exactly what belongs to the method changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb import methods
from shadownb.engine.backends.torch.adapters import digest
from shadownb.engine.runs import Run
from shadownb.errors import ExportError, MethodError
from tests.engine.methods_data import (
    CASES,
    IN_16_BITS,
    ON_MLX,
    OPTIONS,
    PROMPT,
    Case,
    base_shas,
    curve,
    logits,
    mlx_tensors,
    sha,
    stop_after,
)

ALL = {**CASES, **IN_16_BITS, **ON_MLX}


@dataclass
class Trained:
    """A model that was trained from its base to the end, and what was seen before and after."""

    case: Case
    folder: Path
    model: Any
    run: Run
    base_logits: torch.Tensor
    base_before: dict[str, str]
    rest_before: dict[str, str]
    random_numbers: tuple[torch.Tensor, torch.Tensor]  # the global generator's state before and after


@pytest.fixture(scope="module", params=list(ALL))
def trained(
    request: pytest.FixtureRequest, byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trained]:
    case = ALL[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        model = case.load(byte_model_dir)
        base_logits, base_before = logits(model), base_shas(model)
        rest_before = everything_else(model, {})
        torch.manual_seed(5)
        before = torch.get_rng_state()
        run = case.train(model)
        after = torch.get_rng_state()
        assert run.status == "succeeded", run.error or run.traceback()
        yield Trained(case, byte_model_dir, model, run, base_logits, base_before, rest_before, (before, after))


def everything_else(model: Any, owned: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of every tensor of the module, buffers too, but for some parameters (also under a second name)."""
    if model.backend_name == "mlx":
        return {name: digest({"": tensor}) for name, tensor in mlx_tensors(model.module).items() if name not in owned}
    tensors = {**model.module.state_dict(keep_vars=True), **dict(model.module.named_buffers())}
    mine = {id(parameter) for parameter in owned.values()}
    return {name: digest({"": tensor}) for name, tensor in tensors.items() if id(tensor) not in mine}


def names(model: Any) -> set[str]:
    """Return the names of all parameters of the module."""
    return set(mlx_tensors(model.module)) if model.backend_name == "mlx" else set(dict(model.module.named_parameters()))


def shas(model: Any) -> dict[str, str]:
    """Return the sha256 of what the adapter owns, by name."""
    if model.backend_name == "mlx":
        tensors = mlx_tensors(model.module)
        return {name: digest({"": tensors[name]}) for name in model.adapter.owned()}
    return {name: digest({"": parameter}) for name, parameter in model.adapter.owned().items()}


def test_it_learns_something(trained: Trained) -> None:
    assert (logits(trained.model) - trained.base_logits).abs().max() > 1e-2
    losses = trained.run.losses()
    assert len(losses) == OPTIONS["max_steps"]
    assert all(norm > 0 for _, norm in curve(trained.run))


@pytest.mark.other_cpu
def test_a_stop_and_a_resume_on_a_new_model_change_nothing(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = trained.case.train(trained.case.load(trained.folder))
    assert (run.status, run.step) == ("stopped", 3), run.error or run.traceback()
    again = snb.runs.load(run.id)
    again.resume().wait(timeout=120)
    assert again.status == "succeeded", again.error or again.traceback()
    assert curve(again) == curve(trained.run)
    assert again.checkpoint_at().manifest["trained_sha256"] == trained.run.checkpoint_at().manifest["trained_sha256"]
    assert torch.equal(logits(snb.load(run.id)), logits(trained.model))


def test_one_seed_gives_one_result(trained: Trained) -> None:
    """The same seed was run twice by the test of the resume; here it is another one."""
    other = trained.case.load(trained.folder)
    run = trained.case.train(other, seed=1, max_steps=2)
    assert run.status == "succeeded", run.error
    assert run.losses() != trained.run.losses()[:2]
    assert sha(other) != trained.run.checkpoint_at(2).manifest["trained_sha256"]


def test_the_count_before_training_is_the_count(trained: Trained) -> None:
    config = snb.TrainConfig(method=trained.case.method, **trained.case.options)
    fresh = trained.case.load(trained.folder)
    assert fresh.backend.costs(fresh, config).trainable == trained.run.state.record["trainable_parameters"]


@pytest.mark.other_cpu
def test_the_base_stays(trained: Trained) -> None:
    model, case = trained.model, trained.case
    assert torch.equal(logits(model, "base"), trained.base_logits)
    same, why = model.verify_base()
    assert same, why
    if not model.adapter.replaces_base:
        assert base_shas(model) == trained.base_before
    alike: dict[str, Any] = {"system": None, "template": True, "max_new_tokens": 6, "temperature": 0.0}
    untouched = case.load(trained.folder).generate(PROMPT, **alike)
    assert model.generate(PROMPT, use="base", **alike) == untouched


def test_taking_it_off_gives_the_base_back(trained: Trained) -> None:
    model: Any = snb.load(trained.run.id)
    if model.adapter.replaces_base:
        pytest.skip("there is nothing to take off weights that were trained themselves")
    model.detach_adapter()
    assert everything_else(model, {}) == trained.rest_before
    assert torch.equal(logits(model), trained.base_logits)


def test_it_loads_by_the_run_and_trains_on_what_belongs_to_it(trained: Trained) -> None:
    model: Any = snb.load(trained.run.id)
    case = trained.case
    assert model.trained == (trained.run.id, OPTIONS["max_steps"])
    before = logits(trained.model)
    assert torch.equal(logits(model), before)
    assert sha(model) == sha(trained.model)

    owned = model.adapter.owned()
    intended = {name for name in names(model) if any(part in name for part in case.owned)}
    assert set(owned) == intended
    rest, mine = everything_else(model, owned), shas(model)
    run = model.train(case.rows, method=case.method, background=True, **{**OPTIONS, **case.given(model)}).wait(
        timeout=120
    )
    assert run.status == "succeeded", run.error or run.traceback()
    assert run.parent == trained.run.id
    assert (logits(model) - before).abs().max() > 1e-2
    if case.backend == "torch":
        assert {name for name, p in model.module.named_parameters() if p.requires_grad} == intended
    assert everything_else(model, model.adapter.owned()) == rest, (
        "something was changed that does not belong to the method"
    )
    unmoved = [name for name, found in shas(model).items() if found == mine[name]]
    # A step may be less than half of what 16 bits tell apart at 1, where the weights of norms start; see test_precision.py.
    assert unmoved == [] or (case.dtype != "float32" and all("norm" in name for name in unmoved))

    # What the record says is what is there, though the options were not given again.
    config = run.state.record["config"]
    shape = {name: value for name, value in case.options.items() if name != "max_length"}
    assert {name: config[name] for name in shape} == shape
    assert run.state.record["trainable_parameters"] == sum(math.prod(p.shape) for p in owned.values())
    assert torch.equal(logits(snb.load(run.id)), logits(model))


# Those whose adapter is more than its trainable parameters, or whose start depends on more than the seed.
STARTED_FROM = ("lora pissa", "qlora loftq", "shira", "bitfit", "ptuning", "full", "dpo")


@pytest.mark.parametrize("name", STARTED_FROM)
def test_training_on_resumes_exactly_too(
    name: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run starts from a file where a stop comes in between, and from memory where none does."""
    case = CASES[name]

    def more() -> Run:
        model = case.load(byte_model_dir)
        assert case.train(model, max_steps=1).status == "succeeded"
        run: Run = model.train(case.rows, method=case.method, background=True, **{**OPTIONS, **case.given(model)})
        return run.wait(timeout=120)

    straight = more()
    assert straight.status == "succeeded", straight.error or straight.traceback()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = more()
    assert (run.status, run.step) == ("stopped", 3), run.error or run.traceback()
    again = snb.runs.load(run.id)
    again.resume().wait(timeout=120)
    assert again.status == "succeeded", again.error or again.traceback()
    assert curve(again) == curve(straight)
    assert again.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_every_checkpoint_loads_and_answers(trained: Trained) -> None:
    checkpoints = trained.run.checkpoints()
    assert [checkpoint.step for checkpoint in checkpoints] == [2, 4]
    seen = set()
    for checkpoint in checkpoints:
        model = trained.case.load(trained.folder)
        model.load_adapter(checkpoint.path, (trained.run.id, checkpoint.step))
        assert sha(model) == checkpoint.manifest["trained_sha256"]
        assert isinstance(model.generate(PROMPT, max_new_tokens=4), str)
        seen.add(sha(model))
    assert len(seen) == len(checkpoints)


def test_no_pickle_is_in_any_checkpoint(trained: Trained) -> None:
    files = [path for path in trained.run.path.rglob("*") if path.is_file()]
    assert len(files) > 15
    assert {path.suffix for path in files} <= {
        ".json",
        ".jsonl",
        ".safetensors",
        ".yaml",
        ".jinja",
        ".lock",
        ".txt",
        "",
    }
    starts = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
    assert [path for path in files if path.read_bytes()[:4].startswith(starts)] == []


def test_the_users_random_numbers_are_not_touched(trained: Trained) -> None:
    assert torch.equal(*trained.random_numbers)


@pytest.mark.other_cpu
def test_merged(trained: Trained, tmp_path: Path) -> None:
    target = tmp_path / "merged"
    if not trained.case.merged:
        with pytest.raises(ExportError) as caught:
            trained.model.save(target, fmt="merged")
        assert caught.value.why or caught.value.fix
        assert not target.exists()
        return
    before = logits(trained.model)
    trained.model.save(target, fmt="merged")
    assert not (target / "adapter_config.json").exists()
    whole = trained.case.open(target)
    assert whole.adapter is None
    # Logits up to 5; in 16 bits each product is rounded by up to 0.4 %, and a merged weight once more.
    torch.testing.assert_close(logits(whole), before, atol=1e-4 if whole.dtype_name == "float32" else 0.4, rtol=0)
    assert torch.equal(logits(trained.model), before), "the model itself stays as it is"
    assert torch.equal(logits(trained.model, "base"), trained.base_logits)


@pytest.mark.other_cpu
def test_saved_apart_from_the_base(trained: Trained, tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    if not trained.case.adapter:
        with pytest.raises(ExportError) as caught:
            trained.model.save(target, fmt="adapter")
        assert "merged" in caught.value.fix
        return
    trained.model.save(target, fmt="adapter")
    assert not any(path.name.startswith("model") for path in target.iterdir()), "the base is not part of it"
    on_4_bits = trained.case.base == "4bit"
    again = (
        trained.case.open(trained.folder, adapter=target, quantize="4bit") if on_4_bits else trained.case.open(target)
    )
    assert torch.equal(logits(again), logits(trained.model))
    assert sha(again) == sha(trained.model)
    assert torch.equal(logits(again, "base"), trained.base_logits)


def test_another_shape_is_an_error_and_no_false_record(trained: Trained) -> None:
    case = trained.case
    wanted: dict[str, Any] = {"lora_r": 8, "num_virtual_tokens": 7}
    changed = [name for name in wanted if name in methods.get(case.method).fields]
    model = snb.load(trained.run.id)
    before = sha(model)
    runs = len(snb.runs.list())
    for name in changed:
        with pytest.raises(MethodError, match=f"{name}={wanted[name]}"):
            model.train(case.rows, method=case.method, **{**OPTIONS, **case.given(model), name: wanted[name]})
    for other in ("dora", "miss", "prompt", "adapter", "full"):
        same = case.method in (other, "dora") and other == "dora"
        if other != case.method and not same and not (case.base == "4bit" and other in ("miss", "full")):
            with pytest.raises(MethodError, match=f"method='{other}'"):
                model.train(CASES["lora"].rows, method=other, **OPTIONS)
    assert len(snb.runs.list()) == runs, "no run was made"
    assert sha(model) == before
    assert torch.equal(logits(model), logits(trained.model))


def test_a_resume_in_a_worker_is_exact(home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["lora experts pissa"]
    straight = case.train(case.load(byte_model_dir))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = case.train(case.load(byte_model_dir))
    assert (run.status, run.step) == ("stopped", 3)
    again = snb.runs.load(run.id)
    again.resume(executor="process").wait(timeout=120)
    assert again.status == "succeeded", again.error or again.traceback()
    assert curve(again) == curve(straight)
    assert again.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_a_4_bit_adapter_merges_onto_the_16_bit_base(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    case = CASES["qlora"]
    model = case.load(byte_model_dir)
    case.train(model)
    model.save(tmp_path / "adapter")
    plain = snb.load(str(byte_model_dir), adapter=tmp_path / "adapter", dtype="float32")
    plain.save(tmp_path / "merged", fmt="merged")
    torch.testing.assert_close(
        logits(snb.load(str(tmp_path / "merged"), dtype="float32")), logits(plain), atol=1e-4, rtol=0
    )


def test_loftq_starts_closer_to_the_16_bit_weights(home: Path, byte_model_dir: Path) -> None:
    from shadownb.engine.backends.torch import adapters
    from shadownb.engine.backends.torch.adapters.starts import lora_layers, weight_of

    original = dict(snb.load(str(byte_model_dir), dtype="float32").module.named_parameters())
    model = CASES["qlora loftq"].load(byte_model_dir)
    config = snb.TrainConfig(method="qlora", init_lora_weights="loftq", lora_r=8, lora_alpha=24)
    adapter = adapters.prepare(model.module, None, config, adapters.Start("tiny", str(byte_model_dir)))
    layers = list(lora_layers(adapter.module))
    assert len(layers) == 14
    for name, layer in layers:
        wanted = original[f"{name.removeprefix('base_model.model.')}.weight"].float()
        quantised = weight_of(layer)
        started = quantised + layer.get_delta_weight("default").float()
        assert (started - wanted).norm() < 0.9 * (quantised - wanted).norm(), name


def test_pissa_starts_at_the_base_with_its_principal_directions(home: Path, byte_model_dir: Path) -> None:
    from shadownb.engine.backends.torch import adapters
    from shadownb.engine.backends.torch.adapters.starts import lora_layers, weight_of

    model = snb.load(str(byte_model_dir), dtype="float32")
    before = logits(model)
    config = snb.TrainConfig(init_lora_weights="pissa", lora_r=8, lora_dropout=0.5)
    adapter = adapters.prepare(model.module, None, config, adapters.Start("tiny", str(byte_model_dir)))
    model.weights.attach(adapter)
    model.module.eval()
    torch.testing.assert_close(logits(model), before, atol=1e-4, rtol=0)
    for _, layer in lora_layers(adapter.module):
        weight, delta = weight_of(layer), layer.get_delta_weight("default").float()
        best = torch.linalg.svdvals(weight)[8:].norm()  # no matrix of rank 8 is closer
        assert (weight - delta).norm() < 1.05 * best
        assert isinstance(layer.lora_dropout["start"], torch.nn.Identity), "or dropout would break the cancelling"
