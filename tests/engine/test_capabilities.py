"""The capability table is derived, refuses what has no effect, and what it says is honoured changes something."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

import shadownb as snb
from shadownb import errors
from shadownb.engine import capabilities, methods, objectives
from shadownb.engine.config import TrainConfig
from shadownb.engine.config_fields import config_fields
from shadownb.engine.config_objectives import option_names
from shadownb.engine.loaded.backends import backend
from shadownb.engine.objectives.policy.options import PolicyOptions
from shadownb.engine.objectives.policy.ppo_options import PpoOptions
from shadownb.engine.objectives.reward import RewardOptions
from shadownb.engine.objectives.teaching.options import DistillOptions, SdftOptions
from shadownb.engine.runs import Run
from tests.waiting import wait_for

LORA = methods.get("lora")
LORA_FIELDS = backend().fields | set(objectives.get("sft").fields) | set(LORA.fields)
HONOURED = {name for row in capabilities.table().values() for name, honoured in row.items() if honoured}

# -- the table ----------------------------------------------------------------------------------------------------------


def test_the_table_has_every_method_and_every_option() -> None:
    table = capabilities.table()
    assert set(table) == {spec.name for spec in methods.available()}
    for row in table.values():
        assert set(row) == set(option_names())
    assert {name for name, honoured in table["lora"].items() if honoured} == LORA_FIELDS


def test_a_method_that_is_registered_gets_its_column() -> None:
    spec = methods.register(LORA.replace(name="narrow", fields=("lora_r", "beta")))
    try:
        row = capabilities.table()["narrow"]
        assert row["lora_r"]
        assert row["beta"]
        assert not row["lora_alpha"]
        capabilities.check(TrainConfig(method="narrow", beta=0.5))
        with pytest.raises(errors.ConfigError, match=r"lora_alpha=7 has no effect: narrow .*lora, qlora, dora"):
            capabilities.check(TrainConfig(method="narrow", lora_alpha=7))
        assert "narrow" in str(capabilities.supported_fields("lora")["beta"]), "who uses it is said"
    finally:
        methods.unregister(spec.name)
    assert "narrow" not in capabilities.table()


def other_value(name: str) -> Any:
    """A valid value of an option that is not its default."""
    option = next(option for option in config_fields() if option.name == name)
    if name in OTHER:
        return OTHER[name]
    if option.default is None or option.kind in ("str", "list"):
        value = CASES[name].value
        return "a-folder" if callable(value) else value
    if option.kind == "float":
        return option.default / 2
    if option.kind == "bool":
        return not option.default
    if option.kind == "choice":
        return option.choices[-1]
    assert option.kind == "int", f"say what {name} can be set to"
    return option.default + 1


OTHER: dict[str, Any] = {
    "target_modules": "mlp",
    "lora_dropout": 0.5,
    "sft_weight": 0.5,
    "early_stopping_threshold": 0.1,
    "question_forms": 1,
    "assistant_only_loss": True,
    "prompt_tuning_init_text": "Count.",
    "reward_fns": ("exact",),
    "reward_weights": (1.0,),
    "loss_type": "hinge",
    "epsilon_high": 0.3,
    "delta": 4.0,
    "max_kl": 1.0,
    "environment": "tests.environments.worlds:Counting",
    "teacher": "a-folder",
    "teacher_model": "a-model",
    "teacher_prompt_template": "{prompt} {privileged_context}",
    "missing_eos_penalty": 1.0,
    "value_learning_rate": 1e-3,
    "center_rewards_coefficient": 0.01,
    "margin_column": "margin",
}


UNSUPPORTED = [
    (spec.name, name)
    for spec in methods.available()
    for name, reason in capabilities.supported_fields(spec.name).items()
    if reason is not None
]


@pytest.mark.parametrize(("method", "name"), UNSUPPORTED)
def test_an_option_without_effect_is_refused_by_name(method: str, name: str) -> None:
    value = other_value(name)
    with pytest.raises(errors.ConfigError, match=f"{name}=.* has no effect: {method}"):
        capabilities.check(TrainConfig(method=method, **{name: value}))
    capabilities.check(TrainConfig(method=method, **{name: getattr(TrainConfig(method=method), name)}))


# -- every honoured option changes something ----------------------------------------------------------------------------

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Count to {n}."},
            {"role": "assistant", "content": " ".join(f"number{i}" for i in range(n + 2))},
        ]
    }
    for n in range(8)
]
HELD_OUT = [
    {"messages": [{"role": "user", "content": "Count."}, {"role": "assistant", "content": f"number{n}"}]}
    for n in range(2)
]
PAIRS = [{"prompt": f"Count to {n}.", "chosen": f"1 to {n}", "rejected": f"No, not to {n}."} for n in range(8)]
BASE: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "eval_steps": 2,
    "save_steps": 2,
    "save_total_limit": 10,
    "sample_max_new_tokens": 0,
}


@dataclass
class Seen:
    """A finished run, and what was seen of it from outside."""

    run: Run
    trained: tuple[str, int]
    passes: int  # forward passes of the first block while training
    tracked: list[float] = field(default_factory=list)

    @property
    def weights(self) -> str:
        return str(self.run.checkpoint_at().manifest["trained_sha256"])

    def column(self, name: str) -> list[Any]:
        return [metrics[name] for metrics in self.run.metrics]

    @property
    def steps(self) -> list[int]:
        return self.column("step")

    @property
    def saved(self) -> list[int]:
        return [checkpoint.step for checkpoint in self.run.checkpoints()]

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.run.checkpoint_at().path.iterdir()}

    @property
    def prompts(self) -> list[str]:
        return [item["prompt"] for sample in self.run.samples() for item in sample["items"]]

    @property
    def pid(self) -> int:
        workers = [event["mark"]["pid"] for event in self.run.events() if event["type"] == "worker"]
        return workers[-1] if workers else os.getpid()


class Tracker(TrainerCallback):
    """A tracker as transformers knows them, that remembers what it was told."""

    told: list[float] = []  # noqa: RUF012 (made anew by transformers, read by the test)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        Tracker.told += [logs["loss"]] if "loss" in logs else []  # evaluations are told as well


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "remembering", Tracker)
        yield


_seen: dict[str, Seen] = {}


def train(folder: Path, **options: Any) -> Seen:
    """Train a fresh model with BASE and these options; the same options are run once."""
    support = capabilities.supported_fields(options.get("method", "lora"))
    merged = {**{name: value for name, value in BASE.items() if support[name] is None}, **options}
    key = repr(sorted(merged.items(), key=lambda item: item[0]))
    if key not in _seen:
        model = snb.load(str(folder), max_length=256, dtype="float32")
        passes = 0

        def count(module: Any, *_: Any) -> None:
            nonlocal passes
            passes += module.training

        # Inside the block and before the pass: what is computed again is computed only as far as it is needed.
        model.module.get_decoder().layers[0].self_attn.register_forward_pre_hook(count)
        Tracker.told = []
        pairs = methods.get(merged.get("method", "lora")).objective in ("dpo", "kto")
        data, held_out = (PAIRS, PAIRS[:2]) if pairs else (ROWS, HELD_OUT)
        run = model.train(data, background=True, eval_dataset=held_out, **merged)
        run.wait(raise_on_failure=False)
        assert run.error is None or run.error.code == "diverged", run.error
        assert model.trained is not None
        _seen[key] = Seen(run, model.trained, passes, Tracker.told)
    return _seen[key]


def first_checkpoint(folder: Path) -> str:
    return str(train(folder).run.checkpoint_at(2).path)


@dataclass(frozen=True)
class Case:
    """What an option is set to, what is looked at, and, where it can be said, what must be seen.

    ``beside`` are options that both runs have, with and without the one that is tested.
    """

    value: Any
    look: Callable[[Seen], Any]
    expected: Any = None
    beside: dict[str, Any] = field(default_factory=dict)


def channel(folder: Path) -> str:
    snb.notifications.add("noted", command=["true"])
    return "noted"


def heard(run: snb.Run) -> list[str]:
    """The channels that were told; they are told beside whoever waits for the run."""
    if run.config.notify:
        wait_for(lambda: run.notifications)
    return [told["channel"] for told in run.notifications]


def record(name: str) -> Callable[[Seen], Any]:
    return lambda seen: seen.run.state.record[name]


# The first steps cost ten times what an untrained model does.
WILD = {"method": "full", "learning_rate": 10.0, "max_steps": 12, "per_device_train_batch_size": 8, "save_steps": 1}

CASES: dict[str, Case] = {
    "method": Case("full", lambda seen: "model.safetensors" in seen.files, True),
    "learning_rate": Case(1e-3, lambda seen: max(seen.column("learning_rate")), 1e-3),
    "num_train_epochs": Case(1.5, lambda seen: seen.steps[-1], 6, {"max_steps": None}),
    "max_steps": Case(3, lambda seen: seen.steps, [1, 2, 3]),
    "lr_scheduler_type": Case("constant", lambda seen: set(seen.column("learning_rate")), {5e-4}),
    "warmup_steps": Case(3, lambda seen: seen.column("learning_rate")[0], 0.0),
    "warmup_ratio": Case(0.5, lambda seen: seen.column("learning_rate")[:2], [0.0, 2.5e-4]),
    "weight_decay": Case(0.9, lambda seen: seen.weights),
    "max_grad_norm": Case(1e-4, lambda seen: seen.weights),
    "on_divergence": Case("continue", lambda seen: seen.steps[-1], 12, WILD),
    "optim": Case("sgd", lambda seen: (seen.run.path / "checkpoints/step-000004/training/optimizer.safetensors").stat().st_size),
    "per_device_train_batch_size": Case(4, lambda seen: seen.column("epoch")[-1], 2.0),
    "gradient_accumulation_steps": Case(2, lambda seen: seen.column("epoch")[-1], 2.0),
    "max_tokens_per_forward": Case(16, lambda seen: seen.passes, 8),
    "max_length": Case(67, lambda seen: [w["code"] for w in seen.run.state.warnings], ["rows-truncated"]),
    "packing": Case(True, lambda seen: seen.column("tokens")[0]),
    "loss_on": Case("all", record("trained_tokens_in_data")),
    "assistant_only_loss": Case(False, record("trained_tokens_in_data")),
    "on_template_drop": Case(
        "bundled", lambda seen: seen.run.state.record["decisions"]["template"][0], "model + bundled tools + bundled parts"
    ),
    "seed": Case(1, lambda seen: seen.run.losses()),
    "logging_steps": Case(2, lambda seen: seen.steps, [2, 4]),
    "eval_steps": Case(1, lambda seen: [m["step"] for m in seen.run.eval_metrics], [1, 2, 3, 4]),
    "sample_prompts": Case(("Hi?",), lambda seen: seen.prompts, ["Hi?"] * 2, {"sample_max_new_tokens": 2}),
    "sample_max_new_tokens": Case(2, lambda seen: len(seen.run.samples()), 2),
    "early_stopping_patience": Case(1, lambda seen: seen.steps, [1, 2], {"eval_steps": 1, "learning_rate": 0.3}),
    "early_stopping_threshold": Case(1e6, lambda seen: seen.steps, [1, 2], {"eval_steps": 1, "early_stopping_patience": 1}),
    "save_steps": Case(1, lambda seen: seen.saved, [1, 2, 3, 4]),
    "save_total_limit": Case(1, lambda seen: len(seen.saved), beside={"save_steps": 1}),
    "load_best_model_at_end": Case(True, lambda seen: seen.trained[1], beside={"learning_rate": 3.0, "eval_steps": 1}),
    "resume_from_checkpoint": Case(first_checkpoint, lambda seen: seen.steps, [3, 4]),
    "gradient_checkpointing": Case("on", lambda seen: seen.passes, 8),
    "shards": Case(2, lambda seen: seen.passes),
    "executor": Case("process", lambda seen: seen.pid),
    "queue": Case(True, lambda seen: [event["type"] for event in seen.run.events()].count("turn"), 1),
    "notify": Case(channel, lambda seen: heard(seen.run), ["noted"]),
    "report_to": Case("remembering", lambda seen: len(seen.tracked), 4),
    "lora_r": Case(32, record("trainable_parameters")),
    "lora_alpha": Case(64, lambda seen: seen.column("grad_norm")[0]),
    "lora_dropout": Case(0.5, lambda seen: seen.run.losses()[1:]),
    "target_modules": Case("attention", record("trainable_parameters")),
    "use_rslora": Case(True, lambda seen: seen.column("grad_norm")[0]),
    "init_lora_weights": Case("pissa", lambda seen: seen.column("grad_norm")[0]),
    "train_embeddings": Case(True, record("trainable_parameters")),
    "num_virtual_tokens": Case(3, record("trainable_parameters"), 3 * 64, {"method": "prompt"}),
    "prompt_tuning_init_text": Case("Count.", lambda seen: seen.column("loss")[0], beside={"method": "prompt"}),
    "beta": Case(0.5, lambda seen: seen.column("grad_norm")[0], beside={"method": "dpo"}),
    "loss_type": Case("hinge", lambda seen: seen.column("loss")[0], 1.0, {"method": "dpo", "sft_weight": 0.0}),
    "sft_weight": Case(2.0, lambda seen: seen.column("loss")[0], beside={"method": "dpo"}),
    "expert_steps": Case(3, lambda seen: seen.steps[-1], 3, {"method": "more_plus"}),
    "facts_at_once": Case(4, lambda seen: seen.steps[-1], 80, {"method": "more_plus"}),
    "unit_size": Case(2, lambda seen: seen.weights, beside={"method": "more_plus"}),
    "question_forms": Case(1, lambda seen: seen.weights, beside={"method": "more_plus"}),
    "reader_steps": Case(40, lambda seen: seen.steps[-1], 40, {"method": "more"}),
    "desirable_weight": Case(3.0, lambda seen: seen.run.losses(), beside={"method": "kto"}),
    "undesirable_weight": Case(3.0, lambda seen: seen.run.losses(), beside={"method": "kto"}),
}  # fmt: skip


def test_warm_up_is_short_by_default_and_as_long_as_asked() -> None:
    assert [snb.TrainConfig().resolved_warmup(steps) for steps in (1, 9, 30, 60, 1000)] == [0, 0, 3, 5, 5]
    assert [snb.TrainConfig(warmup_steps=5).resolved_warmup(steps) for steps in (4, 10, 60)] == [4, 5, 5]
    assert snb.TrainConfig(warmup_ratio=0.5).resolved_warmup(10) == 5


def test_a_constant_rate_has_no_warm_up() -> None:
    for more in ({}, {"warmup_steps": 3}, {"warmup_ratio": 0.5}):
        assert TrainConfig(lr_scheduler_type="constant", **more).resolved_warmup(60) == 0
    assert TrainConfig(lr_scheduler_type="constant_with_warmup").resolved_warmup(60) == 5


ALONE: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"early_stopping_threshold": 0.1}, "early_stopping_patience is not set", {"early_stopping_patience": 3}),
    ({"lr_scheduler_type": "constant", "warmup_steps": 3}, "warmup_steps=3 has no effect", {"warmup_steps": 0}),
    (
        {"lr_scheduler_type": "constant", "warmup_ratio": 0.2},
        "warmup_ratio=0.2 has no effect",
        {"lr_scheduler_type": "constant_with_warmup"},
    ),
]


@pytest.mark.parametrize(("options", "message", "mended"), ALONE)
def test_an_option_that_another_one_leaves_without_effect_is_refused(
    options: dict[str, Any], message: str, mended: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigError, match=message) as caught:
        capabilities.check(TrainConfig(**options))
    assert caught.value.fix
    capabilities.check(TrainConfig(**{**options, **mended}))


UNEVALUATED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"early_stopping_patience": 2}, {}),
    ({"early_stopping_patience": 2, "early_stopping_threshold": 0.1}, {}),
    ({"load_best_model_at_end": True}, {}),
    ({"eval_steps": 2}, {}),
    ({"eval_steps": 2}, {"method": "cpt", "sample_max_new_tokens": 8}),  # no prompt in a text
]


@pytest.mark.parametrize(("options", "beside"), UNEVALUATED)
def test_options_of_evaluation_are_refused_where_nothing_is_evaluated(
    tiny_model_dir: Path, options: dict[str, Any], beside: dict[str, Any]
) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    data = [{"text": f"Number {n}."} for n in range(8)] if "method" in beside else ROWS
    given = {**{name: BASE[name] for name in BASE if name != "eval_steps"}, "max_steps": 2, **options, **beside}
    runs = len(snb.runs.list())
    with pytest.raises(errors.ConfigError, match=f"{next(iter(options))}=.* has no effect: there are no") as caught:
        model.train(data, background=False, **given)
    assert "eval_dataset='auto'" in caught.value.fix
    assert len(snb.runs.list()) == runs
    run = model.train(data, background=False, eval_dataset="auto", **given)
    assert run.eval_metrics


def test_eval_steps_says_when_to_sample_without_evaluation_rows(tiny_model_dir: Path) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = model.train(ROWS, background=False, **{**BASE, "sample_max_new_tokens": 2, "eval_steps": 1})
    assert [sample["step"] for sample in run.samples()] == [1, 2, 3, 4]


def test_every_honoured_option_is_looked_at() -> None:
    # tests/policy, tests/teaching and test_reward.py look at those.
    tables = (PolicyOptions, PpoOptions, RewardOptions, DistillOptions, SdftOptions)
    ours = {name for table in tables for name in table.model_fields} - set(CASES)
    assert set(CASES) == HONOURED - ours


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_honoured_option_changes_something(tiny_model_dir: Path, name: str) -> None:
    case = CASES[name]
    without = {key: value for key, value in case.beside.items() if key != name}
    value = case.value(tiny_model_dir) if callable(case.value) else case.value
    plain = case.look(train(tiny_model_dir, **without))
    changed = case.look(train(tiny_model_dir, **without, **{name: value}))
    assert changed != plain, f"{name}={value!r} changed nothing"
    if case.expected is not None:
        assert changed == case.expected if not isinstance(changed, float) else changed == pytest.approx(case.expected)


def test_recomputing_ends_with_the_run_that_asked_for_it(tiny_model_dir: Path) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    model.train(ROWS, background=False, **{**BASE, "max_steps": 1, "eval_steps": None}, gradient_checkpointing="on")
    assert not model.module.is_activation_checkpointing


def test_the_same_options_give_the_same_run(tiny_model_dir: Path) -> None:
    """Without this the cases above would prove nothing."""
    first = train(tiny_model_dir)
    again = train(tiny_model_dir, lora_r=16)
    assert again.run.id != first.run.id
    assert (again.weights, again.run.losses(), again.passes) == (first.weights, first.run.losses(), first.passes)
