"""Episodes with scripted replies: which tokens they have, what a model is told, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from shadownb.engine.environments import Episode
from shadownb.engine.environments.playing import Limits, Pool, Start, play
from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.types import Completion, Rollout
from shadownb.engine.rendering import Renderer
from tests.environments import games
from tests.waiting import wait_for

CALL = '<tool_call>\n{{"name": "{}", "arguments": {}}}\n</tool_call>'


@pytest.fixture(scope="module")
def renderer(smollm2_tokenizer: Any) -> Renderer:
    return Renderer(smollm2_tokenizer)


class Script:
    """Replies by turn and episode; the pieces of a reply are tokens that no tokenizer would choose."""

    def __init__(self, renderer: Renderer, reply: Callable[[int, int], str]) -> None:
        self.renderer, self.reply = renderer, reply
        self.turn, self.asked = 0, list[list[int]]()

    def ids(self, text: str) -> list[int]:
        tokenizer = self.renderer.tokenizer
        letters = [tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in text]
        return [token for ids in letters for token in ids] + [self.renderer.stop_token_ids[0]]

    def __call__(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]:
        self.asked += [list(prompt) for at, prompt in enumerate(prompts) if (at, 0) not in skip]
        turn, self.turn = self.turn, self.turn + 1
        for place in range(len(prompts)):
            for sample in range(n):
                if (place, sample) not in skip:
                    text = self.reply(turn, place * n + sample)
                    ids = self.ids(text)
                    logs = [-0.01 * k for k in range(len(ids))]
                    yield Rollout(
                        place, sample, Completion(text, ids, "stop", len(prompts[place]), len(ids), logprobs=logs)
                    )


def played(
    renderer: Renderer, environment: Any, reply: Callable[[int, int], str], *, count: int = 1, n: int = 1, **limits: Any
) -> tuple[list[Episode], Script]:
    script = Script(renderer, reply)
    pool = Pool(environment, 5.0)
    starts = [Start([{"role": "user", "content": f"Number {k}."}], row={"number": k}) for k in range(count)]
    found = {
        (rollout.prompt, rollout.sample): rollout.completion
        for rollout in play(
            starts, n, pool=pool, renderer=renderer, answers=script, sampling=lambda turn: Sampling(seed=turn),
            seeds=lambda place: place, limits=Limits(**{"turns": 6, "tokens": 2000, "row": 4000, "seconds": 5.0, **limits}),
        )
    }  # fmt: skip
    pool.close()
    episodes = [found[key] for key in sorted(found)]
    assert all(isinstance(episode, Episode) for episode in episodes)
    return episodes, script  # type: ignore[return-value]


def text_of(renderer: Renderer, ids: Sequence[int]) -> str:
    return str(renderer.tokenizer.decode(ids, skip_special_tokens=False))


def test_sampled_tokens_are_kept_and_turns_are_only_appended(renderer: Renderer) -> None:
    """trl#5224: decoded and tokenised again, the pieces would be others."""
    words = ("hello", "area", "io")
    (episode,), script = played(renderer, games.Vowels, lambda turn, _: words[turn])
    said = [token for word in words for token in script.ids(word)]
    assert episode.token_ids == said == [label for label in episode.labels if label >= 0]
    assert [i for i, label in zip(episode.input_ids, episode.labels, strict=True) if label >= 0] == said
    assert renderer.tokenizer("hello", add_special_tokens=False)["input_ids"] != script.ids("hello")[:-1]
    messages = [{"role": "user", "content": "Number 0.\n\nSay a word."}]
    for asked, word, said_to_it in zip(script.asked, words, ("2 more.", "1 more.", "0 more."), strict=True):
        assert text_of(renderer, asked) == text_of(renderer, renderer.render_prompt(messages)), (
            "as it is asked at inference"
        )
        messages += [{"role": "assistant", "content": word}, {"role": "user", "content": said_to_it}]
    assert len(episode.logprobs or ()) == len(said)
    assert (episode.turns, episode.ended, episode.finish_reason) == (3, "done", "stop")
    assert episode.reward == pytest.approx(2 / 5 + 3 / 4 + 1.0)
    assert [m["role"] for m in episode.messages] == ["assistant", "user"] * 3


def test_tools_are_called_by_their_signatures_and_errors_are_observations(renderer: Renderer) -> None:
    replies = [
        CALL.format("refund", '{"order": -1}'), CALL.format("refund", '{"order": "x"}'), CALL.format("pay", "{}"),
        "<tool_call>\n{broken\n</tool_call>", CALL.format("refund", '{"order": 7}'), "Done.",
    ]  # fmt: skip
    (episode,), script = played(renderer, games.Shop, lambda turn, _: replies[turn])
    told = [m["content"] for m in episode.messages if m["role"] != "assistant"]
    assert told[0] == "Error: order -1 is no order"
    assert told[1].startswith("Error: order: Input should be a valid integer")
    assert told[2] == "Error: there is no tool 'pay'; there are refund, wait"
    assert "cannot be read" in told[3] and told[4] == "7 is paid back"
    assert (episode.calls, episode.failed_calls, episode.reward, episode.ended) == (5, 4, 1.0, "done")
    first = text_of(renderer, script.asked[0])
    assert '"refund"' in first and "Its number." in first and "Order 7 is late." in first
    assert "7 is paid back" in text_of(renderer, script.asked[5])


def test_a_tool_that_hangs_is_ended_and_told(renderer: Renderer) -> None:
    replies = [CALL.format("wait", '{"seconds": 60}'), CALL.format("refund", '{"order": 7}'), "Done."]
    before = threading.active_count()
    (episode,), _ = played(renderer, games.Shop, lambda turn, _: replies[turn], seconds=0.5)
    assert episode.messages[1]["content"] == "Error: wait took longer than 0.5 s."
    assert (episode.late_calls, episode.calls, episode.reward) == (1, 2, 1.0), (
        "the others went on in the same environment"
    )
    wait_for(lambda: threading.active_count() <= before)


def test_one_that_cannot_be_ended_costs_its_own_episode_alone(renderer: Renderer) -> None:
    episodes, _ = played(renderer, games.HangsDeep, lambda turn, k: "aa", count=2, seconds=0.5)
    assert [episode.ended for episode in episodes] == ["done", "failed"]
    assert episodes[0].reward == 3.0 and episodes[1].reward is None
    assert episodes[1].reason == "the environment took longer than 0.5 s" and episodes[1].late_calls == 1


def test_an_environment_that_breaks_is_an_observation_or_no_episode(renderer: Renderer) -> None:
    episodes, _ = played(renderer, games.Breaks, lambda turn, k: "ab", count=2)
    assert episodes[0].messages[2]["content"] == "Error: KeyError: 'ab'" and episodes[0].failed_calls == 1
    assert episodes[0].reward == 2.0 and episodes[0].ended == "done"
    assert episodes[1].ended == "failed" and episodes[1].reason == "reset() raised RuntimeError: no board"
    assert episodes[1].token_ids == [] and episodes[1].reward is None


def test_one_that_never_ends_is_ended_by_the_turns_or_the_tokens(renderer: Renderer) -> None:
    (episode,), _ = played(renderer, games.Endless, lambda turn, _: "aaaaa", turns=4)
    assert (episode.turns, episode.ended, episode.finish_reason) == (4, "max_turns", "length")
    assert episode.reward == 2.0 and episode.reason == "it went on after 4 turns"
    (episode,), _ = played(renderer, games.Endless, lambda turn, _: "aaaaa", tokens=30)
    assert (episode.ended, episode.finish_reason) == ("length", "length")
    assert len(episode.input_ids) - episode.prompt_tokens <= 30
    (episode,), _ = played(renderer, games.Endless, lambda turn, _: "a" * 50, tokens=20)
    assert len(episode.token_ids) == 20 and episode.turns == 1, "a reply is cut where the room ends"
    assert len(episode.logprobs or ()) == 20


def test_environments_are_used_again_and_episodes_that_are_there_are_left_out(renderer: Renderer) -> None:
    made = games.Vowels.made
    episodes, script = played(renderer, games.Vowels, lambda turn, k: "aeiou"[k % 5], count=2, n=3)
    assert games.Vowels.made == made + 6 and len(episodes) == 6
    assert {tuple(episode.input_ids[: episode.prompt_tokens]) for episode in episodes[:3]} == {tuple(script.asked[0])}
    pool = Pool(games.Vowels, 5.0)
    pool.give_back(*pool.take())
    pool.give_back(*pool.take())
    assert games.Vowels.made == made + 7
    again = list(
        play(
            [Start([{"role": "user", "content": f"Number {k}."}], row={"number": k}) for k in range(2)], 3, pool=pool,
            renderer=renderer, answers=Script(renderer, lambda turn, k: "aeiou"[k % 5]), sampling=lambda turn: Sampling(),
            seeds=lambda place: place, limits=Limits(6, 2000, 4000, 5.0), skip={(0, 0), (1, 2)},
        )
    )  # fmt: skip
    assert sorted((rollout.prompt, rollout.sample) for rollout in again) == [(0, 1), (0, 2), (1, 0), (1, 1)]
    for rollout in again:
        assert rollout.completion == episodes[rollout.prompt * 3 + rollout.sample]
    pool.close()
