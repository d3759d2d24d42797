"""The table of fields: it has every field of the vendors' clients, and what an engine lacks is refused in each dialect."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.answering.asks import Ask
from shadownb.engine.answering.fields import FIELDS, OPTIONS, options_of, table
from shadownb.engine.capture.dialects import WireError, dialect
from shadownb.engine.inference.options import NEWER
from shadownb.engine.serving.remote import SPEECHES
from tests.serving.conftest import USER

_BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": USER},
    "completions": {"model": "m", "prompt": "x"},
    "responses": {"model": "m", "input": "x"},
    "messages": {"model": "m", "messages": USER, "max_tokens": 5},
}
_ENGINES = {
    "transformers": options_of(NEWER), "llama.cpp": options_of(NEWER), "mlx": options_of(NEWER),
    **{name: speech.honours for name, speech in SPEECHES.items()},
}  # fmt: skip
# A value of each field that asks for its option.
_ASKING: dict[str, Any] = {
    "return_tokens_as_token_ids": True,
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "seed": 1, "min_p": 0.5, "repetition_penalty": 1.5,
    "presence_penalty": 1, "frequency_penalty": 1, "logit_bias": {"5": 1}, "ignore_eos": True, "n": 2, "max_tokens": 3,
    "max_completion_tokens": 3, "max_output_tokens": 3, "stop": ["x"], "stop_sequences": ["x"], "logprobs": 1,
    "top_logprobs": 2, "response_format": {"type": "json_object"}, "json_schema": {"const": 1}, "grammar": 'root ::= "a"',
    "guided_json": {"const": 1}, "guided_regex": "a", "guided_grammar": 'root ::= "a"', "guided_choice": ["a"],
    "structured_outputs": {"regex": "a"}, "echo": True, "continue_final_message": True, "tool_choice": "required",
    "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": False, "reasoning_effort": "low",
    "chat_template_kwargs": {"enable_thinking": True}, "thinking": {"type": "enabled"}, "previous_response_id": "r",
    "output_format": {"type": "json_schema", "schema": {"const": 1}},
}  # fmt: skip


def _clients() -> dict[str, set[str]]:
    from anthropic.types import message_create_params as messages
    from anthropic.types.beta import message_create_params as beta
    from openai.types import completion_create_params as completions
    from openai.types.chat import completion_create_params as chat
    from openai.types.responses import response_create_params as responses

    def of(module: Any) -> set[str]:
        found = (c for name, c in inspect.getmembers(module, inspect.isclass) if name.endswith("CreateParamsBase"))
        return set().union(*(set(each.__annotations__) for each in found))

    return {
        "chat": of(chat), "completions": of(completions), "responses": of(responses), "messages": of(messages) | of(beta),
    }  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_the_vendors_clients_is_in_the_table(name: str) -> None:
    assert _clients()[name] - set(FIELDS[name]) == set()


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_that_asks_for_an_option_is_refused_where_it_is_lacking(name: str) -> None:
    """Field by field, with an engine that has all but what the field asks for; one that has it takes the field."""
    asking = {field: rule for field, rule in FIELDS[name].items() if rule.options and rule.options != ("-",)}
    assert set(asking) <= set(_ASKING), "a value of each is known here"
    for field, rule in asking.items():
        value = 1 if (name, field) == ("completions", "logprobs") else True if field == "logprobs" else _ASKING[field]
        body = {**_BODIES[name], field: value}
        with pytest.raises(WireError) as caught:
            Ask.of(dialect(name), body, [], 100, frozenset(OPTIONS) - set(rule.options), "some engine")
        assert caught.value.param == field and "some engine" in caught.value.message and caught.value.status == 400


@pytest.mark.parametrize("name", FIELDS)
def test_what_nobody_has_is_refused_by_every_engine(name: str) -> None:
    for field, rule in FIELDS[name].items():
        if rule.options == ("-",):
            for value in ("other", {"x": 1}, [{"x": 1}], 77):
                assert rule.plain is not None
                if not rule.plain(value):
                    with pytest.raises(WireError, match=field):
                        Ask.of(dialect(name), {**_BODIES[name], field: value}, [], 100, frozenset(OPTIONS), "it")


def test_the_table_in_the_docs_is_that_of_the_engines() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    assert table(_ENGINES) in docs, "python -m tests.serving.test_fields prints it"


def test_options_of_engines_are_known_ones() -> None:
    for honoured in _ENGINES.values():
        assert honoured <= set(OPTIONS)


if __name__ == "__main__":
    print(table(_ENGINES))
