"""What is trained, token by token: the inspector shows for every method exactly what the trainer's batches train."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb import methods
from shadownb.engine.backends.torch.packed_batch import PackedBatch
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.loaded.source import Source
from shadownb.engine.opening import open_recorded
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.runs.loop import Loop
from shadownb.errors import ConfigError
from tests.engine.methods_data import OPTIONS, WEATHER, documents, tool_chat
from tests.tiny_models import biased, byte_gpt2

# What is trained where the model answers is made in the run (tests/policy and tests/teaching look at it), and facts are in
# test_facts.py.
EVERY = [spec.name for spec in methods.available() if spec.group not in ("rl", "teacher", "memory")]
ROWS: dict[str, list[dict[str, Any]]] = {
    "sft": [tool_chat()],
    "dpo": [
        {
            "prompt": tool_chat()["messages"][:4],
            "chosen": tool_chat()["messages"][4:7],
            "rejected": [{"role": "assistant", "content": "I do not know."}],
            "tools": [WEATHER],
        }
    ],
    "kto": [
        {"prompt": tool_chat()["messages"][:4], "completion": "I do not know.", "label": False, "tools": [WEATHER]}
    ],
}
# Every turn of the assistant with its stop token, the tool call as the bundled template writes it, and nothing else.
TRAINED = {
    "sft": [
        "Good day to you.<|im_end|>",
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>',
        "It is cold, 3 degrees.<|im_end|>",
        "Any time.<|im_end|>",
    ],
    "dpo": [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>',
        "It is cold, 3 degrees.<|im_end|>",
        "I do not know.<|im_end|>",
    ],
    "kto": ["I do not know.<|im_end|>"],
}


class Batches:
    """What the trainer computed: the examples of its steps, the targets of their batches with what stands before each.

    ``longest`` is the length of the longest row of all batches up to its last target, which is no input: also of evaluations, of
    the reference and of KTO's mismatched answers.
    """

    def __init__(self) -> None:
        self.examples: list[Example] = []
        self.targets: list[list[tuple[int, int]]] = []  # a batch: (token, next token that is trained)
        self.longest = 0


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    seen = Batches()
    compute, tokens = Loop.compute, Passes.tokens

    def watched_step(self: Loop, examples: list[Example], *rest: Any) -> Any:
        seen.examples.extend(examples)
        return compute(self, examples, *rest)

    def watched_piece(self: Passes, batch: PackedBatch) -> Any:
        if self.adapter.module.training:
            before = batch.input_ids[0, batch.keep]
            seen.targets.append(list(zip(before.tolist(), batch.targets.tolist(), strict=True)))
        seen.longest = max(seen.longest, int(batch.position_ids[0, batch.keep].max()) + 2)
        return tokens(self, batch)

    monkeypatch.setattr(Loop, "compute", watched_step)
    monkeypatch.setattr(Passes, "tokens", watched_piece)
    return seen


def load(method: str, folder: Path, **options: Any) -> Any:
    source = biased(folder) if method == "bitfit" else folder
    return snb.load(str(source), dtype="float32", quantize="4bit" if method == "qlora" else None, **options)


def train(model: Any, rows: Sequence[dict[str, Any]], method: str, **options: Any) -> Any:
    count = {"max_steps": 1, "per_device_train_batch_size": 16, "background": False}
    return model.train(list(rows), method=method, **{**OPTIONS, **count, **options})


def spans(tokens: Sequence[tuple[int, bool]], tokenizer: Any) -> list[str]:
    """Return the text of each unbroken run of trained tokens."""
    found: list[list[int]] = []
    before = False
    for identifier, trained in tokens:
        if trained and not before:
            found.append([])
        if trained:
            found[-1].append(identifier)
        before = trained
    return [tokenizer.decode(ids) for ids in found]


@pytest.mark.parametrize("method", EVERY)
def test_what_the_inspector_shows_is_what_is_trained(
    method: str, home: Path, byte_model_dir: Path, batches: Batches
) -> None:
    spec = methods.get(method)
    if spec.data_formats == ("text",):
        rows: list[dict[str, Any]] = [{"text": "A whole document. " * 20}]
        wanted = None
    else:
        rows, wanted = ROWS[spec.objective], TRAINED[spec.objective]
    model = load(method, byte_model_dir)
    data = snb.Dataset.from_list(rows)
    shown = data.inspect(model, method=method, max_length=128 if wanted is None else None)
    train(model, rows, method, **({"max_length": 128} if wanted is None else {}))

    rendered = [row for example in batches.examples for row in example.rows]
    order = sorted(rendered, key=lambda row: row.input_ids)
    assert [list(zip(row.input_ids, [label != NOT_TRAINED for label in row.labels], strict=True)) for row in order] == [
        [(token.id, token.trained) for token in sequence]
        for sequence in sorted(shown.sequences, key=lambda sequence: [token.id for token in sequence])
    ]
    # The logits that the loss is computed from are exactly those before a trained token.
    computed = sorted(pair for batch in batches.targets for pair in batch)
    assert computed == sorted(
        (before.id, token.id)
        for sequence in shown.sequences
        for before, token in itertools.pairwise(sequence)
        if token.trained
    )
    if wanted is not None:
        found = [
            text
            for sequence in shown.sequences
            for text in spans([(token.id, token.trained) for token in sequence], model.tokenizer)
        ]
        assert found == wanted
    else:
        assert len(shown.sequences) > 1


@pytest.mark.parametrize("loss_on", ["last", "all"])
def test_the_choice_of_turns_reaches_both(loss_on: Any, home: Path, byte_model_dir: Path, batches: Batches) -> None:
    model = load("lora", byte_model_dir)
    shown = snb.Dataset.from_list([tool_chat()]).inspect(model, loss_on=loss_on)
    train(model, [tool_chat()], "lora", loss_on=loss_on)
    assert [label != NOT_TRAINED for label in batches.examples[0].rows[0].labels] == [t.trained for t in shown.tokens]
    assert shown.trained_tokens == (len("Any time.") + 1 if loss_on == "last" else len(shown.tokens))


@pytest.mark.parametrize("length", [8, 33, 64, 1024])
def test_cpt_loses_no_token(length: int, home: Path, byte_model_dir: Path, batches: Batches) -> None:
    """Over all sequences each token of a document but the first is a target exactly once, behind the one before it."""
    rows = documents(6)
    model = load("cpt", byte_model_dir, max_length=256)
    run = train(model, rows, "cpt", max_length=length, num_train_epochs=1, max_steps=None)
    wanted = []
    for row in rows:
        ids = model.renderer.render(row, loss_on="all").input_ids
        assert model.tokenizer.decode(ids).startswith(row["text"])
        wanted += list(itertools.pairwise(ids))
    assert sorted(pair for batch in batches.targets for pair in batch) == sorted(wanted)
    assert max(len(row.input_ids) for example in batches.examples for row in example.rows) <= length
    assert [w["what"] for w in run.state.warnings] == []
    assert run.state.record["trained_tokens_in_data"] == len(wanted)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_prompts_of_preferences_are_those_of_inference(
    method: str, home: Path, tiny_model_dir: Path, batches: Batches
) -> None:
    """With the real tokenizer, whose own template drops tools."""
    row = ROWS[method][0]
    model = load(method, tiny_model_dir)
    train(model, [row], method)
    prompt = model.renderer.render_prompt(row["prompt"], row["tools"])
    assert "weather" in model.tokenizer.decode(prompt)
    rendered = [row for example in batches.examples for row in example.rows]
    assert len(rendered) == (2 if method == "dpo" else 1)
    for sequence in rendered:
        assert sequence.input_ids[: len(prompt)] == prompt
        assert sequence.labels[: len(prompt)] == [NOT_TRAINED] * len(prompt)
        assert sequence.labels[len(prompt)] != NOT_TRAINED
        assert model.renderer.stop_token_ids[0] in sequence.labels


# Prompts of two lengths: the longer one with the other's answer is longer than either row.
SHORT_PROMPT, LONG_PROMPT = "Hi", "Tell me. Tell me."
LONG: dict[str, list[dict[str, Any]]] = {
    "sft": [
        {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": "Yes, " * 60}]}
        for prompt in (SHORT_PROMPT, LONG_PROMPT)
    ],
    "dpo": [
        {"prompt": prompt, "chosen": "Yes, " * 60, "rejected": "No, " * 60} for prompt in (SHORT_PROMPT, LONG_PROMPT)
    ],
    "kto": [
        {"prompt": SHORT_PROMPT, "completion": "Yes, " * 60, "label": True},
        {"prompt": LONG_PROMPT, "completion": "No, " * 60, "label": False},
    ],
    "text": [{"text": "A whole document. " * 20}] * 2,
}


@pytest.mark.parametrize("of", ["run", "model"])
@pytest.mark.parametrize(
    ("method", "objective"), [("lora", "sft"), ("prompt", "sft"), ("full", "sft"), ("dpo", "dpo"), ("kto", "kto")]
)
def test_max_seq_length_reaches_every_objective(
    method: str, objective: str, of: str, home: Path, byte_model_dir: Path, batches: Batches
) -> None:
    """Also KTO's mismatched answers and the reference."""
    rows, given = LONG[objective], {"max_length": 72}
    model = load(method, byte_model_dir, **(given if of == "model" else {}))
    options: dict[str, Any] = {"max_tokens_per_forward": 16, "eval_dataset": rows}
    run = train(model, rows, method, **options, **(given if of == "run" else {}))
    assert {len(row.input_ids) for example in batches.examples for row in example.rows} == {72}
    assert batches.longest == 72
    warning = next(w for w in run.state.warnings if w["code"] == "rows-truncated")
    assert "2 of 2" in warning["what"] and "max_length=72" in warning["what"]
    shown = snb.Dataset.from_list(rows).inspect(model, method=method, max_length=72)
    assert all(len(sequence) == 72 for sequence in shown.sequences)
    assert shown.truncated_tokens > 0


def test_without_the_option_the_models_length_counts(home: Path, byte_model_dir: Path, batches: Batches) -> None:
    model = load("dpo", byte_model_dir, max_length=80)
    train(model, LONG["dpo"], "dpo")
    assert {len(row.input_ids) for row in batches.examples[0].rows} == {80}


POSITIONS = 128


@pytest.fixture(scope="module")
def few_positions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose positions are learned: it cannot compute a longer row."""
    return byte_gpt2(tmp_path_factory.mktemp("byte-gpt2"), POSITIONS)


@pytest.mark.parametrize("method", ["lora", "full", "prompt", "ptuning", "cpt", "dpo", "kto"])
def test_no_row_is_longer_than_the_model_has_positions(
    method: str, home: Path, few_positions: Path, batches: Batches
) -> None:
    virtual = 24 if method in ("prompt", "ptuning") else 0
    options: dict[str, Any] = {"num_virtual_tokens": virtual} if virtual else {}
    rows = LONG["text" if method == "cpt" else methods.get(method).objective]
    model = snb.load(str(few_positions), dtype="float32")
    assert model.max_length == POSITIONS
    run = train(model, rows, method, eval_dataset=rows, **options)
    assert batches.longest == POSITIONS - virtual
    warnings = {w["code"]: w for w in run.state.warnings}
    if method == "cpt":
        assert "rows-truncated" not in warnings
    else:
        told = warnings["rows-truncated"]
        assert f"max_length={POSITIONS - virtual}" in told["what"] and f"{POSITIONS} positions" in told["why"]
        assert ("num_virtual_tokens" in told["fix"]) == bool(virtual) and "Raise" not in told["fix"]

    data = snb.Dataset.from_list(rows)
    shown = data.inspect(model, method=method)
    assert max(len(sequence) for sequence in shown.sequences) == POSITIONS - virtual
    assert math.isfinite(model.loss(LONG["sft"])) and math.isfinite(model.loss(LONG["sft"], max_length=4096))
    assert data.token_statistics(model).max_length == POSITIONS - virtual


def test_longer_rows_than_the_model_has_positions_for_are_refused(home: Path, few_positions: Path) -> None:
    with pytest.raises(ConfigError, match=f"max_length=129: .* has {POSITIONS} positions"):
        snb.load(str(few_positions), max_length=129, dtype="float32")
    model = snb.load(str(few_positions), max_length=100, dtype="float32")
    with pytest.raises(ConfigError, match="max_length=129: this model has room for rows of 128 tokens"):
        train(model, LONG["sft"], "lora", max_length=129)
    with pytest.raises(ConfigError, match="max_length=120: this model has room for rows of 118 tokens") as caught:
        train(model, LONG["sft"], "prompt", max_length=120, num_virtual_tokens=10)
    assert "the learned prompt takes 10" in caught.value.why
    assert train(model, LONG["sft"], "prompt", max_length=118, num_virtual_tokens=10).status == "succeeded"


def test_the_model_of_a_record_with_more_than_its_positions_loads(home: Path, few_positions: Path) -> None:
    """Records of earlier versions have 2048 for every model."""
    model = snb.load(str(few_positions), dtype="float32")
    again = open_recorded(Source(model.name, model.source), {**model.describe(), "max_length": 2048})
    assert again.max_length == POSITIONS
