"""What a template leaves out of a row is told before training, by kind; the user chooses what happens."""

from __future__ import annotations

from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.drops import Drop
from shadownb.engine.rendering.templates import bundled
from shadownb.errors import DataError, ShadowWarning
from tests.engine.golden_ids import ANSWER, CALL, CALLS, RESULT, TOOLS, USER
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.engine.template_families import family

SYSTEM = {"role": "system", "content": "S1"}
LATER = {"role": "system", "content": "RULE TWO"}
THOUGHT = {"role": "assistant", "content": "a", "reasoning_content": "THOUGHT"}
REMARK = {**CALLS, "content": "I LOOK IT UP"}
ROWS: dict[str, dict[str, Any]] = {
    "reasoning": {"messages": [{"role": "user", "content": "q"}, THOUGHT]},
    "beside": {"messages": [USER, REMARK], "tools": TOOLS},
    "second system": {"messages": [SYSTEM, LATER, USER, {"role": "assistant", "content": "a"}]},
    "system in the middle": {"messages": [USER, ANSWER, LATER, USER, {"role": "assistant", "content": "a"}]},
    "name": {"messages": [{**USER, "name": "alice"}, ANSWER]},
}
# The kinds that are left out, by family and row; a word is the code of what is refused as it always was.
EXPECTED = {
    "llama3_2": {"reasoning": "reasoning", "beside": "text beside a call", "name": "name"},
    "qwen3_instruct_2507": {"reasoning": "reasoning", "name": "name"},
    "qwen3": {"name": "name"},
    "qwen3_5_nothink": {
        "name": "name", "second system": "template-refused", "system in the middle": "template-refused",
    },
    "lfm2_v2": {"reasoning": "reasoning", "name": "name"},
    "phi3": {"reasoning": "reasoning", "beside": "tools-not-rendered", "name": "name"},
    "gptoss": {"second system": "system", "system in the middle": "system", "name": "name"},
    "muse_glimmer": {"beside": "text beside a call", "name": "name"},
    "deepseek_r1_distill": {"beside": "tools-not-rendered", "second system": "system", "name": "name"},
    "gemma": {
        "reasoning": "reasoning", "beside": "tools-not-rendered", "name": "name",
        "second system": "template-refused", "system in the middle": "template-refused",
    },
    "smolvlm": {"reasoning": "reasoning", "beside": "tools-not-rendered", "name": "name"},
}  # fmt: skip


def row_of(label: str) -> dict[str, Any]:
    """A row as a data set gives it."""
    return Dataset.from_list([ROWS[label]]).canonical_rows()[0]


def kinds(renderer: Renderer, row: dict[str, Any]) -> str:
    """The kinds of what is left out, or the code of a refusal."""
    renderer.on_drop = "leave_out"
    try:
        return ", ".join(drop.kind for drop in renderer.render_all(row)[0].left_out)
    except DataError as error:
        return str(error.code)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_each_family_leaves_out(name: str) -> None:
    renderer = Renderer(family(name))
    found = {label: kinds(renderer, row_of(label)) for label in ROWS}
    assert {label: kind for label, kind in found.items() if kind} == EXPECTED[name]
    for label, row in ROWS.items():  # and it is true, on texts that occur nowhere else
        if found[label].endswith(("rendered", "refused")):
            continue
        text = "".join(renderer.tokenizer.decode(part.input_ids) for part in renderer.render_all(row_of(label)))
        probes = {
            "reasoning": ["THOUGHT"],
            "beside": ["I LOOK IT UP"],
            "name": ["alice"],
            "second system": ["S1", "RULE TWO"],
        }
        shown = all(probe in text for probe in probes.get(label, ["RULE TWO"]))
        assert shown == (not found[label]), (label, row)


def test_lost_text_is_refused_and_lost_reasoning_counted() -> None:
    renderer = Renderer(family("llama3_2"))
    (only,) = renderer.render_all(row_of("reasoning"))
    assert only.left_out == (Drop("reasoning", 1),) and only.trained_tokens
    with pytest.raises(DataError, match=r"text beside a tool call \(messages\[1\]\)") as caught:
        renderer.render_all(row_of("beside"))
    assert caught.value.code == "text-not-rendered" and "on_template_drop='leave_out'" in caught.value.fix
    with pytest.raises(DataError) as caught:
        Renderer(family("gptoss")).render_all(row_of("second system"))
    assert caught.value.code == "system-not-rendered"
    with pytest.raises(DataError) as caught:
        Renderer(family("llama3_2"), on_drop="refuse").render_all(row_of("reasoning"))
    assert caught.value.code == "reasoning-not-rendered"
    left = Renderer(family("llama3_2"), on_drop="leave_out").render_all(row_of("beside"))
    assert left[0].left_out == (Drop("text beside a call", 1),)


def test_reasoning_of_earlier_turns_is_left_out_by_design_and_that_of_each_reply_trained() -> None:
    renderer = Renderer(family("qwen3"), on_drop="refuse")
    row = {"messages": [USER, THOUGHT, USER, {**THOUGHT, "reasoning_content": "LATER THOUGHT"}]}
    sequences = renderer.render_all(row)
    shown = [renderer.tokenizer.decode([label for label in part.labels if label != -100]) for part in sequences]
    assert ["THOUGHT" in text for text in shown] == [True, True] and not any(part.left_out for part in sequences)
    kept_out = {"messages": [USER, {**THOUGHT, "weight": 0}, USER, ANSWER]}
    assert not Renderer(family("llama3_2")).render_all(kept_out)[0].left_out
    assert Renderer(family("llama3_2")).render_all(row, loss_on="last")[0].left_out == (Drop("reasoning", 3),)


@pytest.mark.parametrize("reasoning", ["", " \n"])
def test_empty_reasoning_is_nothing_to_lose(reasoning: str) -> None:
    row = {"messages": [USER, {**ANSWER, "reasoning_content": reasoning}]}
    for name in ("llama3_2", "gptoss", "qwen3", "deepseek_r1_distill"):
        renderer = Renderer(family(name), on_drop="refuse")
        assert renderer.render_all(row) == renderer.render_all({"messages": [USER, ANSWER]})


def test_reasoning_in_the_text_is_proven_as_well() -> None:
    inline = {"messages": [USER, {"role": "assistant", "content": "<think>\nTHOUGHT\n</think>\n\na"}]}
    for name in ("qwen3", "deepseek_r1_distill", "llama3_2", "nemotron_3_nano"):
        renderer = Renderer(family(name), on_drop="refuse")
        (only,) = renderer.render_all(inline)
        assert "THOUGHT" in renderer.tokenizer.decode([label for label in only.labels if label != -100])
    cuts = "{% for m in messages %}<|im_start|>{{ m.content.split('</think>')[-1] }}<|im_end|>{% endfor %}"
    renderer = Renderer(byte_tokenizer(cuts), on_drop="refuse")
    with pytest.raises(DataError) as caught:
        renderer.render_all(inline)
    assert caught.value.code == "reasoning-not-rendered"
    assert renderer.render_all({"messages": [USER, ANSWER]})[0].left_out == ()


def test_short_texts_are_not_found_by_chance() -> None:
    drops = (
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role + ' ' + m.content }}<|im_end|>{% endfor %}"
    )
    renderer = Renderer(byte_tokenizer(drops))
    for text in ("a", "user", "<|im_end|>", "im"):
        with pytest.raises(DataError) as caught:
            renderer.render_all({"messages": [{"role": "system", "content": text}, USER, ANSWER]})
        assert caught.value.code == "system-not-rendered"
    assert renderer.render_all({"messages": [{"role": "system", "content": " "}, USER, ANSWER]})[0].left_out == ()


def test_every_one_of_two_results_is_proven() -> None:
    written = "'\\n<tool_response>\\n' + message['content']"
    first_only = bundled("chatml_tools").replace(written, written + " * (messages[loop.index0 - 1]['role'] != 'tool')")
    assert first_only != bundled("chatml_tools")
    renderer = Renderer(byte_tokenizer(first_only))
    calls = {**CALLS, "tool_calls": [CALL, {**CALL, "id": "call_00000002"}]}
    same = [{**RESULT, "content": "3"}, {**RESULT, "tool_call_id": "call_00000002", "content": "3"}]
    with pytest.raises(DataError) as caught:
        renderer.render_all({"messages": [USER, calls, *same, ANSWER], "tools": TOOLS})
    assert caught.value.code == "tools-not-rendered"


def test_text_in_several_blocks_arrives_whole() -> None:
    blocks = {"role": "user", "content": [{"type": "text", "text": "FIRST"}, {"type": "text", "text": " SECOND"}]}
    row = Dataset.from_list([{"messages": [blocks, ANSWER]}]).canonical_rows()[0]
    for name in ("qwen3", "llava_next", "smolvlm", "idefics3", "gemma3", "qwen2_5_vl"):
        renderer = Renderer(family(name))
        assert "FIRST SECOND" in renderer.tokenizer.decode(renderer.render_all(row)[0].input_ids)


def test_a_prompt_that_loses_what_it_asks_is_refused_and_other_losses_are_told_once() -> None:
    renderer = Renderer(family("gptoss"))
    with pytest.raises(DataError) as caught:
        renderer.render_prompt([SYSTEM, LATER, USER])
    assert caught.value.code == "system-not-rendered"
    llama = Renderer(family("llama3_2"))
    history = [USER, REMARK, RESULT]
    with pytest.warns(ShadowWarning, match="text beside a tool call"):
        llama.render_prompt(history, TOOLS)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llama.render_prompt(history, TOOLS)
        Renderer(family("qwen3")).render_prompt([USER, THOUGHT, USER])


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "qwen3_5_nothink"])
@pytest.mark.parametrize("label", ["reasoning", "second system", "system in the middle"])
def test_a_bundled_part_writes_what_the_template_leaves_out(name: str, label: str) -> None:
    renderer = Renderer(family(name), on_drop="bundled")
    row = row_of(label)
    sequences = renderer.render_all(row)
    assert not sequences[0].left_out and not sequences[0].untrainable_turns
    text = renderer.tokenizer.decode(sequences[0].input_ids)
    assert "S1" in text or label != "second system"
    assert ("THOUGHT" if label == "reasoning" else "RULE TWO") in text
    prompt = renderer.render_prompt(row["messages"][:-1])
    assert sequences[0].input_ids[: len(prompt)] == prompt
    again = Renderer(renderer.tokenizer, chat_template=renderer.chat_template)
    assert again.render_all(row)[0].input_ids == sequences[0].input_ids, "the saved template needs no option"
    plain = {"messages": [USER, ANSWER, USER, ANSWER]}
    assert renderer.render_all(plain) == Renderer(family(name)).render_all(plain), "other rows are rendered as before"


def test_a_prompt_that_shuts_the_reasoning_has_no_place_for_it() -> None:
    (open_to_it,) = Renderer(family("qwen3_5_nothink")).render_all(row_of("reasoning"))
    assert open_to_it.trained_tokens and not open_to_it.left_out, "the row is trained behind a prompt that thinks"
    shut = Renderer(family("qwen3_5_nothink"), on_drop="bundled")
    shut.variables = {"enable_thinking": False}
    with pytest.raises(DataError) as caught:
        shut.render_all(row_of("reasoning"))
    assert caught.value.code == "reasoning-not-rendered" and "No bundled part can write it" in caught.value.fix
    (only,) = shut.under("leave_out").render_all(row_of("reasoning"))
    assert only.trained_tokens and only.left_out and not only.untrainable_turns


def test_text_beside_a_call_needs_the_tokens_of_the_bundled_tool_template() -> None:
    without = Renderer(family("llama3_2"), on_drop="bundled")
    with pytest.raises(DataError) as caught:
        without.render_all(row_of("beside"))
    assert caught.value.code == "text-not-rendered"
    tokenizer = family("llama3_2")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    carried = Renderer(tokenizer, on_drop="bundled")
    (only,) = carried.render_all(row_of("beside"))
    assert "I LOOK IT UP\n<tool_call>" in tokenizer.decode(only.input_ids) and "bundled" in carried.template_source
    assert only.input_ids.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_without_a_template_gets_one_that_writes_reasoning() -> None:
    renderer = Renderer(byte_tokenizer(), on_drop="refuse")
    (only,) = renderer.render_all(row_of("reasoning"))
    assert "<think>\nTHOUGHT\n</think>\n\na<|im_end|>" in renderer.tokenizer.decode(only.input_ids)


# -- words that a template changes ---------------------------------------------------------------------------------------

WRITES = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + (CONTENT) + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
SAID = 'Is <b>"it"</b> open?\n\nAnswer: from ten & on, as it says at the door and on https://example.org/hours.'


def plain(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    "content",
    [
        "message.content | upper",
        "message.content | escape | string",
        "message.content[:60]",
        "message.content | truncate(60)",
        "message.content | striptags",
        "message.content | wordwrap(30)",
        "message.content.split('\\n')[0]",
        "message.content.split('Answer:')[-1]",
        "message.content | replace('\\n\\n', '\\n')",
    ],
)
def test_words_that_a_template_changes_are_refused_and_no_certificate_is_given(content: str) -> None:
    tokenizer = byte_tokenizer(WRITES.replace("CONTENT", content))
    said = ("system", "b"), ("user", "q"), ("assistant", "a")
    for place in range(3):
        messages = [{"role": role, "content": SAID if n == place else text} for n, (role, text) in enumerate(said)]
        with pytest.raises(DataError, match="exact wording of a message") as caught:
            Renderer(tokenizer).render_all({"messages": messages})
        assert caught.value.code == "text-not-rendered" and "leave_out" in caught.value.fix
        rendered = Renderer(tokenizer, on_drop="leave_out").render({"messages": messages})
        assert Drop("wording", place) in rendered.left_out
    if "Answer" not in content:  # only a row has the word
        assert "texts" in [proof.name for proof in snb.certify(tokenizer).failed]
    if "upper" not in content:
        assert not Renderer(tokenizer).render(plain("Hm?", "Yes.")).left_out, "nothing of this row is changed"


def test_white_space_at_the_ends_is_a_template_s_own() -> None:
    renderer = Renderer(byte_tokenizer(WRITES.replace("CONTENT", "message.content | trim")))
    assert not renderer.render(plain("\n Hm? ", " Yes.\n")).left_out


def test_a_template_with_a_clock_has_a_certificate_that_says_so() -> None:
    ticking = "{{- strftime_now('%H:%M:%S.%f') }}" + WRITES.replace("CONTENT", "message.content")
    failed = {proof.name: proof.reason for proof in snb.certify(byte_tokenizer(ticking)).failed}
    assert {"stop", "masks", "turns"} <= failed.keys() and "no reply can be trained" in failed["stop"]
