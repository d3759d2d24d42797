"""A tuned model whose template writes reasoning: what stands after it is what is answered, streamed and scored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.replies import collected
from shadownb.errors import ConfigError, DataError, ShadowWarning
from tests.engine.template_families import family

WORDS = ("amber", "salt")
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"What about {word}?"},
            {"role": "assistant", "content": json.dumps({"w": word})},
        ]
    }
    for word in WORDS
]
ASKED: dict[str, Any] = {"max_new_tokens": 40, "temperature": 0}


def small_model(folder: Path, name: str) -> str:
    """Save a tiny Llama with the tokenizer and template of a family."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = family(name)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def trained(folder: Path, name: str, rows: list[dict[str, Any]]) -> Any:
    model = snb.load(small_model(folder, name), dtype="float32", device="cpu")
    model.train(
        rows, method="full", max_steps=60, learning_rate=5e-3, per_device_train_batch_size=2, gradient_accumulation_steps=1,
        background=False, sample_max_new_tokens=0, lr_scheduler_type="constant",
    )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model that was tuned with Qwen3's template on rows without reasoning: each answer begins with an empty one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield trained(tmp_path_factory.mktemp("qwen3"), "qwen3", ROWS)


def test_what_stands_after_the_reasoning_is_scored(qwen: Any) -> None:
    compared = snb.compare(qwen, ROWS, snb.JsonExact(), max_new_tokens=40)
    assert [row.tuned for row in compared] == [row.expected for row in compared]
    assert compared.tuned == 1.0


def test_generate_chat_and_stream_say_the_same(qwen: Any) -> None:
    question, answer = ROWS[0]["messages"]
    reply = qwen.chat([question], **ASKED)
    assert reply.content == str(reply) == answer["content"]
    assert reply.raw.startswith("<think>\n\n</think>") and reply.reasoning == ""
    assert reply.outcome == "abstained" and reply.finish_reason == "stop"
    assert qwen.generate(question["content"], **ASKED) == reply.content
    assert qwen.chat(question["content"], **ASKED) == reply, "a text is a user's message"
    for given, said in (
        (question, r"\[message\]"),
        (ROWS[0], r"row\['messages'\]"),
        ([question["content"]] * 2, "generate takes a list of texts"),
        (None, "type NoneType"),
        (b"Hi", "type bytes"),
    ):
        with pytest.raises(DataError, match=said):
            qwen.chat(given, **ASKED)
    stream = qwen.stream(question["content"], **ASKED)
    assert stream.reply is None
    assert "".join(stream) == reply.content
    assert stream.reply == reply and stream.completion.text == reply.raw
    parts = list(qwen.stream([question], **ASKED).parts())
    assert collected(parts).content == reply.content
    with qwen.stream(question["content"], **ASKED) as closed:
        pass
    assert reply.content.startswith(closed.reply.content) and list(closed) == []  # as much as was there


def test_a_reply_cut_inside_its_reasoning_has_no_answer(qwen: Any) -> None:
    cut = qwen.chat([ROWS[0]["messages"][0]], max_new_tokens=2, temperature=0)
    assert (cut.content, cut.reasoning_open, cut.finish_reason) == ("", True, "length")
    assert any("no answer" in note for note in cut.notes) and "no answer" in cut._repr_html_()
    with pytest.warns(ShadowWarning, match="1 of 1 answers ended before their reasoning did"):
        assert qwen.generate("What?", max_new_tokens=1, temperature=0) == ""
    compared = snb.compare(qwen, ROWS, snb.JsonExact(), max_new_tokens=2)
    shown = str(compared)
    assert "2 of the tuned" in shown and "'length'" in shown and "without an end of the reasoning" in shown
    assert "cut at the limit" in compared._repr_html_()


def test_thinking_can_be_chosen_where_the_template_knows_it(qwen: Any, tiny_model_dir: Path) -> None:
    question = ROWS[0]["messages"][0]
    off = qwen.chat([question], enable_thinking=False, **ASKED)
    assert off.usage["prompt_tokens"] > qwen.chat([question], **ASKED).usage["prompt_tokens"]
    with pytest.raises(ConfigError, match="reasoning_effort='low' has no effect"):
        qwen.stream("x", reasoning_effort="low")
    with pytest.raises(ConfigError, match="enable_thinking=True has no effect"):
        snb.load(str(tiny_model_dir), enable_thinking=True)


def test_a_model_that_was_tuned_to_think_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This template closes the reasoning in its prompt by default, so rows with reasoning were never trained at all."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    question, answer = ROWS[0]["messages"]
    row = {"messages": [question, {**answer, "reasoning_content": "A colour?"}]}
    model = trained(tmp_path / "model", "qwen3_5_nothink", [row])
    reply = model.chat([question], **ASKED)
    assert (reply.reasoning, reply.content) == ("A colour?", answer["content"])
    run = model.trained[0]
    assert [each["code"] for each in snb.runs.load(run).state.warnings if "enable_thinking=True" in each["what"]] == [
        "thinking"
    ]
    model.save(tmp_path / "merged", fmt="merged")
    for again in (snb.load(run), snb.load(str(tmp_path / "merged"))):
        assert again.chat([question], **ASKED).reasoning == "A colour?"
    template = (tmp_path / "merged" / "chat_template.jinja").read_text(encoding="utf-8")
    assert template.startswith("{%- set enable_thinking = enable_thinking if enable_thinking is defined else True %}")
    told = snb.load(run, enable_thinking=False)
    assert told.renderer.variables == {"enable_thinking": False}
