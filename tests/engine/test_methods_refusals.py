"""Bad input for each data shape and base requirement: a typed error before training, or a skip that is counted.

After each of them the model is what it was, and the next run works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

import shadownb as snb
from shadownb.engine.backends.torch.adapters import digest
from shadownb.errors import ConfigError, DataError, MethodError, ShadowError, ShadowWarning
from tests.engine.methods_data import CASES, OPTIONS, Case, chats, documents, logits, pairs, stop_after, verdicts

ONE_STEP = {**OPTIONS, "max_steps": 1, "background": False}


def state(model: Any) -> tuple[dict[str, str], list[str], Any]:
    """Return what a refusal must not change: every tensor, every module's type, and what is carried."""
    tensors = {name: digest({"": tensor}) for name, tensor in model.module.state_dict().items()}
    return tensors, [type(module).__name__ for module in model.module.modules()], model.adapter


def refused(model: Any, rows: Any, method: str, kind: type[ShadowError], *said: str, **options: Any) -> ShadowError:
    """Check that a run is refused before it exists, in words that name the cause, and that nothing was changed."""
    before, runs = state(model), len(snb.runs.list())
    with pytest.raises(kind) as caught:
        model.train(rows, method=method, **{**ONE_STEP, **options})
    for words in said:
        assert words in str(caught.value), str(caught.value)
    assert caught.value.fix, "it says no next step"
    assert state(model) == before
    assert len(snb.runs.list()) == runs
    return caught.value


def works(model: Any, method: str = "lora") -> None:
    """Check that the next run on this model works."""
    rows = {"sft": chats(), "dpo": pairs()}["dpo" if method == "dpo" else "sft"]
    assert model.train(rows, method=method, **ONE_STEP).status == "succeeded"


@pytest.fixture
def plain(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), max_length=256, dtype="float32")


@pytest.fixture
def four_bits(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), max_length=256, quantize="4bit", dtype="float32")


# -- the shape of the data ----------------------------------------------------------------------------------------------

WRONG_SHAPE: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "pairs to lora": ("lora", pairs(), "this data is preference"),
    "pairs to full": ("full", pairs(), "this data is preference"),
    "pairs to prompt": ("prompt", pairs(), "this data is preference"),
    "verdicts to lora": ("lora", verdicts(), "this data is unpaired_preference"),
    "chats to dpo": ("dpo", chats(), "dpo needs preference pairs (prompt, chosen, rejected)"),
    "chats to kto": ("kto", chats(), "kto needs answers with a verdict (prompt, completion, label)"),
    "verdicts to dpo": ("dpo", verdicts(), "this data is unpaired_preference"),
    "texts to dpo": ("dpo", documents(), "this data is text"),
    "chats to cpt": ("cpt", chats(), "cpt needs plain text (a column named text)"),
    "answers without a label to kto": (
        "kto",
        [{"prompt": "Hi", "completion": "Hello"} for _ in range(3)],
        "kto needs answers with a verdict",
    ),
}


@pytest.mark.parametrize("name", list(WRONG_SHAPE))
def test_rows_of_another_shape(name: str, plain: Any) -> None:
    method, rows, words = WRONG_SHAPE[name]
    refused(plain, rows, method, MethodError, f"method={method!r}", words)
    works(plain)


@pytest.mark.parametrize(("method", "rows"), [("dpo", pairs()), ("lora", chats())])
def test_evaluation_rows_of_another_shape(method: str, rows: Any, plain: Any) -> None:
    others = pairs() if method == "lora" else chats()
    refused(plain, rows, method, MethodError, "eval_dataset", "this data is", eval_dataset=others)
    works(plain)


BAD_ROWS: dict[str, tuple[str, list[dict[str, Any]], list[dict[str, Any]], str]] = {
    "both sides the same": ("dpo", pairs(), [{"prompt": "Hi", "chosen": "A", "rejected": "A"}], "are the same"),
    "an empty chosen side": ("dpo", pairs(), [{"prompt": "Hi", "chosen": "", "rejected": "A"}], "chosen is empty"),
    "an empty rejected side": ("dpo", pairs(), [{"prompt": "Hi", "chosen": "A", "rejected": " "}], "rejected is empty"),
    "no rejected side": ("dpo", pairs(), [{"prompt": "Hi", "chosen": "A", "rejected": None}], "rejected is missing"),
    "no prompt": ("dpo", pairs(), [{"chosen": "A", "rejected": "B"}], "no prompt"),
    "a side without an answer": (
        "dpo",
        pairs(),
        [{"prompt": "Hi", "chosen": [{"role": "user", "content": "A"}], "rejected": "B"}],
        "chosen has no assistant message",
    ),
    "a label that is no verdict": (
        "kto",
        verdicts(),
        [{"prompt": "Hi", "completion": "A", "label": "maybe"}],
        "most rows are unpaired_preference",
    ),
    "no label": ("kto", verdicts(), [{"prompt": "Hi", "completion": "A"}], "most rows are unpaired_preference"),
    "an empty answer": ("kto", verdicts(), [{"prompt": "Hi", "completion": "", "label": True}], "completion is empty"),
    "an empty text": ("cpt", documents(), [{"text": "  "}], "text is empty"),
    "a chat without an answer": (
        "lora",
        chats(),
        [{"messages": [{"role": "user", "content": "Hi"}]}],
        "no assistant message",
    ),
}


@pytest.mark.parametrize("name", list(BAD_ROWS))
def test_rows_that_cannot_be_used_are_left_out_and_counted(name: str, plain: Any) -> None:
    method, good, bad, reason = BAD_ROWS[name]
    data = snb.Dataset.from_list(good + bad)
    assert [row.index for row in data.report.bad] == [len(good)]
    assert reason in str(data.report.bad[0])
    with pytest.warns(ShadowWarning, match=f"1 of {len(good) + 1} rows"):
        run = plain.train(data, method=method, **ONE_STEP)
    assert run.status == "succeeded"
    warning = next(w for w in run.state.warnings if w["code"] == "data")
    assert f"1 of {len(good) + 1} rows" in warning["what"]
    assert next(e for e in run.events() if e["type"] == "plan")["rows"] >= len(good)


@pytest.mark.parametrize("name", [name for name, case in BAD_ROWS.items() if case[0] == "dpo" and name != "no prompt"])
def test_only_such_rows_are_an_error(name: str, plain: Any) -> None:
    method, _, bad, reason = BAD_ROWS[name]
    refused(plain, snb.Dataset.from_list(bad, format="preference"), method, DataError, reason)
    works(plain, method)


LONG_PROMPT = "Please tell me at length. " * 20
TOO_LONG = {
    "lora": {"messages": [{"role": "user", "content": LONG_PROMPT}, {"role": "assistant", "content": "No."}]},
    "dpo": {"prompt": LONG_PROMPT, "chosen": "Yes.", "rejected": "No."},
    "kto": {"prompt": LONG_PROMPT, "completion": "No.", "label": False},
}


@pytest.mark.parametrize("method", list(TOO_LONG))
def test_a_prompt_longer_than_max_seq_length_is_left_out_and_counted(method: str, plain: Any) -> None:
    good = {"lora": chats, "dpo": pairs, "kto": verdicts}[method]()
    run = plain.train([*good, TOO_LONG[method]], method=method, max_length=128, **ONE_STEP)
    assert run.status == "succeeded"
    warning = next(w for w in run.state.warnings if w["code"] == "rows-skipped")
    assert "1 of 9 rows" in warning["what"] and "max_length=128" in warning["why"]
    assert next(e for e in run.events() if e["type"] == "plan")["rows"] == len(good)


@pytest.mark.parametrize("method", list(TOO_LONG))
def test_nothing_but_such_prompts_is_an_error(method: str, plain: Any) -> None:
    before = state(plain)
    with pytest.raises(DataError, match="No row of 'list' has a token to train") as caught:
        plain.train([TOO_LONG[method]] * 2, method=method, max_length=128, **ONE_STEP)
    assert "max_length=128" in caught.value.why
    assert state(plain) == before
    works(plain)


# -- what a method needs of the base ------------------------------------------------------------------------------------


def test_qlora_needs_a_4_bit_base(plain: Any) -> None:
    refused(plain, chats(), "qlora", MethodError, "needs a base in 4 or 8 bits", 'quantize="4bit"')
    works(plain)


@pytest.mark.parametrize("method", ["full", "bitfit", "miss", "shira"])
def test_what_changes_base_weights_needs_them_whole(method: str, four_bits: Any) -> None:
    refused(four_bits, chats(), method, MethodError, f"method={method!r}", "4bit", "shadownb.load(")


def test_a_4_bit_base_works_after_a_refusal(four_bits: Any) -> None:
    refused(four_bits, chats(), "full", MethodError)
    works(four_bits, "qlora")


@pytest.mark.parametrize("method", ["adapter", "prompt", "ptuning", "lora", "dora", "dpo"])
def test_what_leaves_the_base_alone_trains_on_4_bits(method: str, four_bits: Any) -> None:
    before = logits(four_bits)
    works(four_bits, method)
    assert torch.equal(logits(four_bits, "base"), before)


def test_bitfit_says_what_works_on_a_base_without_biases(plain: Any) -> None:
    error = refused(plain, chats(), "bitfit", MethodError, "llama has none")
    assert "method='lora'" in error.fix and "lora_r=1" in error.fix and "target_modules='attention'" in error.fix
    advised = {"lora_r": 1, "target_modules": "attention"}
    assert plain.train(chats(), method="lora", **ONE_STEP, **advised).status == "succeeded"


def test_loftq_needs_a_4_bit_base(plain: Any) -> None:
    refused(plain, chats(), "lora", MethodError, "init_lora_weights='loftq'", "4 bits", init_lora_weights="loftq")
    works(plain)


TOO_LARGE: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    # Of the layers of the tiny base k_proj (64 to 32) and v_proj are the smallest: 64 * 32 // (64 + 32) = 21.
    "shira": ("shira", {"lora_r": 22}, {"lora_r": 21}, "at most 21 on model.layers.0.self_attn.k_proj"),
    "miss": ("miss", {"lora_r": 65}, {"lora_r": 64}, "at most 64 on model.layers.0.self_attn.q_proj"),
    "pissa": (
        "lora",
        {"lora_r": 33, "init_lora_weights": "pissa"},
        {"lora_r": 32, "init_lora_weights": "pissa"},
        "at most 32 on model.layers.0.self_attn.k_proj",
    ),
    "prompt": ("prompt", {"num_virtual_tokens": 1024}, {"num_virtual_tokens": 100}, "this model has 1024 positions"),
    "ptuning": ("ptuning", {"num_virtual_tokens": 1100}, {"num_virtual_tokens": 100}, "this model has 1024 positions"),
}


@pytest.mark.parametrize("name", list(TOO_LARGE))
def test_a_size_that_the_base_cannot_take(name: str, plain: Any) -> None:
    method, large, largest, words = TOO_LARGE[name]
    option, value = next(iter(large.items()))
    refused(plain, chats(), method, MethodError, f"{option}={value}", words, **large)
    assert plain.train(chats(), method=method, **ONE_STEP, **largest).status == "succeeded"


def test_a_rank_can_be_large_where_its_layers_are(plain: Any) -> None:
    run = plain.train(chats(), method="shira", lora_r=30, target_modules=("gate_proj",), **ONE_STEP)
    assert run.status == "succeeded"


def test_layers_that_are_not_there(plain: Any) -> None:
    refused(plain, chats(), "miss", MethodError, "query", "q_proj", target_modules=("query",))
    works(plain)


# -- options ------------------------------------------------------------------------------------------------------------

NO_EFFECT = [
    ("lora", "loss_type", "ipo"),
    ("lora", "beta", 0.3),
    ("kto", "loss_type", "ipo"),
    ("dpo", "desirable_weight", 2.0),
    ("dpo", "packing", True),
    ("dpo", "loss_on", "all"),
    ("adapter", "lora_alpha", 8),
    ("full", "lora_r", 8),
    ("prompt", "lora_r", 8),
    ("bitfit", "num_virtual_tokens", 8),
    ("dora", "init_lora_weights", "pissa"),
    ("miss", "use_rslora", True),
]


@pytest.mark.parametrize(("method", "option", "value"), NO_EFFECT)
def test_an_option_of_another_method(method: str, option: str, value: Any, plain: Any) -> None:
    rows = {"dpo": pairs, "kto": verdicts}.get(method, chats)()
    refused(plain, rows, method, ConfigError, f"{option}={value!r} has no effect", method, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"), [("beta", 0), ("beta", -1), ("loss_type", "sigmod"), ("lora_r", 0), ("num_virtual_tokens", 0)]
)
def test_a_value_out_of_range(option: str, value: Any, plain: Any) -> None:
    method = "prompt" if option == "num_virtual_tokens" else "dpo"
    refused(plain, pairs(), method, ConfigError, f"{option}={value!r}", **{option: value})


@pytest.mark.parametrize("method", ["prompt", "ptuning"])
@pytest.mark.parametrize("began", ["", "Name it."])
def test_a_prompt_that_is_there_cannot_start_from_another_text(
    began: str, method: str, plain: Any, byte_model_dir: Path, tmp_path: Path
) -> None:
    given = {"prompt_tuning_init_text": began} if began else {}
    plain.train(chats(), method=method, **ONE_STEP, num_virtual_tokens=4, **given)
    loaded = snb.load(str(byte_model_dir), adapter=plain.save(tmp_path / "prompt"), dtype="float32")
    for model in (plain, loaded):
        said = ("prompt_tuning_init_text='Count.'", f"carries a learned prompt with prompt_tuning_init_text={began!r}")
        refused(model, chats(), method, MethodError, *said, prompt_tuning_init_text="Count.")
        run = model.train(chats(), method=method, **ONE_STEP)
        assert run.state.record["config"]["prompt_tuning_init_text"] == began
        assert model.train(chats(), method=method, **ONE_STEP, **given).status == "succeeded", "it is that prompt"


@pytest.mark.parametrize("on", ["its model", "a model with another prompt"])
def test_a_prompt_that_began_with_a_text_is_resumed(
    on: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("prompt", {"num_virtual_tokens": 4, "prompt_tuning_init_text": "Name it."})
    model = case.load(byte_model_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = case.train(model)
    assert (run.status, run.step) == ("stopped", 2), run.error
    if on == "a model with another prompt":
        model = case.load(byte_model_dir)
        assert case.train(model, prompt_tuning_init_text="Count.").status == "succeeded"
    run.resume(model).wait(timeout=60)
    assert run.status == "succeeded", run.error or run.traceback()
    assert model.adapter.shape()["prompt_tuning_init_text"] == "Name it."


# -- an adapter that fails while it is put on ------------------------------------------------------------------------------


class Broken(Exception):
    """What goes wrong half-way."""


HALF_WAY = {
    "lora": "shadownb.engine.backends.torch.adapters.lora._initialise",
    "lora pissa": "shadownb.engine.backends.torch.adapters.pissa.weight_of",
    "lora embeddings": "shadownb.engine.backends.torch.adapters.lora._initialise",
    "qlora loftq": "shadownb.engine.backends.torch.adapters.lora.make_up_for_quantisation",
    "miss": "shadownb.engine.backends.torch.adapters.layered.LayerAdapter.unfreeze",
    "shira": "shadownb.engine.backends.torch.adapters.layered.LayerAdapter.unfreeze",
    "adapter": "shadownb.engine.backends.torch.adapters.bottleneck.BottleneckAdapter.unfreeze",
    "ptuning": "shadownb.engine.backends.torch.adapters.prompts.PromptAdapter._start_from",
    "bitfit": "shadownb.engine.backends.torch.adapters.biases.BiasAdapter.unfreeze",
}


@pytest.mark.parametrize("name", list(HALF_WAY))
def test_the_base_is_bare_again_after_half_a_surface(
    name: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case: Case = CASES[name]
    model = case.load(byte_model_dir)
    before, answer = state(model), logits(model)

    def fail(*_: Any) -> None:
        raise Broken(f"{name} broke")

    with monkeypatch.context() as patch:
        patch.setattr(HALF_WAY[name], fail)
        run = case.train(model)
    assert run.status == "failed"
    assert f"{name} broke" in str(run.error)
    assert state(model) == before
    assert not any(isinstance(module, BaseTunerLayer) for module in model.module.modules())
    assert not hasattr(model.module, "peft_config")
    assert torch.equal(logits(model), answer)
    same, why = model.verify_base()
    assert same, why
    # And another method finds a base that is as good as new.
    expected = case.train(case.load(byte_model_dir))
    again = case.train(model)
    assert again.status == "succeeded", again.error or again.traceback()
    assert again.losses() == expected.losses()


def test_what_was_trained_survives_a_run_that_fails(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure before the first step leaves the adapter of the run before."""
    plain.train(chats(), method="lora", **{**ONE_STEP, "learning_rate": 0.01})
    before, answer, trained = state(plain), logits(plain), plain.trained

    def fail(*_: Any) -> None:
        raise Broken("no reference")

    with monkeypatch.context() as patch:
        patch.setattr("shadownb.engine.objectives.reference.Referenced.prepare", fail)
        run = plain.train(pairs(), method="dpo", **{**ONE_STEP, "background": True}).wait(timeout=60)
    assert run.status == "failed"
    assert (state(plain), plain.trained) == (before, trained)
    assert torch.equal(logits(plain), answer)
    works(plain, "dpo")
