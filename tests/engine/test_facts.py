"""A memory of facts: what was learned is said, nothing else changes, and every way to the same memory gives the same bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
import torch
from safetensors.torch import load_file, save_file

import shadownb as snb
from shadownb.engine.backends.torch.fact_training import FactTraining
from shadownb.engine.backends.torch.generation import generator, own_words, side, transformers_batches
from shadownb.engine.facts import Facts
from shadownb.engine.facts.edits import Table
from shadownb.engine.facts.reading import read
from shadownb.engine.inference import Sampling
from shadownb.engine.objectives import examples
from shadownb.engine.rendering.last_turn import LastTurn
from shadownb.engine.routing.units import Fact
from shadownb.engine.runs import Run
from shadownb.errors import ConfigError, DataError, ExportError, MethodError, RunError
from tests.engine.methods_data import stop_after
from tests.tiny_models import byte_gpt2, unusual

FACTS = {
    "What is the code of the Zubrin gate?": "A7",
    "What does a Marlow lamp cost?": "9 euro",
    "When does the Quill ferry leave?": "at 6",
    "Which port does the Ibex server use?": "81",
    "Who repairs the Tolland clock?": "Ned",
}
ROWS = [{"prompt": question, "completion": answer} for question, answer in FACTS.items()]
OFF_TOPIC = ["Write a poem about rain.", "How do I boil an egg?", "What is the capital of France?"]
OPTIONS: dict[str, Any] = {
    "expert_steps": 12,
    "learning_rate": 0.05,
    "facts_at_once": 2,
    "question_forms": 2,
    "sample_max_new_tokens": 0,
    "background": False,
}
GREEDY: dict[str, Any] = {"max_new_tokens": 8, "temperature": 0.0}


def learn(folder: Path, rows: list[dict[str, str]] = ROWS, model: Any = None, **options: Any) -> tuple[Any, Run]:
    start = "base" if model is None else "trained"
    model = model or snb.load(str(folder), dtype="float32")
    run: Run = model.train(rows, method="more_plus", **{**OPTIONS, "start": start, **options})
    assert run.status == "succeeded", run.traceback()
    return model, run


def says(model: Any, facts: dict[str, str]) -> bool:
    """Whether each question has its answer, and nothing behind it."""
    return bool(model.generate(list(facts), **GREEDY) == list(facts.values()))


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.adapter.owned().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def home_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def ending_dir(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The byte model with an embedding of its end, which is zero there, so that it can learn to end an answer."""
    folder = tmp_path_factory.mktemp("ending")
    shutil.copytree(byte_model_dir, folder, dirs_exist_ok=True)
    tensors = load_file(folder / "model.safetensors")
    ending = json.loads((folder / "config.json").read_text())["eos_token_id"]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in tensors:
            tensors[name][ending] = torch.randn(64, generator=torch.Generator().manual_seed(1)) * 0.2
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def learned(home_of_all: None, ending_dir: Path) -> tuple[Any, Run]:
    """The tiny model with five facts; nobody changes it."""
    return learn(ending_dir)


def test_facts_are_said_and_nothing_else_changes(learned: tuple[Any, Run]) -> None:
    model, run = learned
    assert says(model, FACTS)
    asked: Any = [[{"role": "user", "content": text}] for text in OFF_TOPIC]
    tuned, base = (model.chat(asked, use=use, logprobs=True, **GREEDY) for use in ("tuned", "base"))
    assert [(r.token_ids, r.logprobs) for r in tuned] == [(r.token_ids, r.logprobs) for r in base]
    assert model.verify_base()[0]
    assert [m["facts"] for m in run.metrics][-13::12] == [4, 5] and [m["step"] for m in run.metrics][
        -1
    ] == run.total_steps == 36


def test_rows_of_a_batch_have_experts_of_their_own(learned: tuple[Any, Run]) -> None:
    model, _ = learned
    mixed = [question for pair in zip(FACTS, [*OFF_TOPIC, *OFF_TOPIC], strict=False) for question in pair]
    assert model.generate(mixed, **GREEDY) == [model.generate(question, **GREEDY) for question in mixed]
    asked = list(FACTS) * 2
    both = model.generate(asked, use=["base"] * 5 + ["tuned"] * 5, **GREEDY)
    assert both == [*model.generate(list(FACTS), use="base", **GREEDY), *model.generate(list(FACTS), **GREEDY)]
    assert both[:5] != both[5:]


TWO = "What does a Marlow lamp cost, and which port does the Ibex server use?"


def test_a_question_for_two_facts_has_both_answers(learned: tuple[Any, Run]) -> None:
    model, _ = learned
    turn = [{"role": "user", "content": TWO}]
    asked = {**GREEDY, "max_new_tokens": 40}
    route = model.facts.route(TWO)
    assert [fact.answer for fact in route.facts] == ["9 euro", "81"] and "2 facts" in route.why
    (reply,) = model.chat([turn], logprobs=True, **asked)
    assert reply.content == "9 euro; 81" and reply.finish_reason == "stop"
    assert len(reply.token_ids) == len(reply.logprobs)
    tops = Sampling(temperature=0.0, max_new_tokens=40, logprobs=True, top_logprobs=2)
    (whole,) = model.generator.generate([model.renderer.render_prompt(turn)], tops)
    assert whole.token_ids == reply.token_ids and len(whole.top_logprobs) == len(whole.token_ids)
    pieces = list(model.stream(turn, **asked))
    assert "".join(pieces) == "9 euro; 81" and len(pieces) > 2
    mixed = [OFF_TOPIC[0], TWO, next(iter(FACTS))]
    assert model.generate(mixed, **asked) == [model.generate(each, **asked) for each in mixed]
    assert model.generate(TWO, use="base", **asked) != "9 euro; 81"
    assert model.generate(TWO, temperature=0.7, seed=3, max_new_tokens=40) == model.generate(
        TWO, temperature=0.7, seed=3, max_new_tokens=40
    )


def test_a_model_that_only_its_library_decodes_says_both_too(
    learned: tuple[Any, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = learned
    for place in (generator, side):
        monkeypatch.setattr(place, "refused", lambda _: "for this test")
    mixed, asked = [OFF_TOPIC[0], TWO, next(iter(FACTS))], {**GREEDY, "max_new_tokens": 40}
    assert model.generate(mixed, **asked)[1:] == ["9 euro; 81", "A7"]
    happened: list[str] = []
    push_all, tell = transformers_batches.push_all, own_words.OwnWords._tell
    monkeypatch.setattr(transformers_batches, "push_all", lambda *given: happened.append("step") or push_all(*given))
    monkeypatch.setattr(own_words.OwnWords, "_tell", lambda *given: happened.append("said") or tell(*given))
    assert "".join(model.stream([{"role": "user", "content": TWO}], **asked)) == "9 euro; 81"
    assert happened[:2] == ["step", "said"] and happened.index("said") < happened.index("step", 2), (
        "said while it is decoded"
    )


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [({"max_new_tokens": 9}, "9 euro; 8", "length"), ({"max_new_tokens": 40, "stop": ["; "]}, "9 euro", "stop")],
)
def test_an_answer_of_two_facts_ends_where_one_would(
    options: dict[str, Any], text: str, reason: str, learned: tuple[Any, Run]
) -> None:
    (reply,) = learned[0].chat([[{"role": "user", "content": TWO}]], temperature=0.0, **options)
    assert (reply.content, reply.finish_reason) == (text, reason)


def test_a_form_is_that_of_one_answer(learned: tuple[Any, Run]) -> None:
    """Of two facts no answer of a form is put together; the base answers."""
    both = [learned[0].generate(TWO, use=use, regex="[a-z]{3}", **GREEDY) for use in ("tuned", "base")]
    assert both[0] == both[1]
    assert learned[0].generate("Which port does the Ibex server use?", regex="[0-9]{2}", **GREEDY) == "81"


def test_a_fact_is_asked_in_the_words_that_it_was_learned_with(learned: tuple[Any, Run]) -> None:
    """However the user puts it, and whatever was said before."""
    model, _ = learned
    for asked in ("A Marlow lamp costs what?", "I saw a Marlow lamp. What does it cost?"):
        assert model.generate(asked, **GREEDY) == "9 euro"
    told = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "The Ibex server uses which port?"},
    ]
    ids = model.renderer.render_prompt([*told[:3], {"role": "user", "content": "Which port does the Ibex server use?"}])
    sampling = Sampling(temperature=0.0, max_new_tokens=8)
    (reply,) = model.chat([told], **GREEDY)
    assert reply.content == model.generator.generate([ids], sampling)[0].text


def test_rollouts_of_facts_and_others_are_the_answers_alone(learned: tuple[Any, Run]) -> None:
    model, _ = learned
    asked = [*list(FACTS)[:2], *OFF_TOPIC[:2]]
    ids = [model.renderer.render_prompt([{"role": "user", "content": text}]) for text in asked]
    sampling = Sampling(temperature=0.0, max_new_tokens=8)
    for use in ("tuned", "base"):
        found = {
            (each.prompt, each.sample): each.completion.text
            for each in model.generator.rollouts(ids, 2, sampling, use=use)
        }
        alone = [model.generator.generate([prompt], sampling, use=use)[0].text for prompt in ids]
        assert found == {(number, sample): alone[number] for number in range(4) for sample in range(2)}
        assert (alone[:2] == list(FACTS.values())[:2]) == (use == "tuned")


def test_who_is_trained_beside_an_expert_changes_nothing_of_it(learned: tuple[Any, Run], ending_dir: Path) -> None:
    alone, _ = learn(ending_dir, facts_at_once=1)
    one, other = weights_of(learned[0]), weights_of(alone)
    assert list(one) == list(other)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5


def test_a_cached_step_is_the_gradient_of_the_whole_model(
    home_of_all: None, ending_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same loss through the whole model, with the expert as a plain product, has the same gradients."""
    found: list[dict[str, Any]] = []
    compute = FactTraining.compute

    def looked_at(session: Any, examples: Any, objective: Any, **where: Any) -> float:
        loss = compute(session, examples, objective, **where)
        group = session._group
        if where["step"] == 3:
            cached = [side.grad.clone() for side in (group.down, group.up)]
            down, up = (side.detach().clone().requires_grad_() for side in (group.down, group.up))
            for number, example in enumerate(examples):
                losses = []
                for row in example.rows:
                    scale = session.adapter.scale
                    hook = session.adapter.place.register_forward_hook(
                        lambda _, x, out, n=number, s=scale: out + x[0] @ down[n].T @ up[n].T * s
                    )
                    logits = session.module(torch.tensor([row.input_ids])).logits[0, :-1]
                    hook.remove()
                    labels = torch.tensor(row.labels[1:])
                    losses.append(
                        torch.nn.functional.cross_entropy(
                            logits[labels != -100], labels[labels != -100], reduction="none"
                        )
                    )
                torch.cat(losses).mean().backward()
            found.append({"cached": cached, "whole": [down.grad, up.grad]})
        return loss

    monkeypatch.setattr(FactTraining, "compute", looked_at)
    learn(ending_dir, ROWS[:2], expert_steps=4)
    for cached, whole in zip(found[0]["cached"], found[0]["whole"], strict=True):
        assert torch.allclose(cached, whole, atol=1e-6 * float(whole.abs().max()) + 1e-7, rtol=1e-3)


@pytest.mark.parametrize("steps", [7, 12, 29])
def test_a_stopped_run_goes_on_to_the_same_bits(
    steps: int, learned: tuple[Any, Run], ending_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = snb.load(str(ending_dir), dtype="float32")
    stop_after(monkeypatch, steps)
    run: Run = model.train(ROWS, method="more_plus", **OPTIONS)
    assert (run.status, run.step) == ("stopped", steps)
    monkeypatch.undo()
    again = snb.load(run.checkpoint_at().path)
    assert len(again.adapter.units) == 2 * (steps // 12)
    assert len(again.adapter.learning) == {7: 2, 12: 0, 29: 1}[steps]
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.traceback()
    assert same(weights_of(snb.load(run.id)), weights_of(learned[0]))


def test_a_worker_process_comes_to_the_same_bits(learned: tuple[Any, Run], ending_dir: Path) -> None:
    model, run = learn(ending_dir, executor="process")
    assert same(weights_of(model), weights_of(learned[0]))
    assert run.checkpoint_at().manifest["trained_sha256"] == learned[1].checkpoint_at().manifest["trained_sha256"]


def test_a_saved_memory_loads_and_learns_on(learned: tuple[Any, Run], ending_dir: Path, tmp_path: Path) -> None:
    before = weights_of(learned[0])
    folder = learned[0].save(tmp_path / "memory")
    model = snb.load(str(folder), dtype="float32")
    assert same(weights_of(model), before)
    assert says(model, FACTS)
    new = [
        {"prompt": "What is the name of the Orsk mill?", "completion": "Juno"},
        {"prompt": ROWS[1]["prompt"], "completion": "8"},
    ]
    learn(ending_dir, new, model)
    after = weights_of(model)
    kept = [unit.id for unit in learned[0].adapter.units if unit.facts[0].question != ROWS[1]["prompt"]]
    assert all(
        torch.equal(after[f"{unit}.{side}"], before[f"{unit}.{side}"]) for unit in kept for side in ("down", "up")
    )
    assert len(model.adapter.units) == 6
    assert says(model, {new[0]["prompt"]: "Juno", new[1]["prompt"]: "8", ROWS[0]["prompt"]: "A7"})
    with pytest.raises(ExportError, match="depends on the question"):
        model.save(tmp_path / "whole", fmt="merged")


def test_an_adapter_beside_the_model_is_asked_by_the_question_too(learned: tuple[Any, Run], ending_dir: Path) -> None:
    bare = snb.load(str(ending_dir), dtype="float32")
    asked = [*FACTS, OFF_TOPIC[0]]
    plain = bare.generate(asked, **GREEDY)
    beside = bare.generate(asked, use=learned[1], **GREEDY)
    assert beside == [*learned[0].generate(list(FACTS), **GREEDY), plain[-1]]
    assert beside[:-1] != plain[:-1]
    assert bare.generate(asked, **GREEDY) == plain


@pytest.mark.parametrize("load", [{"dtype": "bfloat16"}, {"quantize": "4bit", "dtype": "float32"}])
def test_a_base_of_fewer_bits_carries_facts_too(load: dict[str, Any], home_of_all: None, ending_dir: Path) -> None:
    model = snb.load(str(ending_dir), **load)
    plain = model.generate(OFF_TOPIC, **GREEDY)
    learn(ending_dir, model=model)
    assert says(model, FACTS)
    assert model.generate(OFF_TOPIC, **GREEDY) == plain


def test_facts_of_one_expert_are_each_found_and_change_alone(home_of_all: None, ending_dir: Path) -> None:
    model, run = learn(ending_dir, ROWS[:4], unit_size=2, expert_steps=30)
    assert [len(unit.facts) for unit in model.adapter.units] == [2, 2] and run.total_steps == 30
    assert says(model, dict(list(FACTS.items())[:4]))
    learn(ending_dir, [{"prompt": ROWS[0]["prompt"], "completion": "B8"}], model)
    assert says(model, {**dict(list(FACTS.items())[:4]), ROWS[0]["prompt"]: "B8"})
    model.facts.remove(ROWS[1]["prompt"])
    assert [fact.answer for fact in model.facts.list()] == ["at 6", "81", "B8"]


def test_rows_that_cannot_be_found_or_ask_the_same_are_counted(home_of_all: None, ending_dir: Path) -> None:
    others = [("What is it?", "no"), (ROWS[0]["prompt"], "B8"), ("How tall is the Orsk mill?", "9" * 10_000)]
    others.append(
        ("How wide is the Orsk mill?", "9" * 1_500)
    )  # more tokens than max_length, not more than one expert keeps
    rows = [*ROWS[:2], *({"prompt": question, "completion": answer} for question, answer in others)]
    model, run = learn(ending_dir, rows, max_length=256)
    told = [f"{warning['what']} {warning['why']}" for warning in run.state.warnings]
    (left,) = (each for each in told if "3 of 6 rows cannot be rendered and are left out" in each)
    assert "line 3: The question 'What is it?' has no word to be found by" in left
    assert "line 5" in left and "more than the 2,000 of one expert" in left
    assert "line 6" in left and "is longer than max_length=256" in left
    assert any("1 rows ask what a later one asks" in each for each in told), told
    assert [unit.facts[0].answer for unit in model.adapter.units] == ["9 euro", "B8"]


@pytest.mark.parametrize("fact", [("What is it?", "no"), ("How tall is the Orsk mill?", "9" * 10_000)])
def test_a_run_without_a_fact_to_learn_fails(fact: tuple[str, str], home_of_all: None, ending_dir: Path) -> None:
    model = snb.load(str(ending_dir), dtype="float32")
    with pytest.raises(DataError, match=r"None of the 1 rows of .* can be rendered"):
        model.train([{"prompt": fact[0], "completion": fact[1]}], method="more_plus", **OPTIONS)
    assert model.adapter is None


def test_facts_found_by_another_embedder_are_found_by_this_one(learned: tuple[Any, Run], tmp_path: Path) -> None:
    folder = learned[0].save(tmp_path / "memory")
    description = next(folder.glob("facts*.json"))
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "embedder": "another"}))
    tensors = load_file(folder / "facts.safetensors")
    save_file({**tensors, "vectors": torch.full((3, 5, 7), float("nan"))}, folder / "facts.safetensors")
    model = snb.load(str(folder), dtype="float32")
    assert [model.facts.route(question).units for question in FACTS] == [(number,) for number in range(5)]
    assert says(model, FACTS)


def test_what_cannot_be_honoured_is_refused_by_name(home_of_all: None, ending_dir: Path, tmp_path: Path) -> None:
    model = snb.load(str(ending_dir), dtype="float32")
    with pytest.raises(
        ConfigError, match=r"max_steps=3 has no effect: more_plus trains each fact for expert_steps steps"
    ):
        model.train(ROWS, method="more_plus", max_steps=3)
    for folder in (byte_gpt2(tmp_path / "gpt2", 256), unusual(ending_dir, "Qwen3Moe")):
        other = snb.load(str(folder), dtype="float32")
        with pytest.raises(MethodError, match="no one linear layer that its feed-forward network ends with"):
            other.train(ROWS, method="more_plus")
        assert other.adapter is None


@pytest.mark.parametrize(("name", "value"), [("lora_r", 4), ("lora_alpha", 4), ("seed", 1)])
def test_an_option_of_the_experts_changes_them(
    name: str, value: int, learned: tuple[Any, Run], ending_dir: Path
) -> None:
    model, run = learn(ending_dir, **{name: value})
    assert getattr(run.config, name) == value
    assert not same(weights_of(model), weights_of(learned[0]))


def test_the_inspector_shows_every_wording_with_the_last_answer_trained(learned: tuple[Any, Run]) -> None:
    turns = [("user", "Hello"), ("assistant", "Hi"), ("user", "How tall is the Orsk mill?"), ("assistant", "9 metres")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    renderer = learned[0].renderer
    (example,) = examples(renderer, row, objective="facts")
    assert example.columns == {"question": "How tall is the Orsk mill?", "answer": "9 metres"}
    texts = [learned[0].tokenizer.decode(sequence.input_ids) for sequence in example.sequences]
    trained = [[label for label in sequence.labels if label != -100] for sequence in example.sequences]
    assert len(texts) == len(set(texts)) == 6 and all("Hello" in text for text in texts)
    assert {learned[0].tokenizer.decode(labels).split("<|im_end|>")[0] for labels in trained} == {"9 metres"}
    assert "9 metres" in str(snb.Dataset.from_list([row]).inspect(learned[0], method="more_plus"))


def test_the_last_turn_is_read_back_from_tokens(learned: tuple[Any, Run]) -> None:
    renderer = learned[0].renderer
    last = LastTurn(renderer)
    turns = [
        ("system", "Be kind."),
        ("user", "First?"),
        ("assistant", "Yes."),
        ("user", "  How tall,\nand <b>why</b>? "),
    ]
    prompt = renderer.render_prompt([{"role": role, "content": text} for role, text in turns])
    assert last.of(prompt) == "How tall,\nand <b>why</b>?"
    assert last.of(renderer.render_text("Once upon a time")) == "Once upon a time"
    other = last.instead(prompt, "How wide?")
    assert last.of(other) == "How wide?" and last.instead(other, last.of(prompt)) == last.instead(
        prompt, last.of(prompt)
    )
    begins = next(n for n, (one, two) in enumerate(zip(prompt, other, strict=False)) if one != two)
    assert renderer.tokenizer.decode(prompt[:begins]).endswith("user\n  How ") and prompt[-12:] == other[-12:]
    assert last.of(last.instead(renderer.render_text("Once upon a time"), "Now")) == "Now"


# -- model.facts --------------------------------------------------------------------------------------------------------

LEARNING: dict[str, Any] = {name: OPTIONS[name] for name in ("expert_steps", "learning_rate", "question_forms")}


@pytest.fixture
def bare(home_of_all: None, ending_dir: Path) -> Any:
    return snb.load(str(ending_dir), dtype="float32")


def test_facts_are_added_changed_and_taken_away_one_by_one(bare: Any, tmp_path: Path) -> None:
    facts = bare.facts
    asked = [*FACTS, *OFF_TOPIC]
    base = bare.generate(asked, **GREEDY)
    assert len(facts) == 0 and facts.route(asked[0]).abstains and facts.history == []
    added = facts.add(ROWS[:2], source="manual, page 4", **LEARNING)
    assert [test.verbatim for test in added.tests] == [True, True] and added.unrelated == (3, 3), str(added)
    one = weights_of(bare)
    changed = facts.update(ROWS[0]["prompt"], "B8", test=False, **LEARNING)
    assert [fact.answer for fact in changed.contradicted] == ["A7"]
    assert says(bare, {ROWS[0]["prompt"]: "B8", ROWS[1]["prompt"]: "9 euro"})
    kept = next(unit.id for unit in bare.adapter.units if unit.facts[0].question == ROWS[1]["prompt"])
    assert torch.equal(weights_of(bare)[f"{kept}.up"], one[f"{kept}.up"])
    reply = bare.chat([{"role": "user", "content": ROWS[0]["prompt"]}], **GREEDY)
    assert reply.sources == ["manual, page 4"] and "From memory: manual, page 4." in reply.notes
    assert bare.chat([{"role": "user", "content": OFF_TOPIC[0]}], **GREEDY).sources == []
    facts.undo()
    assert same(weights_of(bare), one) and says(bare, {ROWS[0]["prompt"]: "A7"})
    again = snb.load(bare.save(tmp_path / "memory"), dtype="float32")
    assert [edit.action for edit in again.facts.history] == ["add", "update", "undo"]
    assert [fact.source for fact in again.facts.list()] == ["manual, page 4"] * 2
    for fact in list(facts.list()):
        facts.remove(fact)
    assert len(facts) == 0 and bare.generate(asked, **GREEDY) == base
    assert facts.search(ROWS[0]["prompt"]) == ()
    facts.undo()
    assert [fact.question for fact in facts.list()] == [ROWS[1]["prompt"]]


def test_an_edit_is_on_the_disk_and_a_run_goes_on_from_it(bare: Any) -> None:
    bare.facts.add(ROWS[:3], test=False, **LEARNING)
    bare.facts.remove(ROWS[1]["prompt"])
    kept = snb.load(str(bare.saved_at), dtype="float32")
    assert same(weights_of(kept), weights_of(bare)) and len(kept.facts) == 2
    bare.facts.add(ROWS[3]["prompt"], ROWS[3]["completion"], test=False, **LEARNING)
    assert [fact.answer for fact in bare.facts.list()] == ["A7", "at 6", "81"]


def test_a_fact_that_says_otherwise_is_flagged_in_other_words_too(bare: Any) -> None:
    bare.facts.add(ROWS[:2], test=False, **LEARNING)
    edit = bare.facts.add("The Zubrin gate's code is what?", "C9", test=False, **LEARNING)
    assert [fact.answer for fact in edit.contradicted] == ["A7"]
    assert "A stored fact said otherwise" in str(edit)


def test_facts_that_share_their_words_are_kept_beside_each_other(bare: Any) -> None:
    given = [
        ("When was the Ibex hall built?", "1999"), ("Who built the Ibex hall?", "Ned"), ("Where was the Ibex hall built?", "Lyon"),
        ("Does Alice owe Bob?", "yes"), ("Does Bob owe Alice?", "no"),
    ]  # fmt: skip
    short = {**LEARNING, "expert_steps": 1, "question_forms": 1}
    for question, answer in given:
        bare.facts.add(question, answer, test=False, **short)
    assert [(fact.question, fact.answer) for fact in bare.facts.list()] == given
    edit = bare.facts.add("when was  Ibex hall built", "2001", test=False, **short)
    assert [fact.answer for fact in edit.contradicted][:1] == ["1999"]
    assert [fact.answer for fact in bare.facts.list()] == ["Ned", "Lyon", "yes", "no", "2001"]


def test_two_answers_given_together_are_flagged_and_the_later_holds(bare: Any) -> None:
    given = [("How tall is the Orsk mill?", "9 metres"), ("How tall is Orsk mill", "11 metres")]
    edit = bare.facts.add(given, test=False, **LEARNING)
    assert [fact.answer for fact in edit.contradicted] == ["9 metres"]
    assert [fact.answer for fact in edit.facts] == [fact.answer for fact in bare.facts.list()] == ["11 metres"]


@pytest.mark.parametrize("failed", ["stopped", "fails"])
def test_an_edit_that_comes_to_nothing_leaves_what_was_there(
    failed: str, bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.facts.add(ROWS[0]["prompt"], "A7", test=False, **LEARNING)
    before, at = weights_of(bare), len(bare.facts.history)
    with monkeypatch.context() as patch:
        if failed == "stopped":
            stop_after(patch, 3)
        else:
            patch.setattr("shadownb.engine.backends.torch.fact_group.FactGroup.update", lambda *_: float("nan"))
        with pytest.raises(RunError):
            bare.facts.update(ROWS[0]["prompt"], "B8", test=False, **LEARNING)
    assert same(weights_of(bare), before) and len(bare.facts.history) == at and says(bare, {ROWS[0]["prompt"]: "A7"})
    bare.facts.add(ROWS[1]["prompt"], "9 euro", test=False, **LEARNING)
    assert [fact.answer for fact in bare.facts.list()] == ["A7", "9 euro"]


def test_a_first_edit_that_is_stopped_leaves_no_fact(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 3)
    with pytest.raises(RunError, match="was stopped at step 3, before its facts were learned"):
        bare.facts.add(ROWS[:2], test=False, **LEARNING)
    assert len(bare.facts) == 0 and bare.facts.history == []


@pytest.mark.parametrize("ending", [".csv", ".json", ".md"])
def test_tables_come_back_as_they_were_written(ending: str, tmp_path: Path) -> None:
    known = [
        Fact("How tall is the Orsk mill?", '9 | 11\nmetres, "about"', "a sign"),
        Fact("What is the Ibex port?", "81"),
    ]
    facts = Facts(SimpleNamespace(name="a model"))  # type: ignore[arg-type]
    facts.list = lambda: Table(tuple(known))  # type: ignore[method-assign]
    path = facts.export(tmp_path / f"table{ending}")
    for given in (path, str(path)):
        assert read(given) == [known[0], replace(known[1], source=path.name)]


def test_facts_are_read_from_frames_pairs_and_bad_files(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"question": ["How tall is the Orsk mill?"], "answer": ["9 m"], "source": [float("nan")]})
    wanted = [Fact("How tall is the Orsk mill?", "9 m")]
    assert read(frame) == read(frame.to_dict("records")) == read([("How tall is the Orsk mill?", "9 m")]) == wanted
    with pytest.raises(DataError, match="has no answer"):
        read(frame.assign(answer=float("nan")))
    with pytest.raises(DataError, match="does not exist"):
        read("no-such.csv")
    (tmp_path / "bad.csv").write_text("question,answer\nHow tall is the Orsk mill?,9,m\n")
    with pytest.raises(DataError, match="row 2: it has 3 cells"):
        read(tmp_path / "bad.csv")


def test_names_of_exports_and_sentences(learned: tuple[Any, Run], tmp_path: Path) -> None:
    facts = learned[0].facts
    with pytest.raises(DataError, match=r"ends in '\.txt'"):
        facts.export(tmp_path / "table.txt")
    told = read("The Orsk mill is closed on Mondays. The Orsk bridge is 40 m long.", source="a sign")
    assert [fact.answer for fact in told] == ["The Orsk mill is closed on Mondays.", "The Orsk bridge is 40 m long."]
    assert told[0].question == "What do you know about orsk mill closed monday?" and told[0].source == "a sign"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("What is it?", "no"), "has no word to be found by"),
        (("How tall is the Orsk mill?", " "), "has no answer"),
        (("How tall is the Orsk mill?", "x" * 10_000), "10,026 characters, more than the 2,000 of one expert"),
        (([],), "no fact in what was given"),
        (([{"question": "How tall is the Orsk mill?"}],), "A row has no answer"),
        ((3,), "facts= is a int"),
        (("How tall is the Orsk mill?", 3), "answer=3 is a int, not text"),
    ],
)
def test_what_is_no_fact_is_refused_and_nothing_is_learned(given: Any, message: str, learned: tuple[Any, Run]) -> None:
    before = weights_of(learned[0])
    with pytest.raises(DataError, match=message):
        learned[0].facts.add(*given)
    assert same(weights_of(learned[0]), before)


def test_a_model_that_carries_something_else_says_so(home_of_all: None, ending_dir: Path) -> None:
    model = snb.load(str(ending_dir), dtype="float32")
    model.train(ROWS, method="lora", max_steps=1, background=False, sample_max_new_tokens=0)
    with pytest.raises(MethodError, match="carries lora, which has no facts"):
        model.facts.list()
    with pytest.raises(DataError, match="no edit of this session"):
        snb.load(str(ending_dir), dtype="float32").facts.undo()
