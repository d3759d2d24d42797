"""Templates that behave badly, models without one, and tokenizers that mark word starts."""

from __future__ import annotations

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from shadownb.errors import DataError
from tests.engine.rendering_tokenizers import INST, REASONING, byte_tokenizer, word_tokenizer

CHAT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "more"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "last"},
    {"role": "assistant", "content": "three"},
]
SYSTEM = {"role": "system", "content": "Rules."}


def trained(renderer, rendered):
    return renderer.tokenizer.decode([label for label in rendered.labels if label != -100])


def test_a_template_that_rewrites_earlier_turns_is_trained_turn_by_turn():
    renderer = Renderer(byte_tokenizer(REASONING))
    assert renderer.render({"messages": CHAT[:2]}).skipped_turns == 0
    sequences = renderer.render_all({"messages": CHAT})
    think = "<think>\n\n</think>\n\n"
    assert [trained(renderer, part) for part in sequences] == [
        f"{think}three<|im_end|>",
        f"{think}two<|im_end|>",
        f"{think}one<|im_end|>",
    ]
    for turn, part in zip((5, 3, 1), sequences, strict=True):
        prompt = renderer.render_prompt(CHAT[:turn])
        assert part.input_ids[: len(prompt)] == prompt and part.labels[: len(prompt)] == [-100] * len(prompt)
        shown = renderer.tokenizer.apply_chat_template(CHAT[: turn + 1], tokenize=False)
        assert renderer.tokenizer.decode(part.input_ids) == shown
    single = renderer.render({"messages": CHAT})
    assert single == sequences[0] and single.skipped_turns == 2
    assert renderer.untrainable_turns({"messages": CHAT}) == 0


def test_the_last_turn_of_such_a_template_is_found_when_the_row_goes_on():
    renderer = Renderer(byte_tokenizer(REASONING))
    (only,) = renderer.render_all({"messages": CHAT[:5]}, loss_on="last")
    assert trained(renderer, only) == "<think>\n\n</think>\n\ntwo<|im_end|>"


def test_a_template_that_moves_the_system_text_and_marks_no_assistant():
    renderer = Renderer(byte_tokenizer(INST, special=("<s>", "</s>", "[INST]", "[/INST]"), bos="<s>", eos="</s>"))
    stable = renderer.render({"messages": CHAT})
    assert trained(renderer, stable) == " one</s> two</s> three</s>" and stable.skipped_turns == 0
    assert stable.input_ids.count(renderer.tokenizer.bos_token_id) == 1
    sequences = renderer.render_all({"messages": [SYSTEM, *CHAT]})
    assert sorted(trained(renderer, part) for part in sequences) == [" one</s>", " three</s>", " two</s>"]
    for turn, part in zip((6, 4, 2), sequences, strict=True):
        prompt = renderer.render_prompt([SYSTEM, *CHAT][:turn])
        assert part.input_ids[: len(prompt)] == prompt


def test_a_prompt_rewritten_in_place_is_noticed():
    template = (
        "{%- for message in messages %}"
        "{%- set mark = '* ' if loop.revindex < 3 and message['role'] == 'user' else '' %}"
        "{{- '<|im_start|>' + message['role'] + '\n' + mark + message['content'] + '<|im_end|>\n' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
    )
    messages = [CHAT[0], {"role": "assistant", "content": "1"}, CHAT[2], {"role": "assistant", "content": "2"}]
    renderer = Renderer(byte_tokenizer(template))
    sequences = renderer.render_all({"messages": messages})
    assert [trained(renderer, part) for part in sequences] == ["2<|im_end|>", "1<|im_end|>"]
    for turn, part in zip((3, 1), sequences, strict=True):
        prompt = renderer.render_prompt(messages[:turn])
        assert part.input_ids[: len(prompt)] == prompt


def test_what_a_template_refuses_is_a_typed_error():
    renderer = Renderer(byte_tokenizer(INST, special=("<s>", "</s>"), bos="<s>", eos="</s>"))
    with pytest.raises(DataError, match="roles must alternate") as caught:
        renderer.render({"messages": [CHAT[0], CHAT[0], CHAT[1]]})
    assert caught.value.code == "template-refused" and "user, user, assistant" in caught.value.why


def test_statistics_count_refused_rows_apart():
    tokenizer = byte_tokenizer(INST, special=("<s>", "</s>"), bos="<s>", eos="</s>")
    refused, usable = {"messages": [CHAT[0], CHAT[0], CHAT[1]]}, {"messages": CHAT[:2]}
    found = Dataset.from_list([refused, usable, refused]).token_statistics(tokenizer)
    alone = Dataset.from_list([usable]).token_statistics(tokenizer)
    assert (found.rows, found.refused_rows, found.total) == (1, 2, alone.total)
    assert "cannot be rendered" in str(found) and "cannot be rendered" not in str(alone)
    with pytest.raises(DataError, match="roles must alternate"):
        Dataset.from_list([refused]).token_statistics(tokenizer)


def test_a_turn_nobody_can_ask_for_is_counted_not_trained():
    renderer = Renderer(byte_tokenizer(INST.replace("== 0)", "== 1)"), special=("<s>", "</s>"), bos="<s>", eos="</s>"))
    row = {"messages": CHAT[1:4]}
    rendered = renderer.render(row)
    assert trained(renderer, rendered) == " two</s>" and rendered.skipped_turns == 1
    assert renderer.untrainable_turns(row) == 1


def test_tokenizers_without_a_template():
    chatml = Renderer(byte_tokenizer())
    assert chatml.template_source == "bundled" and "ChatML" in chatml.template_reason
    assert trained(chatml, chatml.render({"messages": CHAT[:2]})) == "one<|im_end|>"
    plain = Renderer(byte_tokenizer(special=("<eos>",), eos="<eos>"))
    rendered = plain.render({"messages": [SYSTEM, *CHAT[:2]]})
    text = plain.tokenizer.decode(rendered.input_ids)
    assert text == "System:\nRules.\n\nUser:\nhi\n\nAssistant:\none<eos>\n\n"
    assert trained(plain, rendered) == "one<eos>"
    assert plain.stop_token_ids == (plain.tokenizer.eos_token_id,) and "role names" in plain.template_reason


def test_a_template_without_a_stop_token_ends_the_row_with_one():
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    renderer = Renderer(byte_tokenizer(template, special=("<eos>",), eos="<eos>"))
    rendered = renderer.render({"messages": CHAT[:2]})
    assert trained(renderer, rendered) == "one<eos>"


def test_word_starts_are_marked_only_where_the_text_has_them():
    tokenizer = word_tokenizer(INST)
    renderer = Renderer(tokenizer)
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "answer"}]
    rendered = renderer.render({"messages": messages})
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert rendered.input_ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens([label for label in rendered.labels if label != -100]) == ["▁answer", "</s>"]
    glued = word_tokenizer(INST.replace("' ' + message", "message"))
    pieces = glued.convert_ids_to_tokens(Renderer(glued).render({"messages": messages}).input_ids)
    assert pieces == glued.convert_ids_to_tokens(
        glued(text.replace("] a", "]a"), add_special_tokens=False)["input_ids"]
    )
    assert "▁answer" not in pieces
    document = renderer.render({"text": "hi"})
    assert tokenizer.convert_ids_to_tokens(document.input_ids) == ["<s>", "▁hi", "</s>"]


def test_a_plain_template_begins_with_bos_where_the_tokenizer_does():
    tokenizer = word_tokenizer()
    rendered = Renderer(tokenizer).render({"messages": CHAT[:2]})
    assert rendered.input_ids[0] == tokenizer.bos_token_id
    assert rendered.input_ids.count(tokenizer.bos_token_id) == 1
