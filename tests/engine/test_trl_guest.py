"""trl's trainers as methods: the run is looked at, stopped, resumed and loaded like any other, and nobody else notices it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.engine.progress_bars import DATASETS, HUB
from shadownb.errors import ConfigError, DataError, MethodError, NonFiniteLossError
from shadownb.panels import RunPanel
from tests.engine.conftest import until
from tests.engine.methods_data import COLOURS, OPTIONS, chats, pairs, verdicts

SHORT: dict[str, Any] = {**OPTIONS, "lora_r": 4, "background": False, "start": "base"}
ANSWERS: dict[str, Any] = {
    "max_completion_length": 6,
    "num_generations": 2,
    "per_device_train_batch_size": 2,
    "max_steps": 2,
}
REWARD = "tests.engine.trl_rewards:shortness"


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Iterator[Any]:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    yield model
    while (run := model.active_run) is not None:
        run.discard()
        run.wait(timeout=60)


def digest(run: Any) -> str:
    return str(run.checkpoint_at().manifest["trained_sha256"])


def asked() -> list[dict[str, Any]]:
    """Questions with a column that a reward reads, and what a teacher is told."""
    return [
        {**row, "colour": COLOURS[n % 5], "privileged_context": f"It is {COLOURS[n % 5]}."}
        for n, row in enumerate(chats())
    ]


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "orpo": (pairs(), {"beta": 0.2}),
    "cpo": (pairs(), {"loss_type": "simpo", "cpo_alpha": 0.0}),
    "dpo": (pairs(), {}),
    "sft": (chats(), {}),
    "kto": (verdicts(), {}),
    "sdft": (without(asked(), "colour"), ANSWERS),
    "online_dpo": (chats(), {"max_new_tokens": 6, "reward_funcs": [REWARD], "max_steps": 2}),
    "grpo": (
        without(asked(), "privileged_context"),
        {**ANSWERS, "reward_funcs": "tests.engine.trl_rewards:names_the_colour", "reward_columns": "colour"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_trainer_is_a_method(model: Any, name: str) -> None:
    rows, options = CASES[name]
    run = model.train(rows, method=f"trl:{name}", **{**SHORT, **options})
    assert run.status == "succeeded", run.traceback()
    steps = run.total_steps
    assert [row["step"] for row in run.metrics] == list(range(1, steps + 1))
    assert all(np.isfinite(row["loss"]) and row["grad_norm"] is not None for row in run.metrics)
    assert run.checkpoint_at().step == steps and model.trained == (run.id, steps)
    assert list(model.module.peft_config) == ["default"]
    assert digest(run) == adapters.digest(model.adapter.owned()), (
        "what is saved is what the model has, and nothing else"
    )
    assert run.state.record["actual_setup"]["trainer"].startswith("trl.")
    assert run.state.record["config"]["method"] == f"trl:{name}"


@pytest.mark.parametrize("name", ["orpo", "sft", "kto"])
def test_its_steps_are_what_trl_makes_of_them_alone(
    model: Any, name: str, tmp_path: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same trainer on a model of its own, with the run's adapter and rows, comes to the same loss and weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from shadownb.engine.backends.trl import known
    from shadownb.engine.backends.trl.rows import as_table, shaped

    rows, options = CASES[name]
    first = model.train(rows, method=f"trl:{name}", **{**SHORT, **options, "max_steps": 1, "learning_rate": 1e-12})
    begin = tmp_path / "begin"
    model.save(begin)
    run = model.train(rows, method=f"trl:{name}", **{**SHORT, **options, "start": "trained", "max_steps": 3})
    assert run.metrics[0]["loss"] == pytest.approx(first.metrics[0]["loss"], rel=1e-5)

    here = known.found(name)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *_, **__: None)
    alone = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(byte_model_dir, dtype=torch.float32), begin, is_trainable=True
    )
    arguments = here.config_class()(
        output_dir=str(tmp_path / "alone"), max_steps=3, learning_rate=run.config.resolved_learning_rate(), warmup_steps=0,
        per_device_train_batch_size=4, gradient_accumulation_steps=1, gradient_checkpointing=False, bf16=False, use_cpu=True,
        seed=run.config.seed, max_length=256, weight_decay=0.01, logging_steps=1, report_to="none", save_strategy="no",
        disable_tqdm=True, **options,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(byte_model_dir)
    table = as_table(shaped(snb.Dataset(rows).canonical_rows(), known.TRAINERS[name], ()))
    trainer = here.trainer_class()(model=alone, args=arguments, train_dataset=table, processing_class=tokenizer)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert [row["loss"] for row in run.metrics] == pytest.approx(losses, rel=1e-5)


def test_the_panel_shows_it(model: Any) -> None:
    run = model.train(pairs(), method="trl:orpo", eval_dataset=pairs(4), eval_steps=2, **SHORT)
    panel = RunPanel(run)
    status = json.dumps({name: getattr(panel, name) for name in ("status", "record")}, default=str)
    assert "succeeded" in status and "ORPOTrainer" in status
    assert {"loss", "rewards_margin", "nll_loss"} <= set(run.state.series)
    assert [step for step, _ in run.state.evals.points] == [2, 4]
    assert run.state.best is not None and run.state.eta_s == 0.0


def test_it_is_stopped_within_a_step_resumed_and_read_by_another_process(
    model: Any, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    whole = model.train(pairs(), method="trl:orpo", **{**SHORT, "max_steps": 6})
    run = model.train(pairs(), method="trl:orpo", **{**SHORT, "max_steps": 6, "background": True, "lora_r": 4})
    run.wait(timeout=60)
    assert digest(run) == digest(whole)

    class Stopping(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                snb.runs.latest().stop()

    run = model.train(pairs(), method="trl:orpo", callbacks=[Stopping()], **{**SHORT, "max_steps": 6})
    assert (run.status, run.step) == ("stopped", 3), run.traceback()
    assert not list((run.checkpoint_at().path).rglob("*.p[kt]*")), "a checkpoint holds no pickle"
    run.resume().wait(timeout=60)
    assert (run.status, run.step) == ("succeeded", 6), run.traceback()
    assert [row["loss"] for row in run.metrics] == pytest.approx([row["loss"] for row in whole.metrics], rel=1e-6)
    code = (
        "import sys, shadownb as snb\n"
        f"model = snb.load({run.id!r})\n"
        "print(repr(model.generate('Colour number 1?', temperature=0, max_new_tokens=6)))"
    )
    read = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SHADOWNB_HOME": str(home)},
    )
    assert read.returncode == 0, read.stderr
    assert read.stdout.strip().splitlines()[-1] == repr(
        model.generate("Colour number 1?", temperature=0, max_new_tokens=6)
    )


def test_the_reference_of_a_resume_is_that_of_the_start(model: Any) -> None:
    """trl copies the adapter that it finds as its reference; at a resume that would be the one half trained."""
    options = {**SHORT, "max_steps": 4, "learning_rate": 1e-2}
    whole = model.train(pairs(), method="trl:dpo", **options)
    run = model.train(pairs(), method="trl:dpo", callbacks=[_stop_at(2)], **options)
    assert (run.status, run.step) == ("stopped", 2)
    run.resume().wait(timeout=60)
    after = [row["rewards_margin"] for row in run.metrics]
    assert after == pytest.approx([row["rewards_margin"] for row in whole.metrics], rel=1e-4)


def _stop_at(step: int) -> TrainerCallback:
    class Stopping(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                snb.runs.latest().stop()

    return Stopping()


def test_a_pause_and_answers_in_between(model: Any) -> None:
    run = model.train(pairs(), method="trl:cpo", **{**SHORT, "background": True, "max_steps": 4000})
    until(run, lambda state: state.step >= 2)
    said = model.chat([{"role": "user", "content": "Colour number 1?"}], max_new_tokens=4)
    assert said is not None and run.is_active
    run.pause()
    step = until(run, lambda state: state.status == "paused").step
    assert model.gate.holder is None and run.checkpoints(), "the weights are free, and on disk"
    run.resume()
    until(run, lambda now: now.step > step)
    run.discard()
    run.wait(timeout=60)
    assert run.status == "discarded" and not run.checkpoints() and model.adapter is None


def test_callbacks_are_trls_own(model: Any) -> None:
    seen: list[str] = []

    class Noting(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen.append(f"begin {state.global_step}")

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen.append(f"save {state.global_step}")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "rewards/margins" in (logs or {}):
                seen.append(f"log {state.global_step}")

    model.train(pairs(), method="trl:cpo", callbacks=[Noting()], **{**SHORT, "max_steps": 2, "save_steps": 1})
    assert seen == ["begin 0", "log 1", "save 1", "begin 1", "log 2", "save 2"]


def process_and_model(model: Any) -> dict[str, Any]:
    """Return what a training has to leave as it was, in the process and on the model."""
    from accelerate.state import AcceleratorState, PartialState
    from transformers.utils import logging as transformers

    base = model.module.get_base_model()
    return {
        "environment": dict(os.environ),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),  # type: ignore[index]
        "accelerate": (dict(AcceleratorState._shared_state), dict(PartialState._shared_state)),
        "verbosity": transformers.get_verbosity(),
        "bars": (HUB.are_on(), DATASETS.are_on()),
        "warnings": list(warnings.filters),
        "config": (base.config.to_dict(), base.generation_config.to_dict()),
        "forward": {name for name, part in base.named_modules() if "forward" in vars(part)},
        "hooks": sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in base.modules()),
        "tokenizer": (model.tokenizer.pad_token, model.tokenizer.padding_side, model.tokenizer.chat_template),
    }


def test_nothing_is_sent_printed_or_left_changed(
    model: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.utils
    import trl.trainer.base_trainer

    sent: list[Any] = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")  # our own line, which a long wait shows
    for module in (trl.trainer.base_trainer, huggingface_hub.utils):
        monkeypatch.setattr(module, "send_telemetry", lambda *given, **named: sent.append((given, named)))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # would make another training of it
    plain = model.train(chats(), method="lora", **SHORT)
    model.train(chats(), method="lora", **SHORT)
    before = process_and_model(model)
    capfd.readouterr()
    told = {"gradient_checkpointing": "on", "precompute_ref_log_probs": True}
    run = model.train(pairs(), method="trl:dpo", **told, **SHORT)
    assert run.state.record["actual_setup"]["autocast"] == "no"
    assert capfd.readouterr() == ("", "")
    after = process_and_model(model)
    for name, value in before.items():
        assert after[name] == value, name
    assert sent == []
    assert digest(model.train(chats(), method="lora", **SHORT)) == digest(plain), "the next run is another one"


def test_dropout_and_forward_methods_that_were_there_are_there_again(model: Any) -> None:
    model.train(chats(), method="lora", lora_dropout=0.2, **SHORT)
    base = model.module.get_base_model()
    base.forward = own = types.MethodType(type(base).forward, base)  # as a fused kernel is put on a model
    run = model.train(pairs(), method="trl:dpo", **SHORT | {"start": "trained", "max_steps": 1})
    assert run.metrics[0]["loss"] == pytest.approx(np.log(2), rel=1e-6), "trl's DPO switches dropout off"
    assert {part.p for part in model.module.modules() if isinstance(part, torch.nn.Dropout)} == {0.2}
    assert base.forward is own


def test_a_gradient_that_is_not_finite_ends_it_before_the_weights_move(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.experimental.cpo import CPOTrainer

    plain = CPOTrainer.compute_loss

    def broken(self: Any, *given: Any, **named: Any) -> Any:
        loss = plain(self, *given, **named)
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(CPOTrainer, "compute_loss", broken)
    with pytest.raises(NonFiniteLossError, match="after step 2"):
        model.train(pairs(), method="trl:cpo", **SHORT)
    run = snb.runs.latest()
    assert run.status == "failed" and model.trained == (run.id, 2), "the newest checkpoint's weights are there again"


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("trl:orppo", {}, "not a trainer of trl .* Did you mean 'orpo'"),
        ("trl:reward", {}, "one number instead of words"),
        ("trl:async_grpo", {}, "vLLM server"),
        ("trl:orpo", {"betta": 0.2}, "betta=0.2 is not a training option. Did you mean 'beta'"),
        ("trl:orpo", {"beta": "much"}, "beta='much'"),
        ("trl:orpo", {"push_to_hub": True}, "nothing of a run leaves this machine"),
        ("trl:orpo", {"max_tokens_per_forward": 512}, "max_tokens_per_forward=512 has no effect"),
        ("trl:orpo", {"packing": True}, "packing=True"),
        ("trl:orpo", {"optim": "torch.optim:SGD"}, "by their names in transformers"),
        ("trl:dpo", {"init_lora_weights": "pissa"}, "init_lora_weights='pissa' has no effect"),
        ("trl:dpo", {"lora_dropout": 0.1}, "disable_dropout is on"),
        ("trl:iw_opd", {"teacher_model_server_url": "http://x"}, "nothing of a run leaves this machine"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(model: Any, method: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, MethodError), match=told):
        model.train(pairs(), method=method, **SHORT | options)
    assert not snb.runs.list(), "nothing was begun"


def test_rows_of_another_shape_are_refused_with_what_is_wanted(model: Any) -> None:
    with pytest.raises(MethodError, match=r"needs preference pairs \(prompt, chosen, rejected\); this data is chat"):
        model.train(chats(), method="trl:orpo", **SHORT)
    with pytest.raises(DataError, match="privileged_context"):
        model.train(chats(), method="trl:sdft", **SHORT)
    with pytest.raises(ConfigError, match="needs reward_funcs"):
        model.train(chats(), method="trl:grpo", **SHORT)
    with pytest.raises(ConfigError, match="computes no loss of evaluation rows"):
        model.train(chats(), method="trl:online_dpo", reward_funcs=[REWARD], eval_dataset=chats(2), **SHORT)
    with pytest.raises(ConfigError, match="does not take these options"):
        model.train(chats(), method="trl:grpo", reward_funcs=[REWARD], num_generations=3, **SHORT)
    assert not snb.runs.list()


def test_an_answer_is_trained_alone_and_several_are_told(model: Any) -> None:
    run = model.train(chats(), method="trl:sft", **{**SHORT, "max_steps": 1})
    assert not run.state.warnings
    turns = [{"messages": [*row["messages"], *row["messages"][1:]]} for row in chats()]
    run = model.train(turns, method="trl:sft", **{**SHORT, "max_steps": 1})
    assert [warning["code"] for warning in run.state.warnings] == ["every-token"]


def test_tools_that_a_table_would_pad_reach_the_template_as_they_are() -> None:
    from shadownb.engine.backends.trl import known
    from shadownb.engine.backends.trl.rows import as_table, shaped
    from tests.engine.methods_data import tool_chat

    other = tool_chat()
    other["messages"][4]["tool_calls"][0]["function"]["arguments"] = '{"town": "Rome", "days": 2}'
    rows = snb.Dataset([tool_chat(), other, *chats(2)]).canonical_rows()
    made = shaped(rows, known.TRAINERS["sft"], ())
    assert list(as_table(made)) == made


def test_rows_of_which_nothing_is_left_are_told(home: Path, byte_model_dir: Path) -> None:
    short = snb.load(str(byte_model_dir), dtype="float32", max_length=64)
    endless = {"prompt": "Q" * 200, "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match="leaves out all 3 rows"):
        short.train([endless] * 3, method="trl:dpo", **SHORT)
    run = short.train([endless, {"prompt": "Q", "chosen": "a", "rejected": "b"}], method="trl:dpo", **SHORT)
    assert [warning["what"] for warning in run.state.warnings] == ["trl's DPOTrainer leaves out 1 of 2 rows."]


@pytest.mark.parametrize("name", ["sft", "orpo", "dpo"])
def test_rows_that_are_cut_are_counted(home: Path, byte_model_dir: Path, name: str) -> None:
    """trl cuts them and says nothing; where nothing of an answer is left, orpo's loss would be NaN."""
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=64)
    rows = [
        {"prompt": "Q", "chosen": "a", "rejected": "b"},
        {"prompt": "Q", "chosen": "a" * 90, "rejected": "b"},
        {"prompt": "Q" * 90, "chosen": "a", "rejected": "b"},
    ]
    if name == "sft":
        rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    run = model.train(rows, method=f"trl:{name}", eval_dataset=rows[:2], **SHORT)
    assert {warning["code"]: warning["what"] for warning in run.state.warnings} == {
        "rows-skipped": f"trl's {run.state.record['actual_setup']['trainer'].split()[0][4:]} leaves out 1 of 3 rows.",
        "rows-truncated": "1 of 2 evaluation rows are longer than max_length=64 and are cut.",
    }
    assert [warning["what"] for warning in run.state.warnings if warning["code"] == "rows-truncated"] == [
        "1 of 3 rows are longer than max_length=64 and are cut.",
        "1 of 2 evaluation rows are longer than max_length=64 and are cut.",
    ]


@pytest.mark.parametrize(
    "loaded", [{"dtype": "bfloat16"}, {"dtype": "float32", "quantize": "4bit"}], ids=["bf16", "4bit"]
)
@pytest.mark.parametrize("name", ["sft", "orpo"])
def test_the_adapter_is_trained_in_32_bits_whatever_its_base_is(
    home: Path, byte_model_dir: Path, name: str, loaded: dict[str, Any]
) -> None:
    """trl makes an adapter of 16 bits on a 4-bit base, in which small updates are lost."""
    model = snb.load(str(byte_model_dir), max_length=256, **loaded)
    run = model.train(CASES[name][0], method=f"trl:{name}", **{**SHORT, "max_steps": 2})
    assert run.state.record["actual_setup"]["trained_dtypes"] == ["float32"]
    assert {str(tensor.dtype) for tensor in model.adapter.owned().values()} == {"torch.float32"}


def test_a_file_of_that_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that is called trl.py hides the package."""
    (tmp_path / "trl.py").write_text("", encoding="utf-8")
    command = [sys.executable, "-c", "import shadownb as snb; snb.methods.get('trl:sft')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "which is not the package trl" in done.stderr and "Rename that file" in done.stderr


def test_the_list_of_trainers_says_what_a_resume_is_and_whom_the_data_suits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from shadownb.cli import main

    file = snb.Dataset(pairs()).save(tmp_path / "pairs.jsonl")
    assert main(["methods", "--trl", "--data", str(file)]) == 0
    told = capsys.readouterr().out.strip()
    assert "the same training but not the same bits" in told.splitlines()[-1]
    usable = {line.split()[0]: line for line in told.splitlines() if line.startswith("trl:")}
    assert usable["trl:orpo"].endswith("yes") and "this data is preference" in usable["trl:sft"]


def test_a_tracker_hears_of_its_steps(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations import integration_utils

    heard: list[float] = []

    class Tracker(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            heard.extend([logs["loss"]] if "loss" in logs else [])

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "remembering", Tracker)
    run = model.train(pairs(), method="trl:orpo", report_to="remembering", **SHORT)
    assert heard == pytest.approx(run.losses(), abs=1e-3)


def test_nothing_is_estimated_of_it(model: Any) -> None:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.estimate import estimate

    with pytest.raises(MethodError, match="is not estimated"):
        estimate(model, TrainConfig(method="trl:orpo"), snb.Dataset(pairs()))


def test_its_options_are_read_from_a_file_and_kept_in_a_record(model: Any, tmp_path: Path) -> None:
    from shadownb._verbs import FrontEnd
    from shadownb._verbs.train import read_yaml

    text = "method: trl:cpo\nloss_type: simpo\ncpo_alpha: 0.5\n"
    assert read_yaml(text, FrontEnd.__new__(FrontEnd)) == {"method": "trl:cpo", "loss_type": "simpo", "cpo_alpha": 0.5}
    config = snb.TrainConfig(method="trl:cpo", loss_type="simpo", cpo_alpha=0.5)
    assert config.changed == {"method": "trl:cpo", "loss_type": "simpo", "cpo_alpha": 0.5}
    assert snb.TrainConfig.from_yaml(config.to_yaml()) == config
    run = model.train(pairs(), method="trl:cpo", loss_type="simpo", cpo_alpha=0.5, **SHORT | {"max_steps": 1})
    assert snb.runs.load(run.id).config.cpo_alpha == 0.5


def test_a_worker_process_trains_it(model: Any) -> None:
    run = model.train(pairs(), method="trl:orpo", executor="process", **{**SHORT, "background": True})
    run.wait(timeout=100)
    assert run.status == "succeeded", run.traceback()
    here = model.train(pairs(), method="trl:orpo", **SHORT)
    assert digest(here) == digest(run)


def test_guests_are_listed_and_not_in_the_picker() -> None:
    listed = {method.name: method for method in snb.methods.guests()}
    assert {"trl:orpo", "trl:cpo", "trl:sdft", "trl:grpo", "trl:gold"} <= set(listed)
    assert "privileged_context" in listed["trl:sdft"].data_shape and listed["trl:reward"].unusable
    assert not any(":" in spec.name for spec in snb.methods.available())
    code = "import sys, shadownb; shadownb.methods.guests(); print(sorted({'torch', 'trl', 'transformers'} & set(sys.modules)))"
    read = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert read.stdout.strip() == "[]", "to list them imports nothing"
