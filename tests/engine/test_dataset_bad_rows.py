"""A bad row is one bad row: half characters, values nested for ever, rows over the context; the others are used."""

from __future__ import annotations

import datetime
import decimal
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

import shadownb as snb
from shadownb.engine.data import Dataset
from shadownb.errors import ConfigError, DataError, ShadowWarning
from tests.tiny_models import byte_gpt2

HALF, SMILE = "\ud83d", "\ud83d\ude00"
FAST: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "lora_r": 4,
    "background": False,
}


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **more}]}


GOOD = [chat(f"{n}?", f"{n}!") for n in range(6)]
CALL = {"function": {"name": "f", "arguments": {"a": HALF}}}
KEYED = {"function": {"name": "f", "arguments": {HALF: 1}}}
TOOL = {"name": "f", "description": HALF, "parameters": {"properties": {"a": {}}}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for the whole file, as its models are shared."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def model(home: Path, byte_model_dir: Path) -> Any:
    """A model with 1,024 positions, one token a byte."""
    return snb.load(str(byte_model_dir), dtype="float32")


@pytest.fixture(scope="module")
def short(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model with 128 positions, behind which there is nothing to look up."""
    return snb.load(str(byte_gpt2(tmp_path_factory.mktemp("short"), 128)), dtype="float32")


# -- half characters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        chat(HALF, "a"),
        chat("q", f"a{HALF}b"),
        chat("q", "a", reasoning=HALF),
        chat("q", "", tool_calls=[CALL]),
        chat("q", "", tool_calls=[KEYED]),
        {**chat("q", "a"), "tools": [TOOL]},
        {**chat("q", "a"), "system": HALF},
        {"prompt": "q", "completion": "a", "context": HALF},
        {"prompt": HALF, "chosen": "a", "rejected": "b"},
        {"prompt": "q", "completion": HALF, "label": True},
        {"text": f"Once {HALF}."},
    ],
    ids=[
        "user",
        "assistant",
        "reasoning",
        "argument",
        "key",
        "schema",
        "system",
        "context",
        "preference",
        "verdict",
        "text",
    ],
)
def test_half_a_character_makes_one_bad_row_wherever_it_stands(row: dict[str, Any]) -> None:
    data = Dataset.from_list([row])
    assert data.report.valid == 0 and "half a character (the lone surrogate U+D83D)" in data.report.bad[0].reason


def test_two_halves_side_by_side_are_one_character() -> None:
    data = Dataset.from_list([chat("q", SMILE), {"messages": json.dumps(chat("q", SMILE)["messages"])}])
    assert [row["messages"][1]["content"] for row in data.canonical_rows()] == ["😀", "😀"]


def test_a_set_with_half_characters_is_hashed_shown_stored_and_split(tmp_path: Path) -> None:
    rows = [*GOOD, chat(HALF, "a"), {**chat("q", "a"), f"col{HALF}": "x", "note": HALF, "id": HALF}]
    data = Dataset.from_list(rows)
    assert (data.report.valid, len(data)) == (6, 8) and len(data.fingerprint) == 64
    for text in (repr(data), data._repr_html_(), str(data.report), json.dumps(data.report.to_dict())):
        text.encode()
    back = Dataset.load(data.save(tmp_path / "rows.jsonl"))
    assert back.fingerprint == data.fingerprint and back.rows == rows
    for suffix in (".csv", ".parquet"):
        with pytest.raises(DataError, match="Row 6 holds half a character") as caught:
            data.save(tmp_path / f"rows{suffix}")
        assert caught.value.fix
    assert len(data.usable()) == 6 and data.usable().report.ok
    assert sum(part.report.valid for part in data.split(0.5)) == 6


def test_a_run_leaves_the_row_out_and_a_question_with_one_is_a_typed_error(model: Any) -> None:
    with pytest.warns(ShadowWarning, match="1 of 7 rows"):
        run = model.train([*GOOD, chat("q", HALF)], max_steps=1, sample_max_new_tokens=0, **FAST)
    assert run.status == "succeeded"
    for ask in (lambda: model.generate(HALF), lambda: model.chat(chat(HALF, "a")["messages"][:1])):
        with pytest.raises(DataError, match="half a character"):
            ask()
    assert snb.compare(model, [*GOOD[:2], chat(HALF, "a")], snb.Exact(), max_new_tokens=2).skipped == 1
    assert snb.leakage(GOOD, [chat(HALF, "a"), *GOOD[:1]]).leaked == [0]


# -- what JSON cannot say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"a": float("nan")}, "nan"),
        ({"a": [1.0, float("-inf")]}, "-inf"),
        ('{"a": Infinity}', "inf"),
        ('{"a": 1e999}', "inf"),
        ('{"a": ' + "9" * 5000 + "}", "inf"),
        ({"a": datetime.datetime(2024, 5, 1)}, "of type datetime"),
        ({"a": {"b": decimal.Decimal("1.5")}}, "of type Decimal"),
        ({"a": np.int64(3)}, "of type int64"),
        ({"a": b"x"}, "of type bytes"),
        ({1: "x"}, "key of type int"),
        ('{"a": 1, "a": 2}', 'key "a" appears twice'),
    ],
)
def test_arguments_that_json_cannot_say_make_a_bad_row(arguments: Any, why: str) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    data = Dataset.from_list([*GOOD, chat("q", "", tool_calls=[call])])
    assert data.report.valid == 6 and why in data.report.bad[0].reason


def test_schemas_that_json_cannot_say_make_a_bad_row_and_dates_from_arrow_do() -> None:
    tool = {"name": "f", "parameters": {"properties": {"a": {"minimum": float("nan")}}}}
    assert "tools[0] holds nan" in Dataset.from_list([{**chat("q", "a"), "tools": [tool]}]).report.bad[0].reason
    dated = chat("q", "", tool_calls=[{"function": {"name": "f", "arguments": {"on": datetime.datetime(2024, 5, 1)}}}])
    report = Dataset.from_datasets(datasets.Dataset.from_list([dated])).report
    assert "of type datetime, which JSON does not have; write it as text" in report.bad[0].reason


def test_a_key_that_stands_twice_makes_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"prompt": "q", "completion": "a"}\n{"prompt": "first", "prompt": "second", "completion": "a"}\n'
        '{"messages": [{"role": "user", "content": "q", "content": "r"}, {"role": "assistant", "content": "a"}]}\n'
    )
    report = Dataset.load(path).report
    assert report.valid == 1 and [(bad.row, bad.place) for bad in report.bad] == [(2, "line"), (3, "line")]
    assert 'key "prompt" appears twice' in report.bad[0].reason
    cell = '[{"role": "user", "content": "q", "content": "r"}, {"role": "assistant", "content": "a"}]'
    assert not Dataset.from_list([{"messages": cell}]).report.valid
    whole = tmp_path / "rows.json"
    twice = '{"prompt": "first", "prompt": "second", "completion": "a"}'
    for text in (
        f'[{{"prompt": "q", "completion": "a"}}, {twice}]',
        f'{{"data": [{{"prompt": "q", "completion": "a"}}, {twice}]}}',
    ):
        whole.write_text(text)
        report = Dataset.load(whole).report
        assert report.valid == 1 and [(bad.row, bad.reason) for bad in report.bad] == [
            (2, "a key stands twice in one of its objects")
        ]
    whole.write_text(twice)
    with pytest.raises(DataError, match='key "prompt" appears twice'):
        Dataset.load(whole)


# -- nested for ever ----------------------------------------------------------------------------------------------------


def test_values_nested_for_ever_are_bad_rows() -> None:
    deep: Any = "x"
    for _ in range(2_000):
        deep = [deep]
    endless: dict[str, Any] = chat("q", "a")
    endless["self"] = endless
    data = Dataset.from_list([*GOOD, {**chat("q", "a"), "id": deep}, endless])
    assert data.report.valid == 6 and all("nested deeper than" in bad.reason for bad in data.report.bad)
    data.fingerprint.encode()
    repr(data), data._repr_html_()
    arguments = '{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"
    call = {"function": {"name": "f", "arguments": arguments}}
    assert "not valid JSON" in Dataset.from_list([chat("q", "", tool_calls=[call])]).report.bad[0].reason


# -- over the context ---------------------------------------------------------------------------------------------------

LONG = "word " * 100


def test_a_long_prompt_is_passed_over_where_a_run_samples(short: Any) -> None:
    rows = [{"prompt": LONG, "completion": "THE ANSWER"}, *GOOD_PROMPTS]
    run = short.train(rows, max_steps=2, eval_steps=1, max_length=64, sample_max_new_tokens=2, **FAST)
    assert run.status == "succeeded"
    assert [item["prompt"] for item in run.samples()[-1]["items"]] == ["q0", "q1", "q2"]
    (told,) = [warning for warning in run.state.warnings if warning["code"] == "prompts-skipped"]
    assert "1 sample prompt is too long" in told["what"] and "128 tokens" in told["why"]


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_given_prompts_that_leave_no_position_are_passed_over(short: Any, method: str) -> None:
    """The learned prompt takes positions as well: 60 of 128."""
    options: dict[str, Any] = {**FAST, "method": method, "max_steps": 1, "eval_steps": 1, "sample_max_new_tokens": 2}
    if method == "prompt":
        del options["lora_r"]
        options |= {"num_virtual_tokens": 60, "max_length": 64}
    model = snb.load(short.source, dtype="float32")
    middle = "m" * (130 if method == "lora" else 55)
    run = model.train(GOOD_PROMPTS, sample_prompts=["hi", middle, LONG], eval_dataset=0.5, **options)
    assert run.status == "succeeded"
    assert [item["prompt"] for item in run.samples()[-1]["items"]] == ["hi"]
    assert any("2 sample prompts are too long" in warning["what"] for warning in run.state.warnings)


GOOD_PROMPTS = [{"prompt": f"q{n}", "completion": "a"} for n in range(6)]


def test_where_every_prompt_is_too_long_nothing_is_sampled_and_the_run_is_fine(short: Any) -> None:
    rows = [{"messages": [*chat("q", "a")["messages"], *chat(LONG, "b")["messages"]]} for _ in range(4)]
    run = short.train(rows, max_steps=1, eval_steps=1, max_length=64, sample_max_new_tokens=2, **FAST)
    assert run.status == "succeeded" and not run.samples()


def test_long_evaluation_rows_are_cut_and_told(short: Any) -> None:
    held_out = [chat("q", LONG), chat("q", "a")]
    run = short.train(GOOD, eval_dataset=held_out, max_steps=1, eval_steps=1, sample_max_new_tokens=0, **FAST)
    assert run.status == "succeeded"
    assert any("1 of 2 evaluation rows are longer" in warning["what"] for warning in run.state.warnings)


def test_compare_leaves_out_what_the_model_cannot_answer(short: Any) -> None:
    rows = [GOOD[0], chat(LONG, "a"), GOOD[1]]
    with pytest.warns(ShadowWarning, match="1 of 3 rows cannot be answered.*row 1: its prompt has 5"):
        result = snb.compare(short, rows, snb.Exact(), max_new_tokens=2)
    assert [row.index for row in result] == [0, 2] and [index for index, _ in result.left_out] == [1]
    assert "1 rows that the model cannot answer were left out" in str(result)
    with pytest.raises(DataError, match="None of the 1 rows can be answered"):
        snb.compare(short, [chat(LONG, "a")], snb.Exact())


def test_loss_says_how_many_rows_it_cuts(short: Any) -> None:
    with pytest.warns(ShadowWarning, match="1 of 7 rows of 'list' are longer than max_length=128"):
        short.loss([*GOOD, chat("q", LONG)])


# -- what holds rows goes straight in -----------------------------------------------------------------------------------


class Polars:
    """What a polars frame offers, without the library: its class says where it comes from."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def to_dicts(self) -> list[dict[str, Any]]:
        return self._rows


Polars.__module__, Polars.__name__ = "polars.dataframe.frame", "DataFrame"


def holders() -> dict[str, Any]:
    import pyarrow as pa

    held = datasets.Dataset.from_list(GOOD)
    return {
        "list": GOOD,
        "Dataset": Dataset.from_list(GOOD),
        "datasets.Dataset": held,
        "one split": datasets.DatasetDict({"train": held}),
        "with a format": held.with_format("numpy"),
        "selected": datasets.Dataset.from_list([*GOOD, chat("x", "y")]).select(range(6)),
        "frame": pd.DataFrame(GOOD),
        "frame from arrow": held.to_pandas(),
        "arrow": pa.Table.from_pylist(GOOD),
        "polars": Polars(GOOD),
    }


@pytest.mark.parametrize("name", list(holders()))
def test_what_holds_rows_goes_straight_into_everything(name: str, model: Any) -> None:
    held = holders()[name]
    expected = Dataset.from_list(GOOD).canonical_rows()
    assert Dataset.of(held).canonical_rows() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert snb.leakage(GOOD, held).leaked == list(range(6)) == snb.leakage(held, GOOD).leaked
        assert model.loss(held) == model.loss(GOOD)
    result = snb.compare(model, held, snb.Exact(), max_new_tokens=1, max_rows=1)
    assert result.rows[0].expected == "0!"


def test_a_datasets_set_is_trained_on_as_it_is(model: Any) -> None:
    held = datasets.Dataset.from_list(GOOD)
    run = model.train(held, eval_dataset=pd.DataFrame(GOOD[:2]), max_steps=1, sample_max_new_tokens=0, **FAST)
    plan = next(event for event in run.events() if event["type"] == "plan")
    assert (plan["rows"], plan["eval_rows"]) == (6, 2)


@pytest.mark.parametrize("use", ["train", "loss", "leakage", "compare"])
def test_several_splits_and_streams_need_a_choice(use: str, model: Any) -> None:
    held = datasets.Dataset.from_list(GOOD)
    splits = datasets.DatasetDict({"train": held, "test": held})
    uses: dict[str, Any] = {
        "train": lambda rows: model.train(rows, max_steps=1),
        "loss": model.loss,
        "leakage": lambda rows: snb.leakage(rows, GOOD),
        "compare": lambda rows: snb.compare(model, rows, snb.Exact()),
    }
    with pytest.raises(DataError, match="with the splits 'train', 'test'") as caught:
        uses[use](splits)
    assert "['train']" in caught.value.fix
    with pytest.raises(DataError, match="no known end") as caught:
        uses[use](held.to_iterable_dataset())
    assert "take" in caught.value.fix
    for nothing in (7, "rows.jsonl", None):
        with pytest.raises((DataError, ConfigError)):
            uses[use](nothing)
