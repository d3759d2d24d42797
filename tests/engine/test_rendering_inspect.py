"""The token inspector: exact tokens, two marks for what is trained, safe markup."""

from __future__ import annotations

import json
import re

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.objectives.inspection import inspect_row
from shadownb.engine.rendering import Renderer
from shadownb.errors import MethodError
from tests.engine.rendering_tokenizers import REASONING, byte_tokenizer, word_tokenizer

ROW = {
    "messages": [{"role": "user", "content": "<b>& é😀\n日本"}, {"role": "assistant", "content": "Schön 😀\nok <i>"}]
}


@pytest.fixture(scope="module")
def inspection(smollm2_tokenizer):
    return Dataset.from_list([ROW]).inspect(smollm2_tokenizer)


def test_tokens_are_those_of_the_renderer_and_join_to_the_text(inspection, smollm2_tokenizer):
    rendered = Renderer(smollm2_tokenizer).render(ROW)
    assert [token.id for token in inspection.tokens] == rendered.input_ids
    assert [token.trained for token in inspection.tokens] == [label != -100 for label in rendered.labels]
    assert "".join(token.text for token in inspection.tokens) == smollm2_tokenizer.decode(rendered.input_ids)
    assert {token.text for token in inspection.tokens if token.special} == {"<|im_start|>", "<|im_end|>"}


def test_text_form_brackets_what_is_trained(inspection):
    assert str(inspection).endswith("<|im_start|>assistant\n[[Schön 😀\nok <i><|im_end|>]]\n")
    assert f"{inspection.trained_tokens} trained" in str(inspection).splitlines()[0]
    assert " at 0x" not in repr(inspection)


def test_html_marks_twice_and_escapes(inspection):
    html = inspection._repr_html_()
    spans = re.findall(r'<span style="([^"]*)" title="token \d+, ([a-z ]+)">(.*?)</span>', html, flags=re.DOTALL)
    assert len(spans) == len(inspection.tokens)
    for style, title, _ in spans:
        trained = title == "trained"
        assert ("underline" in style) == trained and ("background:rgba" in style) == trained
    assert sum(title == "trained" for _, title, _ in spans) == inspection.trained_tokens
    assert "<b>&" not in html and "<i>" not in html and "&lt;|im_end|&gt;" in html and "↵\n" in html
    assert f'aria-label="Tokens of a row: {inspection.summary}' in html.replace("&#x27;", "'")
    assert "background:#" not in html and "color:#" not in html


def test_dict_form_is_json(inspection):
    data = json.loads(json.dumps(inspection.to_dict()))
    assert data["total"] == len(inspection.tokens) and data["trained"] == inspection.trained_tokens
    assert data["sequences"][0][0] == [1, "<|im_start|>", False, True]
    assert data["template_reason"] and data["row"] == 0


def test_loss_on_limit_and_model_objects(smollm2_tokenizer):
    class Loaded:
        renderer = Renderer(smollm2_tokenizer)
        max_length = 20

    inspection = Dataset.from_list([ROW]).inspect(Loaded(), loss_on="all")
    assert len(inspection.tokens) == inspection.trained_tokens == 20
    assert "cut off" in inspection.summary and "loss on all" in inspection.summary


def test_a_method_that_trains_on_other_data_is_refused(smollm2_tokenizer):
    data = Dataset.from_list([ROW])
    assert data.inspect(smollm2_tokenizer, method="lora").trained_tokens
    with pytest.raises(MethodError, match=r"dpo needs .*; this data is chat"):
        data.inspect(smollm2_tokenizer, method="dpo")


def test_a_text_that_is_split_says_so_and_that_all_of_it_is_trained(smollm2_tokenizer):
    data = Dataset.from_list([{"text": "Another sentence. " * 40}])
    split = data.inspect(smollm2_tokenizer, method="cpt", max_length=16)
    assert len(split.sequences) > 5 and split.captions[:2] == ("part 1", "part 2")
    assert "sequences: part 1, part 2, part 3, part 4, ..." in split.summary and "loss on all" in split.summary
    (cut,) = data.inspect(smollm2_tokenizer, method="lora", max_length=16).sequences
    assert len(cut) == 16


def test_several_sequences_are_shown_one_after_the_other():
    renderer = Renderer(byte_tokenizer(REASONING))
    messages = [*ROW["messages"], {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    inspection = inspect_row(renderer, {"messages": messages})
    assert len(inspection.sequences) == 2 and "2 sequences" in inspection.summary
    assert inspection.skipped_turns == 0 and "\n---\n" in str(inspection) and "<hr>" in inspection.to_html()


def test_word_start_spaces_are_kept():
    renderer = Renderer(word_tokenizer())
    inspection = inspect_row(renderer, {"text": "hi answer hi"})
    assert [token.text for token in inspection.tokens] == ["<s>", " hi", " answer", " hi", "</s>"]
    assert "".join(token.text for token in inspection.tokens) == "<s> hi answer hi</s>"
