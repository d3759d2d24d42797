"""DPO and KTO: the numbers of trl's trainers, a reference that is the model as it was found, and learning that shows.

trl gets the same weights, rows and order, in 32 bits and without dropout. A step holds all rows, so that the order within
it is nobody's business and KTO's mismatched answers are the same: trl rotates them within a batch, we over all rows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import shadownb as snb
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.kernels import choosing
from shadownb.engine.objectives import examples
from shadownb.engine.objectives.kto import Kto
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.errors import CheckpointError, RunError
from shadownb.panels._snapshot import snapshot_text
from tests.engine.methods_data import CASES, COLOURS, OPTIONS, chats, pairs, stop_after, verdicts

STEPS = 4
SAME: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "seed": 11,
}


def as_messages(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its answers as messages, so that trl applies the template."""
    answers = ("chosen", "rejected", "completion")
    return {k: [{"role": "assistant", "content": v}] if k in answers else v for k, v in row.items()}


def by_trl(method: str, folder: Path, rows: list[dict[str, Any]], config: snb.TrainConfig, out: Path) -> Any:
    """Train with trl's trainer from the weights that our run starts from; returns the trainer."""
    import datasets
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    module = adapters.prepare(base, None, config, adapters.Start("tiny")).module
    tokenizer = AutoTokenizer.from_pretrained(folder)
    options: dict[str, Any] = {
        "output_dir": str(out), "max_steps": STEPS, "learning_rate": 1e-3, "lr_scheduler_type": "constant",
        "weight_decay": 0.01, "max_grad_norm": 1.0, "per_device_train_batch_size": 8, "beta": config.beta,
        "logging_steps": 1, "report_to": "none", "save_strategy": "no", "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False, "disable_tqdm": True, "max_length": 256, "optim": "adamw_torch",
    }  # fmt: skip
    data = datasets.Dataset.from_list([as_messages(row) for row in rows])
    if method == "dpo":
        losses = {"loss_type": [config.loss_type], "loss_weights": [1.0]}
        if config.sft_weight:
            losses = {"loss_type": [config.loss_type, "sft"], "loss_weights": [1.0, config.sft_weight]}
        arguments: Any = DPOConfig(**options, **losses, disable_dropout=True)
        trainer: Any = DPOTrainer(model=module, args=arguments, train_dataset=data, processing_class=tokenizer)
    else:
        weights: dict[str, Any] = {
            "desirable_weight": config.desirable_weight,
            "undesirable_weight": config.undesirable_weight,
        }
        arguments = KTOConfig(**options, **weights, train_sampling_strategy="sequential")
        trainer = KTOTrainer(model=module, args=arguments, train_dataset=data, processing_class=tokenizer)
    with torch.random.fork_rng():  # trl seeds the process's generators
        trainer.train()
    return trainer


def mostly_good() -> list[dict[str, Any]]:
    """Verdicts whose answers drift up: with as many bad ones the estimate stays at its lowest, 0."""
    return [
        {**row, "completion": "?" if n % 4 == 3 else COLOURS[n % 5], "label": n % 4 != 3}
        for n, row in enumerate(verdicts())
    ]


@pytest.fixture
def quiet_trl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """trl sends telemetry from every trainer's constructor unless CI is set."""
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dpo", {"loss_type": "sigmoid", "sft_weight": 0.0}),
        ("dpo", {"loss_type": "hinge", "sft_weight": 0.0}),
        ("dpo", {"loss_type": "ipo", "sft_weight": 0.0}),
        ("dpo", {"sft_weight": 0.5}),
        ("kto", {}),
        ("kto", {"desirable_weight": 1.5, "undesirable_weight": 0.5}),
    ],
    ids=["sigmoid", "hinge", "ipo", "with sft", "kto", "kto weighted"],
)
def test_the_numbers_are_trls(
    method: str, options: dict[str, Any], home: Path, byte_model_dir: Path, tmp_path: Path, quiet_trl: None
) -> None:
    rows = pairs() if method == "dpo" else mostly_good()
    config = snb.TrainConfig(method=method, lora_r=4, **SAME, **options)
    expected = by_trl(method, byte_model_dir, rows, config, tmp_path)
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    more: dict[str, Any] = {"lora_r": 4, "sample_max_new_tokens": 0, "background": False}
    run = model.train(rows, method=method, **SAME, **options, **more)

    # The same tokens, and the same of them trained.
    names = ("chosen_ids", "rejected_ids") if method == "dpo" else ("completion_ids",)
    canonical = snb.Dataset.from_list(rows).canonical_rows()
    for theirs, row in zip(expected.train_dataset, canonical, strict=True):
        example = examples(model.renderer, row, objective=method)[0]
        for name, mine in zip(names, example.rows, strict=True):
            assert theirs["prompt_ids"] + theirs[name] == mine.input_ids
            assert theirs[name] == [label for label in mine.labels if label >= 0]

    logged = [entry for entry in expected.state.log_history if "loss" in entry]
    assert [m["loss"] for m in run.metrics] == pytest.approx([entry["loss"] for entry in logged], rel=1e-4, abs=1e-4)
    assert [m["grad_norm"] for m in run.metrics] == pytest.approx([e["grad_norm"] for e in logged], rel=1e-3)
    for ours, trls in (("rewards_chosen", "rewards/chosen"), ("rewards_rejected", "rewards/rejected")):
        assert [m[ours] for m in run.metrics] == pytest.approx([e[trls] for e in logged], abs=1e-3), ours
    if method == "kto":
        assert max(m["kl"] for m in run.metrics) > 0.05, "or rounding alone would have been compared"
        assert [m["kl"] for m in run.metrics] == pytest.approx([e["kl"] for e in logged], abs=1e-3)
    # Four steps of AdamW move a weight by 4e-3; the sign of a gradient near 0 may differ by rounding.
    theirs_by_name = dict(expected.model.named_parameters())
    for name, parameter in model.adapter.owned().items():
        assert (parameter - theirs_by_name[name]).abs().max() < 1e-4, name


def mismatched(model: Any, rows: list[dict[str, Any]]) -> list[tuple[Example, Rendered]]:
    """Return KTO's examples of rows, each with the mismatched row that the drift is estimated on."""
    canonical = snb.Dataset.from_list(rows).canonical_rows()
    found = [example for row in canonical for example in examples(model.renderer, row, objective="kto")]
    found = [replace(example, id=str(number)) for number, example in enumerate(found)]
    kto = Kto(snb.TrainConfig(method="kto"), 256)
    return [(example, kto.bundles([example])[0][-1]) for example in kto.arrange(found)]


ONE_PROMPT = [{"prompt": "Which?", "completion": text, "label": text == "TAN"} for text in ("TAN", "GREY", "MAUVE")]
OTHER_PROMPTS: dict[str, list[dict[str, Any]]] = {
    "pairs": pairs(),
    "the last prompt is the first one's": [*pairs(3), {**pairs(1)[0], "chosen": "TAN", "rejected": "None."}],
    "several answers to a prompt": [*ONE_PROMPT, *verdicts(4)],
    "verdicts": verdicts(),
}


@pytest.mark.parametrize("rows", OTHER_PROMPTS.values(), ids=list(OTHER_PROMPTS))
def test_the_drift_is_estimated_on_answers_to_another_prompt(
    rows: list[dict[str, Any]], home: Path, byte_model_dir: Path
) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32")
    found = mismatched(model, rows)
    real = {tuple(example.rows[0].input_ids) for example, _ in found}
    assert len(real) == len(found)
    for example, mismatch in found:
        (row,) = example.rows
        start = row.first_trained
        assert mismatch.input_ids[:start] == row.input_ids[:start] and mismatch.first_trained == start
        assert tuple(mismatch.input_ids) not in real
        answers = {tuple(e.rows[0].input_ids[e.rows[0].first_trained :]) for e, _ in found}
        assert tuple(mismatch.input_ids[start:]) in answers


def test_better_answers_of_pairs_are_mismatched_with_better_ones(home: Path, byte_model_dir: Path) -> None:
    """Else the drift would be that of the rejected answers alone: those stand next to the following row."""
    model = snb.load(str(byte_model_dir), dtype="float32")
    for example, mismatch in mismatched(model, pairs()):
        answer = model.tokenizer.decode(mismatch.input_ids[mismatch.first_trained :])
        assert answer.startswith("I think") != example.desirable


def test_answers_to_one_prompt_are_mismatched_with_each_other(home: Path, byte_model_dir: Path) -> None:
    found = mismatched(snb.load(str(byte_model_dir), dtype="float32"), ONE_PROMPT)
    own = [example.rows[0].input_ids for example, _ in found]
    assert [row.input_ids for _, row in found] == [own[-1], *own[:-1]]


@pytest.mark.parametrize("good", [True, False])
def test_answers_of_one_verdict_are_told_and_have_no_margin(good: bool, home: Path, byte_model_dir: Path) -> None:
    rows = [{**row, "label": good} for row in verdicts()]
    model: Any = snb.load(str(byte_model_dir), dtype="float32")
    run = model.train(rows, method="kto", background=False, eval_dataset=verdicts(), **OPTIONS)
    (warning,) = (w for w in run.state.warnings if w["code"] == "one-verdict")
    assert f"All 8 answers of the rows are {'good' if good else 'bad'}." in warning["what"] and warning["fix"]
    side, other = ("chosen", "rejected") if good else ("rejected", "chosen")
    for said in (repr(run), run._repr_html_(), snapshot_text(run.state)):
        assert f"ewards ({side})" in said and "eward margin" not in said, said
    assert len(run.series(f"rewards_{side}")[0]) == 4
    assert all("rewards_margin" not in m and f"rewards_{other}" not in m for m in run.metrics)
    with pytest.raises(RunError, match="metric='rewards_margin' is not recorded"):
        run.series("rewards_margin")
    assert run.series("eval_rewards_margin")[1], "the evaluation has both"
    assert {axis.title.text for axis in run.figure().select_yaxes()} >= {f"Rewards ({side})"}


def test_pairs_that_are_much_alike_are_told(home: Path, byte_model_dir: Path) -> None:
    """DPO alone on answers that differ in one field harms both; not said where the better answers are trained as well."""
    alike = [{**row, "chosen": row["rejected"].replace(".", "!")} for row in pairs()]
    apart = [{**row, "rejected": "0123456789"} for row in pairs()]
    told = {}
    for name, rows, weight in (("alike", alike, 0.0), ("with sft", alike, 1.0), ("apart", apart, 0.0)):
        model: Any = snb.load(str(byte_model_dir), dtype="float32")
        run = model.train(rows, method="dpo", background=False, **{**OPTIONS, "max_steps": 1}, sft_weight=weight)
        told[name] = [w for w in run.state.warnings if w["code"] == "pairs-alike"]
    (warning,) = told.pop("alike")
    assert "of their tokens" in warning["what"] and "sft_weight at 1.0" in warning["fix"]
    assert told == {"with sft": [], "apart": []}


def test_a_margin_of_some_steps_only(home: Path, byte_model_dir: Path) -> None:
    """A step of one row has one verdict; a report over two steps has a margin where those differ."""
    model: Any = snb.load(str(byte_model_dir), dtype="float32")
    options: dict[str, Any] = {**OPTIONS, "per_device_train_batch_size": 1, "logging_steps": 2, "max_steps": 8}
    run = model.train(verdicts(), method="kto", background=False, **options)
    assert not [w for w in run.state.warnings if w["code"] == "one-verdict"]
    steps, margins = run.series("rewards_margin")
    assert steps == [m["step"] for m in run.metrics if "rewards_margin" in m] and margins
    assert len(margins) < len(run.metrics), "or every step has one, and nothing was tried"
    assert "rewards (chosen)" not in repr(run)
    assert "Reward margin" in {axis.title.text for axis in run.figure().select_yaxes()}
    assert run.to_frame()["rewards_margin"].count() == len(margins)


def log_probability(model: Any, ids: list[int], labels: list[int]) -> float:
    """Return the summed log-probability of the trained tokens, computed plainly."""
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([ids])).logits[0]
    scores = torch.log_softmax(logits.float(), dim=-1)
    return float(sum(scores[n, label] for n, label in enumerate(labels[1:]) if label >= 0))


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_after_an_sft_adapter_the_reference_is_the_sft_policy(method: str, home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    sft = model.train(chats(), method="lora", background=False, **{**OPTIONS, "lora_r": 4, "learning_rate": 5e-3})
    rows = pairs() if method == "dpo" else verdicts()
    alone = {"sft_weight": 0.0} if method == "dpo" else {}  # so that the first loss is that of equal answers
    run = model.train(rows, method=method, background=False, **OPTIONS, **alone)
    assert run.parent == sft.id
    first = run.metrics[0]
    assert first["loss"] == pytest.approx(math.log(2) if method == "dpo" else 0.5, abs=1e-5)
    assert (first["rewards_chosen"], first["rewards_rejected"]) == pytest.approx((0, 0), abs=1e-4)
    assert run.losses()[-1] < first["loss"]

    kept = load_file(run.checkpoint_at().path / "training" / "reference.safetensors")["train"]
    policy, bare = snb.load(sft.id), snb.load(str(byte_model_dir), dtype="float32")
    for number, row in enumerate(snb.Dataset.from_list(rows).canonical_rows()):
        answer = examples(model.renderer, row, objective=method)[0].rows[0]
        scored = log_probability(policy, answer.input_ids, answer.labels)
        assert kept[number, 0].item() == pytest.approx(scored, abs=1e-3)
        assert abs(log_probability(bare, answer.input_ids, answer.labels) - scored) > 0.1, "the base is another one"


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_reference_is_computed_once(
    method: str, home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[method]
    passes = {"scored": 0, "trained": 0}
    monkeypatch.setattr(choosing, "choose", lambda *_: ("none", "their passes would be counted, too"))

    def counted() -> Any:
        model = case.load(byte_model_dir)

        def count(module: Any, *_: Any) -> None:
            passes["trained" if module.training else "scored"] += 1

        model.module.get_decoder().layers[0].self_attn.register_forward_pre_hook(count)
        return model

    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = case.train(counted(), max_tokens_per_forward=16)
    assert (run.status, run.step) == ("stopped", 2), run.error
    rows, trial = 8, 2  # the trial: whether a row behind another one gets the numbers that it gets alone
    drift = 8 if method == "kto" else 0  # two steps of four rows are looked at with the weights of the step
    assert passes == {"scored": trial + rows + drift, "trained": 8}
    reference = run.checkpoint_at().path / "training" / "reference.safetensors"
    before = reference.read_bytes()

    passes.update(scored=0, trained=0)
    run.resume(counted()).wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    assert passes == {"scored": trial + drift, "trained": 8}, "the resume computed the reference again"
    assert (run.checkpoint_at().path / "training" / "reference.safetensors").read_bytes() == before


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_short_run_has_the_reference_of_the_rows_it_sees(method: str, home: Path, byte_model_dir: Path) -> None:
    rows = pairs() if method == "dpo" else verdicts()
    options: dict[str, Any] = {**OPTIONS, "lora_r": 4, "method": method, "background": False}
    whole = snb.load(str(byte_model_dir), max_length=256, dtype="float32").train(rows, **{**options, "max_steps": 2})
    short = snb.load(str(byte_model_dir), max_length=256, dtype="float32").train(rows, **{**options, "max_steps": 1})
    all_of_them, seen = (
        load_file(run.checkpoint_at().path / "training" / "reference.safetensors")["train"] for run in (whole, short)
    )
    computed = ~seen.isnan().any(dim=1)
    assert len(seen) == len(rows) and computed.sum() == 4 < len(rows)
    assert torch.allclose(seen[computed], all_of_them[computed], atol=1e-4)
    assert short.losses()[0] == pytest.approx(whole.losses()[0], abs=1e-6)

    further = {**options, "max_steps": 2, "resume_from_checkpoint": str(short.checkpoint_at().path)}
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    with pytest.raises(CheckpointError, match="lacks rows that the further steps would see") as caught:
        model.train(rows, **further)
    assert "without resume_from_checkpoint" in caught.value.fix
    assert model.adapter is None and model.trained is None


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_reference_of_other_rows_is_refused(method: str, home: Path, byte_model_dir: Path) -> None:
    rows = pairs() if method == "dpo" else verdicts()
    options: dict[str, Any] = {**OPTIONS, "lora_r": 4, "method": method}
    model: Any = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    held_out = rows[:3]
    first = model.train(rows, background=False, eval_dataset=held_out, **{**options, "max_steps": 2})
    options["resume_from_checkpoint"] = str(first.checkpoint_at(2).path)

    others = {
        "fewer": {"dataset": rows[:4]},
        "more": {"dataset": rows + rows},
        "another order": {"dataset": rows[::-1]},
        "other prompts": {"dataset": [{**row, "prompt": "Which colour?"} for row in rows]},
        "cut": {"max_length": 90},
        "other evaluation rows": {"eval_dataset": rows[3:]},
    }
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    for name, changes in others.items():
        given = {"dataset": rows, "eval_dataset": held_out, **options, **changes}
        with pytest.raises(CheckpointError, match="reference is of other") as caught:
            model.train(background=False, **given)
        assert ("evaluation rows than" in caught.value.what) == (name == "other evaluation rows"), name
        assert "resume_from_checkpoint" in caught.value.fix
        assert model.adapter is None and model.trained is None, name
    run = model.train(rows, background=False, eval_dataset=held_out, **options)
    assert [metrics["step"] for metrics in run.metrics] == [3, 4]


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_preference_that_can_be_learned_is_learned(method: str, home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    run = model.train(
        pairs(),
        method=method,
        background=False,
        eval_dataset=pairs(),
        **{**OPTIONS, "max_steps": 30, "save_steps": 30, "per_device_train_batch_size": 8, "learning_rate": 2e-3},
    )
    assert run.losses()[-1] < 0.5 * run.losses()[0]
    margins = [m["rewards_margin"] for m in run.metrics if "rewards_margin" in m]
    assert margins[-1] > margins[len(margins) // 2] > margins[0]
    assert run.eval_metrics[-1]["eval_rewards_margin"] > 1
    if method == "dpo":
        assert run.metrics[0]["rewards_accuracy"] == 0  # nothing is preferred yet
        assert run.metrics[-1]["rewards_accuracy"] == 1
        assert run.eval_metrics[-1]["eval_rewards_accuracy"] == 1
    better = [
        log_probability(model, *parts("chosen", row, model)) - log_probability(model, *parts("rejected", row, model))
        for row in snb.Dataset.from_list(pairs()).canonical_rows()
    ]
    bare = snb.load(str(byte_model_dir), dtype="float32")
    before = [
        log_probability(bare, *parts("chosen", row, bare)) - log_probability(bare, *parts("rejected", row, bare))
        for row in snb.Dataset.from_list(pairs()).canonical_rows()
    ]
    assert all(now > then + 1 for now, then in zip(better, before, strict=True))


def parts(side: str, row: dict[str, Any], model: Any) -> tuple[list[int], list[int]]:
    """Return ids and labels of one side of a pair."""
    chosen, rejected = examples(model.renderer, row, objective="dpo")[0].rows
    rendered = chosen if side == "chosen" else rejected
    return rendered.input_ids, rendered.labels
