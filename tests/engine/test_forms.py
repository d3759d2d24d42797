"""Answers held to a form: schemas, expressions, grammars and calls, and the options of sampling that came with them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel

import shadownb as snb
from shadownb.engine.inference import Constraint, Sampling
from shadownb.engine.inference.constraining import Matcher
from shadownb.engine.rendering import Renderer
from shadownb.errors import ConfigError, ModelError
from tests.engine.template_families import family, names

USER: Any = [{"role": "user", "content": "hello"}]


class Ticket(BaseModel):
    team: Literal["billing", "shipping"]
    urgent: bool


@pytest.fixture(scope="module")
def model(byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32")


def walked(tokenizer: Any, constraint: Constraint, stops: list[int], seed: int) -> str | None:
    """Return what a model that knows nothing writes; None where it comes to no end."""
    matcher, rng, ids = Matcher(tokenizer, constraint, stops), random.Random(seed), list[int]()
    while not matcher.complete:
        token = rng.choice(np.flatnonzero(matcher.allowed(len(tokenizer))).tolist())
        if token in stops:
            break
        ids.append(token)
        matcher.take(token)
        if len(ids) > 400:
            return None
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def test_a_pydantic_model_gives_instances_and_what_was_cut_gives_none(model: Any) -> None:
    asked: Any = {"max_new_tokens": 200, "temperature": 1.0, "seed": 4}
    (one, two) = model.generate(["a", "b"], schema=Ticket, **asked)
    assert isinstance(one, Ticket) and isinstance(two, Ticket)
    reply = model.chat(USER, schema=Ticket, **asked)
    assert isinstance(reply.parsed, Ticket) and reply.finish_reason == "stop"
    plain = {**Ticket.model_json_schema(), "additionalProperties": False}
    assert model.chat(USER, schema=plain, **asked).parsed == reply.parsed.model_dump()
    cut = model.chat(USER, schema=Ticket, max_new_tokens=3)
    assert cut.parsed is None and cut.finish_reason == "length"
    with pytest.raises(ModelError, match="no Ticket"):
        model.generate("a", schema=Ticket, max_new_tokens=3)
    assert "".join(model.stream(USER, schema={"const": 7}, **asked)) == "7"


def test_a_form_with_log_probabilities_and_in_rollouts(model: Any) -> None:
    reply = model.chat(USER, regex="[0-9]{5}", max_new_tokens=20, logprobs=True)
    assert reply.content.isdigit() and len(reply.content) == 5 == len(reply.logprobs)
    sampling = Sampling.from_options(regex="(yes|no)", max_new_tokens=9, seed=1)
    ids = model.renderer.render_prompt(USER)
    texts = [each.completion.text for each in model.generator.rollouts([ids], 6, sampling)]
    assert set(texts) == {"yes", "no"}, "each row is held by itself, beside others"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"schema": {"not": {}}}, "not"),
        ({"schema": {"type": "array", "uniqueItems": True}}, "uniqueItems: "),
        ({"schema": {"pattern": "(?=a)b", "type": "string"}}, "look-around"),
        ({"schema": "{"}, "no JSON"),
        ({"schema": 7}, "no JSON schema"),
        ({"schema": {"const": float("nan")}}, "no JSON"),
        ({"regex": "(?=a)b"}, "look-around"),
        ({"regex": ""}, "no text"),
        ({"grammar": "start: nothing"}, "nothing"),
        ({"regex": "a", "schema": {}}, "two forms"),
        ({"regex": "a", "ignore_eos": True}, "ignore_eos"),
        ({"min_p": 2}, "min_p=2"),
        ({"presence_penalty": 3}, "presence_penalty=3"),
        ({"logit_bias": {5: 500}}, "logit_bias=500"),
        ({"logit_bias": "x"}, "logit_bias"),
        ({"top_logprobs": 21}, "top_logprobs=21"),
    ],
)
def test_what_cannot_be_held_is_refused_before_anything_is_computed(model: Any, options: Any, says: str) -> None:
    before = model.gate.answered
    with pytest.raises(ConfigError) as caught:
        model.chat(USER, **options)
    assert says in caught.value.as_text() and model.gate.answered == before


SCHEMAS: list[Any] = [
    {"type": "object", "properties": {"a": {"minimum": 3, "maximum": 40, "type": "integer"}}, "required": ["a"],
     "additionalProperties": False},
    {"type": "string", "pattern": "^a+$", "maxLength": 2},
    {"type": "array", "items": {"enum": ["x", 1, None]}, "minItems": 1, "maxItems": 3},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    {"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"const": [1, {"format": "time"}]}, "maxItems": 2}}},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "time"},
    {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 99},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_whatever_is_drawn_within_a_schema_validates(model: Any, schema: Any) -> None:
    for seed in range(12):
        text = walked(model.tokenizer, Constraint.schema(schema), list(model.renderer.stop_token_ids), seed)
        assert text is not None
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
        if "format" in schema:
            assert ":60" not in text, "leap seconds are no time that readers take"


def test_blanks_between_tokens_are_no_way_out(model: Any) -> None:
    """An endless run of blanks is in the form of JSON; a small model writes one and never comes to an end."""
    blank = model.tokenizer(" ")["input_ids"][-1]
    matcher = Matcher(model.tokenizer, Constraint.schema({"type": "object"}), list(model.renderer.stop_token_ids))
    matcher.take(model.tokenizer("{")["input_ids"][-1])
    taken = 0
    while matcher.allowed(len(model.tokenizer))[blank]:
        matcher.take(blank)
        taken += 1
        assert taken < 40
    assert taken <= 1


def test_a_form_begins_behind_the_reasoning_or_what_has_been_said(model: Any) -> None:
    stops = list(model.renderer.stop_token_ids)
    free = Matcher(model.tokenizer, Constraint("regex", "[0-9]", after="</think>"), stops)
    for token in model.tokenizer("I think so </think>", add_special_tokens=False)["input_ids"]:
        assert free.allowed(len(model.tokenizer)).all()
        free.take(token)
    allowed = np.flatnonzero(free.allowed(len(model.tokenizer)))
    assert sorted(model.tokenizer.decode([t]) for t in allowed) == list("0123456789")
    begun = Constraint("regex", "abc|abd", begun="ab")
    assert walked(model.tokenizer, begun, stops, 1) in ("c", "d")
    with pytest.raises(ConfigError, match="does not allow"):
        Matcher(model.tokenizer, Constraint("regex", "abc", begun="x"), stops)


TOOLS: Any = [
    {"type": "function", "function": {"name": "look_up", "description": "d", "parameters": {
        "type": "object", "properties": {"city": {"enum": ["Bern", "Basel"]}, "days": {"$ref": "#/$defs/n"}},
        "required": ["city", "days"], "additionalProperties": False,
        "$defs": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}}}},
    {"type": "function", "function": {"name": "note", "description": "d", "parameters": {
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}}},
]  # fmt: skip
_IN_JSON = {
    "gptoss", "lfm2", "llama3_1", "llama3_2", "qwen2_5", "qwen2_5_vl", "qwen3", "qwen3_instruct_2507", "qwen3_vl",
}  # fmt: skip


def test_a_forced_call_is_what_the_reader_of_its_template_reads() -> None:
    """Every template that trl ships: those that write JSON are held, the others have no form and are refused by name."""
    held = set()
    for name in names():
        tokenizer = family(name)
        renderer = Renderer(tokenizer)
        form = renderer.call_form
        if form is None:
            continue
        held.add(name)
        grammar = Constraint("grammar", form.grammar(TOOLS, renderer.special_tokens, free=False))
        for seed in range(2):
            text = walked(tokenizer, grammar, list(renderer.stop_token_ids), seed)
            assert text is not None
            reader = renderer.open_reader(None, TOOLS)
            calls = [part.call for part in [*reader.feed(text), *reader.finish()] if part.call is not None]
            assert len(calls) == 1, (name, text)
            schema = next(t for t in TOOLS if t["function"]["name"] == calls[0]["name"])["function"]["parameters"]
            jsonschema.validate(calls[0]["arguments"], schema)
        if form.marker:
            Constraint("grammar", form.grammar(TOOLS, renderer.special_tokens, free=True))
    assert held == _IN_JSON


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_penalties_biases_and_min_p_are_those_of_the_formulas(byte_model_dir: Path, backend: str) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx")
    asked = snb.load(str(byte_model_dir), backend=backend, dtype="float32")
    ids = asked.renderer.render_prompt(USER)

    def greedy(**options: Any) -> Any:
        return asked.generator.generate([ids], Sampling(max_new_tokens=8, temperature=0, **options))[0]

    free = greedy(logprobs=True, top_logprobs=5)
    assert [tops[0][0] for tops in free.top_logprobs] == free.token_ids
    assert free.logprobs == pytest.approx([tops[0][1] for tops in free.top_logprobs], abs=1e-5)
    first, second = free.top_logprobs[0][0], free.top_logprobs[0][1]
    gap = first[1] - second[1]
    assert greedy(logit_bias={second[0]: gap + 1e-2}).token_ids[0] == second[0]
    assert greedy(logit_bias={second[0]: gap - 1e-2}).token_ids[0] == first[0]
    drawn = asked.generator.generate([ids], Sampling(max_new_tokens=8, temperature=3, min_p=1.0, seed=1))[0]
    assert drawn.token_ids == greedy().token_ids, "only the likeliest is as likely as itself"
    favourite = {65: 40.0}
    assert greedy(logit_bias=favourite).token_ids == [65] * 8
    tired = greedy(logit_bias={65: 40.0, 66: 37.0}, frequency_penalty=1.0).token_ids
    assert tired[:2] == [65, 65] and 66 in tired, "each time makes it less likely"


def test_old_answers_are_still_found_by_their_sampling() -> None:
    """What is kept goes by these names and values: an option that changes nothing must not appear."""
    assert Sampling(temperature=0).as_dict() == {
        "max_new_tokens": 256, "temperature": 0.0, "top_p": 0.95, "top_k": 0, "repetition_penalty": 1.0, "stop": (),
        "seed": None, "logprobs": False,
    }  # fmt: skip
    assert Sampling(min_p=0.1).as_dict()["min_p"] == 0.1
    assert json.dumps(Sampling.from_options(schema={"const": 1}).as_dict())
    with pytest.raises(ConfigError, match="this engine cannot honour min_p"):
        Sampling(min_p=0.1).require((), "this engine")
