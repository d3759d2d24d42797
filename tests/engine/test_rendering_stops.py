"""What a turn ends with, and turns that a template does not continue its own prompt with."""

from __future__ import annotations

from typing import Any

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from tests.engine.golden_ids import ANSWER, CALL, CALLS, RESULT, TOOLS, USER
from tests.engine.template_families import family, names


def trained(renderer: Renderer, row: dict[str, Any]) -> list[str]:
    """The trained text of each sequence of a row, after checking that its prompt is that of inference."""
    row = Dataset.from_list([row]).canonical_rows()[0]
    found = renderer.render_all(row)
    return [renderer.tokenizer.decode([label for label in part.labels if label != -100]) for part in found]


def stops(renderer: Renderer) -> list[str]:
    """The tokens that end a reply."""
    return [renderer.tokenizer.convert_ids_to_tokens(identifier) for identifier in renderer.stop_token_ids]


THOUGHTFUL_CALL = {**CALLS, "reasoning_content": "R"}


def test_gptoss_answers_are_trained_after_a_call() -> None:
    renderer = Renderer(family("gptoss"))
    row = {"messages": [USER, THOUGHTFUL_CALL, RESULT, ANSWER], "tools": TOOLS}
    call = (
        "<|channel|>analysis<|message|>R<|end|><|start|>assistant to=functions.weather<|channel|>commentary json"
        '<|message|>{"town": "Bern"}<|call|>'
    )
    answer = "<|channel|>final<|message|>It is sunny.\n\nThe end.<|return|>"
    assert trained(renderer, row) == [call + answer]
    assert renderer.untrainable_turns(row) == 0 and stops(renderer) == ["<|return|>", "<|call|>"]
    (only,) = renderer.render_all(row)
    prompt = renderer.render_prompt(row["messages"][:3], TOOLS)
    assert only.input_ids[: len(prompt)] == prompt, "the reasoning of the call stands in the prompt of the answer"


def test_gptoss_history_ends_as_history_and_the_end_as_the_end() -> None:
    renderer = Renderer(family("gptoss"))
    answers = [
        {"role": "assistant", "content": text, "reasoning_content": f"thought {text}"}
        for text in ("one", "two", "three")
    ]
    row = {"messages": [part for answer in answers for part in (USER, answer)]}
    assert trained(renderer, row) == [
        f"<|channel|>analysis<|message|>thought {text}<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>"
        for text in ("three", "two", "one")
    ]
    for part in renderer.render_all(row):
        text = renderer.tokenizer.decode(part.input_ids)
        assert text.count("<|return|>") == 1 and text.endswith("<|return|>")


@pytest.mark.parametrize("name", ["deepseek_r1_distill", "deepseekv3"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"content": "a"}, "\n</think>\n\na"),
        ({"content": "a", "reasoning_content": "why\nso"}, "why\nso\n</think>\n\na"),
        ({"content": "<think>\nwhy\n</think>\n\na"}, "why\n</think>\n\na"),
        ({"content": "why</think>a"}, "why\n</think>\n\na"),
        ({"content": "a", "reasoning_content": "  \n"}, "\n</think>\n\na"),
    ],
)
def test_a_prompt_that_opens_the_reasoning_is_continued(name: str, answer: dict[str, str], expected: str) -> None:
    renderer = Renderer(family(name))
    row = {"messages": [USER, {"role": "assistant", **answer}]}
    assert renderer.tokenizer.decode(renderer.render_prompt([USER])).endswith("<think>\n")
    assert trained(renderer, row) == [f"{expected}<｜end▁of▁sentence｜>"]
    two = {"messages": [*row["messages"], {"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}
    assert trained(renderer, two) == ["\n</think>\n\nb<｜end▁of▁sentence｜>", f"{expected}<｜end▁of▁sentence｜>"]
    first, second = renderer.render_all(two)
    for part, turn in ((first, 3), (second, 1)):
        prompt = renderer.render_prompt(two["messages"][:turn])
        assert part.input_ids[: len(prompt)] == prompt and part.labels[len(prompt) - 1] == -100


@pytest.mark.parametrize("name", ["nemotron_3_nano", "nemotron_3_super"])
def test_a_template_that_writes_reasoning_says_how_an_empty_one_ends(name: str) -> None:
    renderer = Renderer(family(name))
    renderer.variables = {"enable_thinking": True}
    empty = {"messages": [USER, {"role": "assistant", "content": "a"}]}
    assert trained(renderer, empty) == ["\n</think>\na<|im_end|>"]
    thought = {"messages": [USER, {"role": "assistant", "content": "a", "reasoning_content": "why"}]}
    assert trained(renderer, thought) == ["why\n</think>\na<|im_end|>"]
    inline = {"messages": [USER, {"role": "assistant", "content": "<think>why</think>a"}]}
    assert trained(renderer, inline) == ["why\n</think>\na<|im_end|>"]
    called = {"messages": [USER, CALLS, RESULT, ANSWER], "tools": TOOLS}
    assert renderer.untrainable_turns(called) == 0


def test_a_greeting_is_counted_and_the_rest_trained() -> None:
    renderer = Renderer(family("qwen3_instruct_2507"))
    row = {"messages": [{"role": "assistant", "content": "Welcome!"}, USER, ANSWER]}
    (only,) = renderer.render_all(row)
    assert only.untrainable_turns == 1 == renderer.untrainable_turns(row)
    assert trained(renderer, row) == ["It is sunny.\n\nThe end.<|im_end|>"]


def test_a_template_that_writes_no_end_is_ended_by_what_comes_next() -> None:
    renderer = Renderer(family("glm4moe"))
    row = {"messages": [USER, CALLS, RESULT, ANSWER, USER, ANSWER], "tools": TOOLS}
    (text,) = trained(renderer, row)
    assert text.count("</tool_call><|observation|>") == 1 and text.count("The end.<|user|>") == 1
    assert text.endswith("The end.<|endoftext|>") and stops(renderer) == [
        "<|user|>",
        "<|observation|>",
        "<|endoftext|>",
    ]


@pytest.mark.parametrize("name", names())
def test_every_turn_ends_once_and_its_prompt_is_that_of_inference(name: str) -> None:
    renderer = Renderer(family(name))
    tools = renderer._choice.tool_style is not None
    row = {"messages": [USER, CALLS, RESULT, ANSWER, USER, ANSWER], "tools": TOOLS}
    if not tools:
        row = {"messages": [USER, ANSWER, USER, ANSWER]}
    ends, turns = set(renderer.stop_token_ids), 0
    for part in renderer.render_all(row):
        assert part.untrainable_turns == 0
        runs = "".join("x" if label != -100 else " " for label in part.labels).split()
        labels = [label for label in part.labels if label != -100]
        for run in runs:
            mine, labels = labels[: len(run)], labels[len(run) :]
            once = mine[-1] in ends and not ends & set(mine[:-1])
            assert once or "_call" in renderer.tokenizer.decode(mine), "Gemma's call and its answer are one run"
        turns += len(runs)
    assert turns >= (3 if tools else 2) or name.startswith(("gemma4", "diffusion", "gptoss"))


@pytest.mark.parametrize("name", ["lfm2", "qwen2_5_vl"])
def test_the_bundled_tool_template_begins_as_the_model_s_does(name: str) -> None:
    renderer = Renderer(family(name))
    assert renderer.template_source == "model + bundled tools"
    plain, called = (renderer.render({"messages": [USER, ANSWER], **more}).input_ids for more in ({}, {"tools": TOOLS}))
    assert plain[0] == called[0]
    bos = renderer.tokenizer.bos_token_id
    assert plain.count(bos) == called.count(bos) == (name == "lfm2")


@pytest.mark.parametrize("name", ["lfm2_v2", "lfm2_2_5", "qwen3_5_think", "gemma4", "glm4moe", "muse_glimmer"])
def test_arguments_are_found_in_whatever_a_family_writes_them(name: str) -> None:
    odd = {
        "town": 'O\'Hare "x"\nline\ttab \\ back',
        "days": [1, 2.5, None, True],
        "far": False,
        "no": None,
        "deep": {"é": "a\nb"},
    }
    call = {**CALL, "function": {"name": "weather", "arguments": odd}}
    row = {
        "messages": [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, RESULT, ANSWER],
        "tools": TOOLS,
    }
    assert Renderer(family(name)).render(row).trained_tokens


def test_results_stand_in_the_order_of_their_calls() -> None:
    calls = [
        {**CALL, "id": f"call_{town}", "function": {"name": "weather", "arguments": {"town": town}}} for town in "ABC"
    ]
    results = [{"role": "tool", "tool_call_id": f"call_{town}", "content": f"rain in {town}"} for town in "ABC"]
    renderer = Renderer(family("qwen3_instruct_2507"))

    def ids(order: list[int]) -> list[int]:
        messages = [
            USER,
            {"role": "assistant", "content": "", "tool_calls": calls},
            *(results[i] for i in order),
            ANSWER,
        ]
        return renderer.render({"messages": messages, "tools": TOOLS}).input_ids

    assert ids([2, 0, 1]) == ids([0, 1, 2])
    assert ids([1]) != ids([0])
