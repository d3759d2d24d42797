"""What is trained, on the real SmolLM2 tokenizer: by position, stop token included, prompts a prefix of training."""

from __future__ import annotations

import time

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.rendering import Renderer
from shadownb.errors import DataError

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "First <|im_end|> reply"},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "\n\nSecond.\n"},
]
END = 2  # <|im_end|>, which is also the pad and the end-of-sequence token


@pytest.fixture(scope="module")
def renderer(smollm2_tokenizer):
    return Renderer(smollm2_tokenizer)


def trained_runs(tokenizer, rendered):
    """Return the text of each unbroken run of trained tokens."""
    runs, run = [], []
    for label in [*rendered.labels, -100]:
        if label != -100:
            run.append(label)
        elif run:
            runs.append(tokenizer.decode(run))
            run = []
    return runs


def test_every_assistant_turn_is_trained_with_its_stop_token(renderer, smollm2_tokenizer):
    rendered = renderer.render({"messages": CHAT})
    assert trained_runs(smollm2_tokenizer, rendered) == ["First <|im_end|> reply<|im_end|>", "\n\nSecond.\n<|im_end|>"]
    assert len(rendered.input_ids) == len(rendered.labels) and rendered.truncated_tokens == rendered.skipped_turns == 0
    assert all(label in (-100, token) for token, label in zip(rendered.input_ids, rendered.labels, strict=True))
    assert rendered.labels.count(END) == 2 < rendered.input_ids.count(END), "stop tokens of other turns stay untrained"


def test_the_text_is_what_the_template_says(renderer, smollm2_tokenizer):
    rendered = renderer.render({"messages": CHAT})
    expected = smollm2_tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert smollm2_tokenizer.decode(rendered.input_ids) == expected
    assert expected.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")


def test_loss_on_last_and_all(renderer, smollm2_tokenizer):
    last = renderer.render({"messages": CHAT}, loss_on="last")
    assert trained_runs(smollm2_tokenizer, last) == ["\n\nSecond.\n<|im_end|>"]
    every = renderer.render({"messages": CHAT}, loss_on="all")
    assert every.labels == every.input_ids == last.input_ids
    with pytest.raises(DataError, match="loss_on='first'"):
        renderer.render({"messages": CHAT}, loss_on="first")


def test_the_prompt_of_each_turn_is_a_prefix_of_what_is_trained(renderer):
    rendered = renderer.render({"messages": CHAT})
    for turn in (1, 3):
        prompt = renderer.render_prompt(CHAT[:turn])
        assert rendered.input_ids[: len(prompt)] == prompt
        assert rendered.labels[len(prompt) - 1] == -100 and rendered.labels[len(prompt)] != -100
    whole = renderer.tokenizer.apply_chat_template(CHAT)["input_ids"]
    assert whole != rendered.input_ids, "the line breaks of turn 3 must show why pieces are encoded on their own"


def test_shipped_rows_get_the_same_ids_as_apply_chat_template(renderer, smollm2_tokenizer):
    for row in Dataset.sample("support-triage").canonical_rows():
        rendered = renderer.render(row, max_length=2048)
        assert rendered.input_ids == smollm2_tokenizer.apply_chat_template(row["messages"])["input_ids"]
        prompt = smollm2_tokenizer.apply_chat_template(row["messages"][:-1], add_generation_prompt=True)["input_ids"]
        assert renderer.render_prompt(row["messages"][:-1]) == prompt
        assert rendered.labels[: len(prompt)] == [-100] * len(prompt)
        assert trained_runs(smollm2_tokenizer, rendered) == [row["messages"][-1]["content"] + "<|im_end|>"]


def test_text_rows_train_every_token_and_one_end(renderer, smollm2_tokenizer):
    rendered = renderer.render({"text": "Once upon a time"})
    assert rendered.labels == rendered.input_ids
    assert smollm2_tokenizer.decode(rendered.input_ids) == "Once upon a time<|im_end|>"
    assert renderer.render({"text": "Once upon a time<|im_end|>"}) == rendered


def test_completions_weights_and_turns_kept_out_of_the_loss(renderer, smollm2_tokenizer):
    rendered = renderer.render({"messages": CHAT, "train_from": 2})
    assert trained_runs(smollm2_tokenizer, rendered) == ["\n\nSecond.\n<|im_end|>"]
    weighted = [CHAT[0], {**CHAT[1], "weight": 1}, CHAT[2], {**CHAT[3], "weight": 0}]
    rendered = renderer.render({"messages": weighted})
    assert trained_runs(smollm2_tokenizer, rendered) == ["First <|im_end|> reply<|im_end|>"]
    assert "weight" not in smollm2_tokenizer.decode(rendered.input_ids)


def test_truncation_is_counted_and_rows_without_labels_show_it(renderer):
    whole = renderer.render({"messages": CHAT})
    prompt = len(renderer.render_prompt(CHAT[:1]))
    cut = renderer.render({"messages": CHAT}, max_length=prompt + 2)
    assert cut.input_ids == whole.input_ids[: prompt + 2] and cut.labels == whole.labels[: prompt + 2]
    assert cut.truncated_tokens == len(whole.input_ids) - prompt - 2 and cut.trained_tokens == 2
    assert renderer.render({"messages": CHAT}, max_length=prompt).trained_tokens == 0


def test_truncation_set_on_the_shared_tokenizer_does_not_reach_the_renderer(renderer, smollm2_tokenizer):
    before = renderer.render({"messages": CHAT})
    smollm2_tokenizer(["a b c d e f"], truncation=True, max_length=3, padding="max_length")
    try:
        assert renderer.render({"messages": CHAT}) == before
        assert Renderer(smollm2_tokenizer).render({"messages": CHAT}) == before
    finally:
        smollm2_tokenizer(["a"], truncation=False, padding=False)


def test_stop_tokens_and_rows_of_other_forms(renderer):
    assert renderer.stop_token_ids == (END,)
    with pytest.raises(DataError, match="prompt, chosen, rejected"):
        renderer.render({"prompt": [], "chosen": [], "rejected": []})
    with pytest.raises(DataError, match=r"messages\[0\] has the unknown role 'boss'"):
        renderer.render_prompt([{"role": "boss", "content": "x"}])


def test_a_chat_may_go_on_after_an_empty_reply(renderer):
    history = [CHAT[0], {"role": "assistant", "content": ""}, CHAT[2]]
    assert renderer.tokenizer.decode(renderer.render_prompt(history)).endswith(
        "And?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_thousand_short_rows_take_little_time(renderer):
    rows = Dataset.sample("support-triage").canonical_rows()[:100]
    renderer.render(rows[0])
    start = time.process_time()
    for row in rows:
        renderer.render(row, max_length=2048)
    assert time.process_time() - start < 0.5, "200 rows/s is the floor; an idle core does over 1,500"


def test_statistics_count_what_the_renderer_renders(renderer, smollm2_tokenizer):
    dataset = Dataset.from_list(
        [{"messages": CHAT}, {"messages": CHAT[:2]}, {"messages": [{"role": "user", "content": "x"}]}]
    )
    lengths = sorted(len(renderer.render(row).input_ids) for row in dataset.canonical_rows())
    found = dataset.token_statistics(smollm2_tokenizer)
    assert (found.rows, found.minimum, found.maximum, found.total) == (2, lengths[0], lengths[1], sum(lengths))
    assert found.mean == found.median == sum(lengths) / 2 and found.p95 == lengths[1]
    assert found.trained == sum(renderer.render(row).trained_tokens for row in dataset.canonical_rows())
    cut = dataset.token_statistics(smollm2_tokenizer, max_length=lengths[0])
    assert cut.over_max_length == 1 and cut.untrained_rows == 0 and cut.total == found.total
    assert dataset.token_statistics(smollm2_tokenizer, max_length=5).untrained_rows == 2
    assert "longer than" in str(cut) and "<table" in cut._repr_html_() and "longer than" not in str(found)


def test_statistics_of_preference_rows_count_both_sides(smollm2_tokenizer):
    dataset = Dataset.from_list([{"prompt": "q", "chosen": "good", "rejected": "bad answer"}])
    both = dataset.token_statistics(smollm2_tokenizer)
    sides = [{"prompt": "q", "response": "good"}, {"prompt": "q", "response": "bad answer"}]
    assert both.total == Dataset.from_list(sides).token_statistics(smollm2_tokenizer).total
