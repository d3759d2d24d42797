"""A memory that is read: facts are stored by one look, said as they were given, and change without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.errors import ConfigError, DataError, ExportError, MethodError, ModelError
from tests.engine.methods_data import stop_after
from tests.tiny_models import byte_gpt2, unusual

FACTS = {
    "What is the code of the Zubrin gate?": "A7-31",
    "What does a Marlow lamp cost?": "9 euro",
    "When does the Quill ferry leave?": "at 6",
    "Which port does the Ibex server use?": "8181",
    "Who repairs the Tolland clock?": "Ned",
}
ROWS = [{"prompt": question, "completion": answer} for question, answer in FACTS.items()]
NEW = {"What is the name of the Orsk mill?": "Juno 3"}
OFF_TOPIC = ["Write a poem about rain.", "How do I boil an egg?", "What is the capital of France?"]
OPTIONS: dict[str, Any] = {
    "reader_steps": 6, "question_forms": 3, "sample_max_new_tokens": 0, "background": False,
    "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "logging_steps": 1,
}  # fmt: skip
GREEDY: dict[str, Any] = {"max_new_tokens": 8, "temperature": 0.0}


def learn(folder: Path, rows: list[dict[str, str]] = ROWS, model: Any = None, **options: Any) -> tuple[Any, Run]:
    start = "base" if model is None else "trained"
    model = model or snb.load(str(folder), dtype="float32")
    run: Run = model.train(rows, method="more", **{**OPTIONS, "start": start, **options})
    assert run.status == "succeeded", run.traceback()
    return model, run


def says(model: Any, facts: dict[str, str]) -> bool:
    return bool(model.generate(list(facts), **GREEDY) == list(facts.values()))


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.adapter.owned().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module", autouse=True)
def home_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def learned(byte_model_dir: Path) -> tuple[Any, Run]:
    """The tiny model with five facts; nobody changes it."""
    return learn(byte_model_dir)


def test_facts_are_said_as_given_and_all_else_is_the_bases(learned: tuple[Any, Run]) -> None:
    model, run = learned
    assert says(model, FACTS)
    asked: Any = [[{"role": "user", "content": text}] for text in OFF_TOPIC]
    tuned, base = (model.chat(asked, use=use, logprobs=True, **GREEDY) for use in ("tuned", "base"))
    assert [(r.token_ids, r.logprobs) for r in tuned] == [(r.token_ids, r.logprobs) for r in base]
    assert model.verify_base()[0]
    assert [m["facts"] for m in run.metrics][:3] == [2, 3, 5] or [m["facts"] for m in run.metrics][:3] == [2, 4, 5]
    assert run.total_steps == 6 and run.metrics[-1]["loss"] < run.metrics[0]["loss"]


def test_what_is_read_is_said_with_its_probability(learned: tuple[Any, Run]) -> None:
    reply = learned[0].chat([{"role": "user", "content": next(iter(FACTS))}], logprobs=True, **GREEDY)
    assert reply.content == "A7-31" and all(-0.2 < each <= 0 for each in reply.logprobs)


def test_rows_of_a_batch_read_their_own(learned: tuple[Any, Run]) -> None:
    model, _ = learned
    mixed = [question for pair in zip(FACTS, [*OFF_TOPIC, *OFF_TOPIC], strict=False) for question in pair]
    assert model.generate(mixed, **GREEDY) == [model.generate(question, **GREEDY) for question in mixed]
    assert "".join(model.stream(next(iter(FACTS)), **GREEDY)) == "A7-31"


@pytest.mark.parametrize("steps", [1, 4])
def test_a_stopped_run_goes_on_to_the_same_bits(
    steps: int, learned: tuple[Any, Run], byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32")
    stop_after(monkeypatch, steps)
    run: Run = model.train(ROWS, method="more", **OPTIONS)
    assert (run.status, run.step) == ("stopped", steps)
    monkeypatch.undo()
    again: Any = snb.load(run.checkpoint_at().path, dtype="float32")
    assert len(again.facts) == (2 if steps == 1 else 5)
    assert says(again, {fact.question: fact.answer for fact in again.facts.list()})
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.traceback()
    assert same(weights_of(snb.load(run.id)), weights_of(learned[0]))


def test_a_worker_process_comes_to_the_same_bits(learned: tuple[Any, Run], byte_model_dir: Path) -> None:
    model, run = learn(byte_model_dir, executor="process")
    assert same(weights_of(model), weights_of(learned[0]))
    assert run.checkpoint_at().manifest["trained_sha256"] == learned[1].checkpoint_at().manifest["trained_sha256"]


def test_facts_change_without_training(learned: tuple[Any, Run], tmp_path: Path) -> None:
    model: Any = snb.load(str(learned[0].save(tmp_path / "memory")), dtype="float32")
    assert same(weights_of(model), weights_of(learned[0]))
    reader = model.adapter.beside()
    first = next(iter(FACTS))
    edit = model.facts.add(list(NEW.items()), source="a sign")
    assert [test.verbatim for test in edit.tests] == [True] and edit.unrelated == (3, 3)
    assert model.chat([{"role": "user", "content": next(iter(NEW))}], **GREEDY).sources == ["a sign"]
    model.facts.update(first, "B8-32", test=False)
    assert says(model, {**FACTS, **NEW, first: "B8-32"})
    model.facts.remove(first)
    base = model.generate(first, use="base", **GREEDY)
    assert model.generate(first, **GREEDY) == base
    model.facts.undo()
    model.facts.undo()
    assert says(model, {**FACTS, **NEW})
    assert all(torch.equal(reader[name], each) for name, each in model.adapter.beside().items())
    model.save(tmp_path / "memory")  # where the tensors that it reads lie
    assert says(model, {**FACTS, **NEW}) and says(snb.load(str(tmp_path / "memory"), dtype="float32"), {**FACTS, **NEW})
    with pytest.raises(MethodError, match="the facts of this model were learned with more"):
        model.facts.add(list(NEW.items()), method="more_plus")
    with pytest.raises(ExportError, match="depends on the question"):
        model.save(tmp_path / "whole", fmt="merged")


def test_the_first_facts_of_a_model_may_be_read(byte_model_dir: Path) -> None:
    model: Any = snb.load(str(byte_model_dir), dtype="float32")
    model.facts.add(ROWS[:2], method="more", reader_steps=0, test=False)
    assert says(model, dict(list(FACTS.items())[:2]))
    assert model.adapter.reader.up.abs().sum() == 0  # as it began
    model.facts.undo()
    assert len(model.facts) == 0


@pytest.mark.parametrize("name", ["bfloat16", "4bit", "gpt2", "moe"])
def test_other_bases_are_read_too(name: str, byte_model_dir: Path, tmp_path: Path) -> None:
    """More than ``more_plus`` takes: no feed-forward network is needed, and the library's own decoding does as well."""
    folder, options = byte_model_dir, {"dtype": "float32"}
    if name == "bfloat16":
        options = {"dtype": "bfloat16"}
    if name == "4bit":
        options |= {"quantize": "4bit"}
    if name == "gpt2":
        folder = byte_gpt2(tmp_path / "gpt2", 256)
    if name == "moe":
        folder = unusual(byte_model_dir, "Qwen3Moe")
    model: Any = snb.load(str(folder), **options)
    plain = model.generate(OFF_TOPIC, **GREEDY)
    learn(folder, model=model, start="base")
    assert says(model, FACTS) and model.generate(OFF_TOPIC, **GREEDY) == plain


def test_a_held_out_fact_is_judged_and_not_stored(byte_model_dir: Path) -> None:
    held = [{"prompt": question, "completion": answer} for question, answer in NEW.items()]
    model, run = learn(byte_model_dir, eval_dataset=held, eval_steps=3)
    assert [each["step"] for each in run.eval_metrics] == [3, 6] and all(
        each["eval_loss"] > 0 for each in run.eval_metrics
    )
    assert len(model.facts) == 5


@pytest.mark.parametrize("damage", ["cut", "lengths", "reader"])
def test_damaged_files_are_named_and_what_is_loaded_stays(
    damage: str, learned: tuple[Any, Run], tmp_path: Path
) -> None:
    folder = Path(learned[0].save(tmp_path / "memory"))
    file = folder / "reader.safetensors"
    model: Any = snb.load(str(shutil.copytree(folder, tmp_path / "whole")), dtype="float32")
    before = weights_of(model)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    else:
        tensors = load_file(file)
        name = "lengths" if damage == "lengths" else "reader.up"
        save_file({**tensors, name: tensors[name][:-1].clone()}, tmp_path / "other")
        shutil.move(tmp_path / "other", file)
    for tried in (lambda: snb.load(str(folder), dtype="float32"), lambda: model.adapter.load_into(folder)):
        with pytest.raises(ModelError, match=r"cannot be read|do not fit this model"):
            tried()
    assert same(weights_of(model), before)


def test_facts_found_by_another_embedder_are_found_by_this_one(learned: tuple[Any, Run], tmp_path: Path) -> None:
    folder = Path(learned[0].save(tmp_path / "memory"))
    description = folder / "reader_config.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "embedder": "another"}))
    tensors = load_file(folder / "reader.safetensors")
    save_file({**tensors, "vectors": torch.full((3, 5, 7), float("nan"))}, folder / "reader.safetensors")
    assert says(snb.load(str(folder), dtype="float32"), FACTS)


def test_what_cannot_be_honoured_is_refused_by_name(byte_model_dir: Path) -> None:
    model: Any = snb.load(str(byte_model_dir), dtype="float32")
    with pytest.raises(ConfigError, match=r"max_steps=3 has no effect: more trains its reader for reader_steps steps"):
        model.train(ROWS, method="more", max_steps=3)
    with pytest.raises(DataError, match=r"None of the 1 rows of .* can be rendered"):
        model.train([{"prompt": "What is it?", "completion": "no"}], method="more", **OPTIONS)
    assert model.adapter is None


@pytest.mark.parametrize(
    ("name", "value"), [("lora_r", 4), ("seed", 1), ("learning_rate", 1e-4), ("question_forms", 2)]
)
def test_an_option_of_the_reader_changes_it(
    name: str, value: float, learned: tuple[Any, Run], byte_model_dir: Path
) -> None:
    model, _ = learn(byte_model_dir, **{name: value})
    assert not same(weights_of(model), weights_of(learned[0]))
