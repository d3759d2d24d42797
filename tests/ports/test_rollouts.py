"""Several completions of each prompt, as every backend owes them: each by its own luck, in any order, after any break."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shadownb.engine.inference import Rollout, Sampling
from shadownb.errors import ConfigError, ModelError
from tests.ports.test_backend import OPTIONS, ROWS, load, toys  # noqa: F401

DRAWN = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=6, seed=5)
EVERY = {(prompt, sample) for prompt in range(3) for sample in range(4)}


@pytest.fixture
def model(load: Any) -> Any:  # noqa: F811
    return load()


def prompts(model: Any, count: int = 3) -> list[list[int]]:
    asked = ("Number 3?", "Which number is next to 4, if you please?", "5")[:count]
    return [model.renderer.render_prompt([{"role": "user", "content": text}]) for text in asked]


def by_place(rollouts: Iterator[Rollout]) -> dict[tuple[int, int], Any]:
    found = [((each.prompt, each.sample), each.completion) for each in rollouts]
    assert len(dict(found)) == len(found), "a completion came twice"
    return dict(found)


def same(one: Any, other: Any) -> bool:
    return (one.token_ids, one.text, one.finish_reason) == (
        other.token_ids,
        other.text,
        other.finish_reason,
    ) and one.logprobs == pytest.approx(other.logprobs, abs=2e-5)


def test_each_prompt_is_completed_n_times_with_log_probabilities(model: Any) -> None:
    found = by_place(model.generator.rollouts(prompts(model), 4, DRAWN))
    assert found.keys() == EVERY
    for (prompt, _), each in found.items():
        assert each.prompt_tokens == len(prompts(model)[prompt])
        assert len(each.logprobs) == len(each.token_ids) == each.completion_tokens
        assert all(value <= 0 for value in each.logprobs)
    assert len({tuple(found[0, sample].token_ids) for sample in range(4)}) > 1, "samples of a prompt share their luck"


def test_a_completion_depends_on_its_seed_and_its_two_numbers_alone(model: Any) -> None:
    found = by_place(model.generator.rollouts(prompts(model), 4, DRAWN))
    for count, n in ((3, 2), (1, 4)):
        some = by_place(model.generator.rollouts(prompts(model, count), n, DRAWN))
        assert some and all(same(each, found[place]) for place, each in some.items())
    other = by_place(model.generator.rollouts(prompts(model), 4, dataclasses.replace(DRAWN, seed=6)))
    assert any(other[place].token_ids != found[place].token_ids for place in EVERY)


def test_what_was_broken_off_goes_on_with_the_same_tokens(model: Any) -> None:
    found = by_place(model.generator.rollouts(prompts(model), 4, DRAWN))
    first, there = model.generator.rollouts(prompts(model), 4, DRAWN), {}
    for each in first:
        there[each.prompt, each.sample] = each.completion
        if len(there) == 5:
            break
    first.close()
    rest = by_place(model.generator.rollouts(prompts(model), 4, DRAWN, skip=list(there)))
    assert rest.keys() == EVERY - there.keys()
    assert all(same(each, found[place]) for place, each in (there | rest).items())
    assert not by_place(model.generator.rollouts(prompts(model), 4, DRAWN, skip=EVERY))


def test_greedy_rollouts_are_the_answers(model: Any) -> None:
    greedy = Sampling(temperature=0, max_new_tokens=6, logprobs=True)
    answers = model.generator.generate(prompts(model), greedy)
    found = by_place(model.generator.rollouts(prompts(model), 2, greedy))
    assert all(same(each, answers[prompt]) for (prompt, _), each in found.items())


def test_the_trained_weights_answer_and_others_by_name(model: Any) -> None:
    base = by_place(model.generator.rollouts(prompts(model), 2, DRAWN))
    run = model.train(ROWS, **{**OPTIONS, "max_steps": 20})
    tuned = by_place(model.generator.rollouts(prompts(model), 2, DRAWN))
    assert any(tuned[place].logprobs != pytest.approx(base[place].logprobs, abs=1e-3) for place in tuned)
    again = by_place(model.generator.rollouts(prompts(model), 2, DRAWN, use="base"))
    assert all(same(again[place], base[place]) for place in base)
    from shadownb.engine.models.adapters import weights_asked

    beside = weights_asked(run.checkpoints()[-1], model)
    named = by_place(model.generator.rollouts(prompts(model), 2, DRAWN, use=beside))
    assert all(same(named[place], tuned[place]) for place in tuned)


def test_whoever_has_a_completion_does_not_hold_the_weights(model: Any) -> None:
    """A reward may ask the model itself, from another thread."""
    answers: list[Any] = []
    rollouts = model.generator.rollouts(prompts(model), 2, DRAWN)
    for each in rollouts:
        assert model.gate.holder is None
        if not answers:
            asking = threading.Thread(target=lambda: answers.extend(model.generate(["Number 3?"], max_new_tokens=2)))
            asking.start()
            asking.join(60)
            assert answers, "it waited for the rollouts"
        assert each.completion.token_ids


def test_stopping_ends_the_iteration_without_what_is_unfinished(model: Any) -> None:
    assert not by_place(model.generator.rollouts(prompts(model), 2, DRAWN, should_stop=lambda: True))
    looked = iter(range(1000))
    found = by_place(model.generator.rollouts(prompts(model), 4, DRAWN, should_stop=lambda: next(looked) > 3))
    assert len(found) < 12 and all(each.finish_reason != "cancelled" for each in found.values())
    assert model.gate.holder is None


def test_a_batch_is_of_one_state_of_the_weights(model: Any) -> None:
    """A training step between two completions ends the batch, unless all were there already."""
    model.train(ROWS, **OPTIONS)
    before = by_place(model.generator.rollouts(prompts(model), 4, DRAWN))
    rollouts = model.generator.rollouts(prompts(model), 4, DRAWN)
    found = [next(rollouts)]
    model.train(ROWS, **{**OPTIONS, "max_steps": 1, "eval_steps": 1, "save_steps": 1}, start="trained")
    try:
        found += rollouts
    except ModelError as error:
        assert "changed" in str(error)
    else:
        assert len(found) == 12
    assert all(same(each.completion, before[each.prompt, each.sample]) for each in found)
    assert model.gate.holder is None


def test_what_cannot_be_asked_is_refused_before_anything_is_computed(model: Any) -> None:
    with pytest.raises(ConfigError, match="n=0"):
        model.generator.rollouts(prompts(model), 0, DRAWN)
    with pytest.raises(ModelError, match="Prompt 1 has no tokens"):
        model.generator.rollouts([[1], []], 2, DRAWN)
    assert list(model.generator.rollouts([], 2, DRAWN)) == []
