"""Reward models: trl's loss and gradients on the same rows, a scorer everywhere, and never a model that is chatted with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb.engine.data import Dataset
from shadownb.engine.objectives.reward import Reward
from shadownb.engine.runs import Run
from shadownb.errors import ConfigError, DataError, ExportError, MethodError, ModelError
from tests.engine.methods_data import OPTIONS, pairs, stop_after

TRAIN: dict[str, Any] = {**OPTIONS, "method": "reward", "lora_r": 4, "learning_rate": 5e-3, "background": False}
STEPS: list[dict[str, Any]] = [
    {"prompt": f"What is {n} and {n}?", "completions": [f"{n} + {n} is {2 * n}.", f"So it is {2 * n + n % 2}."],
     "labels": [True, n % 2 == 0]} for n in range(8)
]  # fmt: skip


@pytest.fixture
def load(home: Path, byte_model_dir: Path) -> Callable[[], Any]:
    return lambda: snb.load(str(byte_model_dir), max_length=512, dtype="float32")


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


# -- the loss ---------------------------------------------------------------------------------------------------------


def of_transformers(folder: Path, base: Path) -> Any:
    """The same weights as a classifier of transformers with peft's adapter, without anything of ours."""
    from peft import AutoPeftModelForSequenceClassification

    model = AutoPeftModelForSequenceClassification.from_pretrained(str(folder), num_labels=1, is_trainable=True)
    model.get_base_model().config.pad_token_id = None  # it is the token that ends answers, too, which is read here
    return model.float().eval()


def rows_of(model: Any, data: list[dict[str, Any]], **options: Any) -> list[Any]:
    config = snb.TrainConfig(method="reward", **options)
    canonical = Dataset.from_list(data).keeping(Reward.reads(config)).canonical_rows()
    from shadownb.engine.objectives import examples

    return [
        example for row in canonical for example in examples(model.renderer, row, objective="reward", max_length=512)
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"center_rewards_coefficient": 0.2}, {"margin_column": "margin"}],
    ids=lambda o: "".join(o) or "plain",
)
def test_loss_and_gradients_of_pairs_are_trls(
    options: dict[str, Any], load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """trl's own compute_loss on transformers' classifier of the saved weights, of the rows that ours reads."""
    trainer = pytest.importorskip("trl.trainer.reward_trainer").RewardTrainer
    rows = [{**row, **({"margin": n / 4} if "margin_column" in options else {})} for n, row in enumerate(pairs(4))]
    model = load()
    run = ended(
        model.train(rows, **{**TRAIN, **options, "max_steps": 3, "save_steps": 1, "lr_scheduler_type": "constant"})
    )
    checkpoint = run.checkpoint_at(2).path
    theirs = of_transformers(checkpoint, Path(model.source))
    read = rows_of(model, rows, **options)
    sequences = [e.sequences[0].input_ids[:-1] for e in read] + [e.rejected[0].input_ids[:-1] for e in read]
    logits = torch.cat([theirs(input_ids=torch.tensor([ids])).logits for ids in sequences])

    class Given:
        training = True

        def __call__(self, **inputs: Any) -> Any:
            from types import SimpleNamespace

            return SimpleNamespace(logits=logits)

    from collections import defaultdict
    from types import SimpleNamespace

    same = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
    me = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=same, _total_train_tokens=0, _tp_size=1,
        _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(center_rewards_coefficient=options.get("center_rewards_coefficient")),
    )  # fmt: skip
    inputs: dict[str, Any] = {"attention_mask": torch.ones(8, 4)}
    if "margin_column" in options:
        inputs["margin"] = torch.tensor([row["margin"] for row in rows])
    loss = trainer.compute_loss(me, Given(), inputs)
    loss.backward()
    assert run.metrics[2]["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-5)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in theirs.parameters() if p.grad is not None))
    assert run.metrics[2]["grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert run.metrics[2]["rewards_accuracy"] == pytest.approx(me._metrics["train"]["accuracy"][0])
    assert run.metrics[2]["rewards_margin"] == pytest.approx(me._metrics["train"]["margin"][0], abs=1e-4)
    if not options:
        assert run.metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6), "every answer is worth 0 at first"


def test_loss_of_steps_is_the_cross_entropy_of_trls_two_labels(load: Callable[[], Any]) -> None:
    """trl's PRMTrainer gives each step two logits; their difference is our one number, and its loss is the same."""
    model = load()
    run = ended(model.train(STEPS, **{**TRAIN, "max_steps": 3, "save_steps": 1, "per_device_train_batch_size": 8}))
    theirs = of_transformers(run.checkpoint_at(2).path, Path(model.source))
    lm = theirs.get_base_model()
    logits, labels = [], []
    for example in rows_of(model, STEPS):
        (row,) = example.sequences
        places = [at - 1 for at, label in enumerate(row.labels) if label >= 0]
        hidden = lm.model(input_ids=torch.tensor([row.input_ids[:-1]])).last_hidden_state[0]
        value = lm.score(hidden)[places, 0]
        logits.append(torch.stack([torch.zeros_like(value), value], dim=1))
        labels += [int(label) for label in example.columns["labels"]]
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.tensor(labels))
    assert run.metrics[2]["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert 0 <= run.metrics[2]["steps_accuracy"] <= 1
    for example in rows_of(model, STEPS):
        (row,) = example.sequences
        text = model.tokenizer.decode(row.input_ids)
        ends = [model.tokenizer.decode(row.input_ids[:at]) for at, label in enumerate(row.labels) if label >= 0]
        assert all(said.endswith(".\n") for said in ends) and text.startswith(ends[0])


# -- what it is -------------------------------------------------------------------------------------------------------


def test_it_learns_pairs_and_scores_answers_as_it_trained_them(load: Callable[[], Any], tmp_path: Path) -> None:
    model = load()
    run = ended(model.train(pairs(8), **{**TRAIN, "max_steps": 30, "save_steps": 30, "eval_dataset": pairs(8)}))
    assert run.metrics[-1]["rewards_accuracy"] == 1.0 and run.eval_metrics[-1]["eval_rewards_accuracy"] == 1.0
    reward = snb.RewardModel(run)
    row = pairs(8)[2]
    good, bad = reward.score(row["prompt"], [row["chosen"], row["rejected"]])
    assert good > bad
    last = {name: run.metrics[-1][name] for name in ("rewards_chosen", "rewards_rejected")}
    scores = [reward.score(one["prompt"], [one["chosen"], one["rejected"]]) for one in pairs(8)]
    assert sum(pair[0] > pair[1] for pair in scores) == 8 and last["rewards_chosen"] > last["rewards_rejected"]
    folder = model.save(tmp_path / "judge")
    said = json.loads((folder / "adapter_config.json").read_text())
    assert (said["task_type"], said["modules_to_save"], said["peft_type"]) == ("SEQ_CLS", ["score"], "LORA")
    assert "base_model.model.score.weight" in load_file(folder / "adapter_model.safetensors")
    saved = snb.RewardModel(folder)
    assert saved.score(row["prompt"], [row["chosen"], row["rejected"]]) == pytest.approx([good, bad], abs=1e-6)
    assert snb.RewardModel(model).score(row["prompt"], [row["chosen"]]) == pytest.approx([good], abs=1e-6)
    theirs = of_transformers(folder, Path(model.source))
    ids = rows_of(model, [row])[0].sequences[0].input_ids[:-1]
    with torch.no_grad():
        assert float(theirs(input_ids=torch.tensor([ids])).logits) == pytest.approx(good, abs=1e-4)


def test_nobody_takes_it_for_a_model_that_answers(load: Callable[[], Any], tmp_path: Path) -> None:
    before = load().generate("Colour?", system=None, temperature=0, max_new_tokens=4)
    model = load()
    run = ended(model.train(pairs(4), **{**TRAIN, "max_steps": 2}))
    for loaded in (model, snb.load(run.id)):
        asks: list[Callable[[Any], Any]] = [
            lambda m: m.generate("Colour?"), lambda m: m.chat([{"role": "user", "content": "Colour?"}]),
            lambda m: m.stream("Colour?"), lambda m: list(m.generator.rollouts([[1]], 1, None)), snb.serve,
            lambda m: load().generate("Colour?", use=run),
        ]  # fmt: skip
        for ask in asks:
            with pytest.raises(
                ModelError, match=r"(?s)is a reward model: it scores answers and gives no text.*RewardModel"
            ):
                ask(loaded)
        alike: dict[str, Any] = {"system": None, "temperature": 0, "max_new_tokens": 4}
        assert loaded.generate("Colour?", use="base", **alike) == before
    for fmt in ("merged", "mlx"):
        with pytest.raises(ExportError, match="a number and no text"):
            model.save(tmp_path / fmt, fmt=fmt)
    for format in ("gguf", "gguf-lora", "merged"):
        with pytest.raises(ExportError, match="a number and no text"):
            model.export(tmp_path / format, format=format, report=False)
    with pytest.raises(MethodError, match="this model carries a reward model"):
        model.train(pairs(4), method="dpo", start="trained", background=False)
    assert not run.samples(), "nothing is sampled while it trains"


def test_it_is_trained_on_and_resumed_exactly(load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    straight = ended(load().train(STEPS, **TRAIN))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run = load().train(STEPS, **TRAIN)
    assert (run.status, run.step) == ("stopped", 3)
    ended(snb.runs.load(run.id).resume().wait(timeout=120))
    again = snb.runs.load(run.id)
    assert again.losses() == straight.losses()
    assert again.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]
    further = ended(snb.load(run.id).train(STEPS, start="trained", **TRAIN))
    assert further.losses()[0] < straight.losses()[0]


# -- a scorer ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(load: Callable[[], Any]) -> Run:
    return ended(load().train(pairs(8), **{**TRAIN, "max_steps": 30}))


def test_it_is_a_scorer_by_object_and_by_name(judged: Run, load: Callable[[], Any]) -> None:
    reward = snb.RewardModel(judged)
    row = pairs(8)[1]
    by_object = snb.scoring.resolve(reward)
    by_name = snb.scoring.resolve(f"reward_model@{judged.id}")
    said = [row["chosen"], row["rejected"]]
    scores = [
        [score.value for score in snb.scoring.score_batch([one], [row["prompt"]] * 2, said)[0]]
        for one in (by_object, by_name)
    ]
    assert scores[0] == scores[1] == reward.score(row["prompt"], said)
    assert reward.model is snb.RewardModel.named(judged.id).model, "one copy in a process"
    text = snb.scoring.score_batch([by_object], ["Colour number 1? Please."], said[:1])[0][0]
    assert text.value == pytest.approx(scores[0][0], abs=1e-5), "a prompt alone is asked behind the rows' system prompt"
    with pytest.raises(ConfigError, match="contains@x"):
        snb.scoring.resolve("contains@x")


def test_what_was_scored_is_not_computed_again_and_batches_change_nothing(
    judged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = snb.RewardModel(judged)
    prompt, answers = pairs(8)[0]["prompt"], ["RED", "BLUE", "a long answer that says nothing at all", "RED", ""]
    alone = [snb.RewardModel(str(judged.checkpoint)).score(prompt, [one])[0] for one in answers]
    computed: list[int] = []
    compute = snb.RewardModel.compute

    def counted(self: Any, samples: Any) -> Any:
        computed.append(len(samples))
        return compute(self, samples)

    monkeypatch.setattr(snb.RewardModel, "compute", counted)
    assert reward.score(prompt, answers) == pytest.approx(alone, abs=1e-5)
    assert reward.score(prompt, answers[:2]) == pytest.approx(alone[:2], abs=1e-5)
    assert computed == [4], "one of a kind, and once"


def test_the_best_of_several_answers_is_the_one_that_it_scores_highest(judged: Run, load: Callable[[], Any]) -> None:
    model, reward = load(), snb.RewardModel(judged)
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 6, "seed": 5}
    prompts = ["Colour number 1?", "Colour number 2?"]
    many = model.generate([prompt for prompt in prompts for _ in range(6)], **options)
    best = model.generate(prompts, best_of=6, scorer=reward, **options)
    for at, prompt in enumerate(prompts):
        mine = many[6 * at : 6 * at + 6]
        scores = reward.score(prompt, mine)
        assert best[at] == mine[scores.index(max(scores))] and len(set(mine)) > 1
    assert model.generate(prompts[0], best_of=3, scorer=f"reward_model@{judged.id}", **options) in many[:6]
    longest = model.generate(prompts[0], best_of=6, scorer=lambda completions: list(map(len, completions)), **options)
    assert len(longest) == max(map(len, many[:6]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_of": 4}, "scorer is not given"),
        ({"scorer": "repetition"}, "best_of=1 leaves nothing to choose"),
        ({"best_of": 4, "scorer": "repetition", "temperature": 0}, "all 4 answers would be the same"),
        ({"best_of": 4, "scorer": "exact"}, "compares with an expected answer"),
        ({"best_of": 0, "scorer": "repetition"}, "best_of=0 must be"),
        ({"best_of": 2, "scorer": lambda completions: [None] * len(completions)}, "could score none of the 2"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(options: Any, message: str, load: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        load().generate("Colour?", max_new_tokens=3, **options)


def test_a_reward_model_is_a_reward_of_a_training(judged: Run, load: Callable[[], Any]) -> None:
    options = {
        **OPTIONS,
        "method": "grpo",
        "num_generations": 3,
        "max_completion_length": 4,
        "max_steps": 2,
        "lora_r": 4,
    }
    rows = [{"prompt": one["prompt"]} for one in pairs(4)]
    run = ended(load().train(rows, reward_fns=[snb.RewardModel(judged)], background=False, **options))
    assert run.config.to_dict()["reward_fns"] == [f"reward_model@{judged.id}"], "any process can find it"
    group = run.completions()[0]
    scores = snb.RewardModel(judged).score(rows[0]["prompt"], [one["completion"] for one in group["completions"]])
    told = {one["completion"]: one["reward"] for one in group["completions"]}
    prompts = {one["prompt"][-1]["content"]: one["prompt"] for one in rows}
    scores = snb.RewardModel(judged).score(prompts[group["prompt"]], list(told))
    assert scores == pytest.approx(list(told.values()), abs=1e-5)


def test_a_model_of_steps_judges_each_and_an_answer_by_its_worst(load: Callable[[], Any]) -> None:
    run = ended(load().train(STEPS, **{**TRAIN, "max_steps": 40, "per_device_train_batch_size": 8}))
    assert run.metrics[-1]["steps_accuracy"] > 0.8
    reward = snb.RewardModel(run)
    right, wrong = STEPS[2], STEPS[3]
    assert (
        min(reward.steps(right["prompt"], right["completions"]))
        > reward.steps(wrong["prompt"], wrong["completions"])[1]
    )
    each = reward.steps(wrong["prompt"], wrong["completions"])
    text = "\n".join(wrong["completions"])
    assert reward.score(wrong["prompt"], [text]) == pytest.approx([min(each)], abs=1e-5)
    assert snb.RewardModel(run, reduce="prod").score(wrong["prompt"], [text]) == pytest.approx(
        [math.prod(each)], abs=1e-5
    )
    assert reward(output="", expected="", prompt="x").value is None, "an empty answer has no step"


# -- refused ----------------------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_are_left_out_and_counted(load: Callable[[], Any]) -> None:
    """A cut answer has no end to be read at; trl filters such rows, too."""
    long = {**pairs(1)[0], "rejected": "no " * 300}
    run = ended(load().train([*pairs(4), long], **{**TRAIN, "max_steps": 2, "max_length": 256}))
    assert any("1 of 5" in warning["what"] for warning in run.state.warnings), run.state.warnings
    reward = snb.RewardModel(run)
    with pytest.raises(DataError, match="cannot be scored"):
        reward.score("x", ["y " * 3000])


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (STEPS, {"center_rewards_coefficient": 0.1}, ConfigError, "no effect: the rows are steps"),
        (
            [{**row, "margin": "much"} for row in pairs(4)],
            {"margin_column": "margin"},
            DataError,
            "is 'much', and no number",
        ),
        (pairs(4), {"margin_column": "margin"}, DataError, "margin.*no row has"),
        (pairs(4), {"sample_prompts": ["x"]}, ConfigError, "gives no text"),
        (pairs(4), {"train_embeddings": True}, ConfigError, "no effect"),
        ([{"prompt": "x", "completion": "y"}] * 4, {}, MethodError, "needs preference pairs"),
    ],
)
def test_what_it_cannot_use_is_refused(
    rows: Any, options: dict[str, Any], error: type[Exception], message: str, load: Callable[[], Any]
) -> None:
    with pytest.raises(error, match=message):
        load().train(rows, **{**TRAIN, **options})
    assert not snb.runs.list()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"completions": ["a", "b"], "labels": [True]}, "2 steps and labels 1"),
        ({"completions": ["a", ""], "labels": [True, False]}, r"completions\[1\] is ''"),
        ({"completions": ["a"], "labels": ["maybe"]}, "not true or false"),
    ],
)
def test_steps_and_verdicts_that_do_not_belong_together_are_named(row: dict[str, Any], why: str) -> None:
    import re

    data = Dataset.from_list([*STEPS, {"prompt": "x", **row}])
    assert data.format == "stepwise" and len(data.canonical_rows()) == 8
    assert re.search(why, str(data.report.bad[0])), data.report.bad


def test_what_is_no_reward_model_is_refused_when_it_is_asked(load: Callable[[], Any]) -> None:
    with pytest.raises(ModelError, match="that is no reward model"):
        snb.RewardModel(load()).score("x", ["y"])
    with pytest.raises(ConfigError, match="reduce='max'"):
        snb.RewardModel("x", reduce="max")  # type: ignore[arg-type]
