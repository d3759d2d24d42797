"""Tools on the real SmolLM2 tokenizer, whose own template drops them: nothing is lost, in training and inference."""

from __future__ import annotations

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.templates import bundled, probe_tools
from shadownb.errors import DataError
from tests.engine.rendering_tokenizers import CHATML, byte_tokenizer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'Weather of a town & "more".',
            "parameters": {"type": "object", "properties": {"town": {"type": "string"}, "days": {"type": "array"}}},
        },
    }
]
ARGUMENTS = {"town": 'Zürich "Nord" <b>', "days": [1, 2.5, None, True], "deep": {"é": "line\nbreak"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
TIME = {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": {}}}
CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, TIME]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"rain": false}'},
    {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
    {"role": "assistant", "content": "No rain."},
]


@pytest.fixture(scope="module")
def renderer(smollm2_tokenizer):
    return Renderer(smollm2_tokenizer)


@pytest.fixture(scope="module")
def row():
    return Dataset.from_list([{"messages": CHAT, "tools": TOOLS}]).canonical_rows()[0]


def test_the_bundled_tool_template_is_used_and_the_reason_shown(renderer, smollm2_tokenizer):
    assert renderer.template_source == "model + bundled tools"
    assert "drops tool schemas, tool calls" in renderer.template_reason
    assert probe_tools(smollm2_tokenizer, smollm2_tokenizer.chat_template)[0] is None
    again = Renderer(smollm2_tokenizer, chat_template=renderer.chat_template)
    assert again.template_source == "given" and again.chat_template == renderer.chat_template


def test_rows_without_tools_are_rendered_by_the_model_s_own_text(renderer, smollm2_tokenizer):
    for messages in ([CHAT[1]], CHAT[:2], [CHAT[1], CHAT[5]], [CHAT[1], CHAT[5], CHAT[1]]):
        for prompt in (True, False):
            own = smollm2_tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
            ours = smollm2_tokenizer.apply_chat_template(
                messages, add_generation_prompt=prompt, tokenize=False, chat_template=renderer.chat_template
            )
            assert ours == own


def test_calls_written_are_the_calls_parsed(renderer, smollm2_tokenizer, row):
    rendered = renderer.render(row)
    prompt = renderer.render_prompt(CHAT[:2], TOOLS)
    assert rendered.input_ids[: len(prompt)] == prompt
    assert all(label == -100 for label in rendered.labels[: len(prompt)])
    end = rendered.labels.index(-100, len(prompt))
    reply = smollm2_tokenizer.decode(rendered.labels[len(prompt) : end])
    content, calls = renderer.parse_reply(reply.removesuffix("<|im_end|>"))
    assert content == ""
    assert [(call["name"], call["arguments"]) for call in calls] == [("get_weather", ARGUMENTS), ("get_time", {})]
    assert rendered.trained_tokens > end - len(prompt), "the last answer is trained as well"


def test_schemas_and_results_are_in_the_text_but_not_trained(renderer, smollm2_tokenizer, row):
    rendered = renderer.render(row)
    unseen = smollm2_tokenizer.decode(
        [token for token, label in zip(rendered.input_ids, rendered.labels, strict=True) if label == -100]
    )
    for part in ("Be short.", '"days": {"type": "array"}', 'town & \\"more\\".', '{"rain": false}', "noon"):
        assert part in unseen
    assert unseen.count("<|im_start|>user") == 2, "results that follow each other share one turn"


def test_calls_without_schemas_and_json_text_arguments(renderer, smollm2_tokenizer):
    text = {**CALL, "function": {"name": "get_weather", "arguments": '{"town": "Bern"}'}}
    rows = Dataset.from_list([{"messages": [CHAT[1], {"role": "assistant", "content": "Look:", "tool_calls": [text]}]}])
    shown = smollm2_tokenizer.decode(renderer.render(rows.canonical_rows()[0]).input_ids)
    assert "<tools>" not in shown
    assert 'Look:\n<tool_call>\n{"name": "get_weather", "arguments": {"town": "Bern"}}\n</tool_call><|im_end|>' in shown


def test_a_tokenizer_without_chatml_tokens_refuses_tools(row):
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    renderer = Renderer(byte_tokenizer(template, special=("</s>",), eos="</s>"))
    assert renderer.template_source == "model" and "lacks the ChatML tokens" in renderer.template_reason
    assert renderer.render({"messages": [CHAT[1], CHAT[5]]}).trained_tokens
    with pytest.raises(DataError, match="cannot carry") as caught:
        renderer.render(row)
    assert caught.value.code == "tools-not-rendered" and "drops" in caught.value.why
    with pytest.raises(DataError, match="cannot carry"):
        renderer.render_prompt(CHAT[:2], TOOLS)


def test_a_template_that_knows_tools_is_kept_in_its_own_style(row):
    native = bundled("chatml_tools")
    assert Renderer(byte_tokenizer(native)).template_source == "model"
    wants_text = native.replace("call['function']['arguments'] | tojson", "call['function']['arguments']")
    renderer = Renderer(byte_tokenizer(wants_text))
    assert renderer.template_source == "model"
    assert renderer.render(row).input_ids == Renderer(byte_tokenizer(native)).render(row).input_ids
    refuses = native.replace(
        "{%- for call in",
        "{%- if message['tool_calls'] and message['tool_calls'][0]['id'] | length != 9 %}"
        "{{- raise_exception('ids have nine characters') }}{%- endif %}{%- for call in",
    )
    assert Renderer(byte_tokenizer(refuses)).template_source == "model"


def test_a_template_that_writes_python_instead_of_json_is_replaced():
    wrong = bundled("chatml_tools").replace(
        "call['function']['arguments'] | tojson", "call['function']['arguments'] | string"
    )
    tokenizer = byte_tokenizer(wrong)
    assert Renderer(tokenizer).template_source == "model", "given JSON text it writes JSON"
    double = bundled("chatml_tools").replace(
        "call['function']['arguments'] | tojson", "call['function']['arguments'] | string | tojson"
    )
    renderer = Renderer(byte_tokenizer(double))
    assert renderer.template_source == "model + bundled tools" and "not JSON" in renderer.template_reason


def test_a_row_whose_tool_does_not_reach_the_text_is_an_error(row):
    cuts = bundled("chatml_tools").replace("tool | tojson", "(tool | tojson)[:260]")
    renderer = Renderer(byte_tokenizer(cuts, special=CHATML))
    assert renderer.template_source == "model", "the probe's schema is short enough"
    properties = {f"parameter_{number}": {"type": "string"} for number in range(30)}
    long = [{"type": "function", "function": {"name": "long", "parameters": {"properties": properties}}}]
    with pytest.raises(DataError, match="leaves out parameter 'parameter_") as caught:
        renderer.render({**row, "tools": long})
    assert caught.value.code == "tools-not-rendered"


def test_the_tool_use_template_of_a_tokenizer_that_carries_several_is_used(row):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = {"default": bundled("chatml"), "tool_use": bundled("chatml_tools")}
    renderer = Renderer(tokenizer)
    assert renderer.template_source == "model" and "tool_use" in renderer.template_reason
    assert renderer.render(row).input_ids == Renderer(byte_tokenizer(bundled("chatml_tools"))).render(row).input_ids
