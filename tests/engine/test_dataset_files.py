"""Files, frames and the hub: what is read, how rows are numbered, and that what is saved comes back."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from shadownb.engine.data import Dataset
from shadownb.engine.data.hub import explain
from shadownb.errors import DataError

CHAT = [
    {
        "messages": [
            {"role": "user", "content": "Grüße, 😀\u2028\nsecond"},
            {"role": "assistant", "content": 'ok, "yes"'},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "rain?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": None}}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "no"},
            {"role": "assistant", "content": "No."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {}}}}}],
    },
]


def test_jsonl_reports_line_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('\n{"text": "a"}\n{"text": \n\n[1]\n{"text": ""}\n{"text": "b"}\n', encoding="utf-8")
    dataset = Dataset.load(path)
    assert [row["text"] for row in dataset] == ["a", "", "b"]
    assert [(bad.place, bad.row, bad.index) for bad in dataset.report.bad] == [
        ("line", 3, None),
        ("line", 5, None),
        ("line", 6, 1),
    ]
    assert "not valid JSON" in dataset.report.bad[0].reason
    assert dataset.report.total == 5 and dataset.report.valid == 2


def test_a_line_that_is_no_utf8_or_nested_too_deep_is_one_bad_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    deep = '{"text": "a", "x": ' + "[" * 900 + "]" * 900 + "}"
    lines = [b'\xef\xbb\xbf{"text": "a"}', b'{"text": "\xff"}', b"[" * 100_000, deep.encode(), b'{"text": "b"}']
    path.write_bytes(b"\n".join(lines))
    report = Dataset.load(path).report
    assert [bad.row for bad in report.bad] == [2, 3, 4] and report.valid == 2
    assert "not UTF-8" in report.bad[0].reason and "nested" in report.bad[2].reason


def test_jsonl_keeps_unicode_line_separators_inside_strings(tmp_path):
    path = tmp_path / "rows.ndjson"
    path.write_text(json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert Dataset.load(path)[0]["text"] == "a\u2028b\x85c"


@pytest.mark.parametrize("shape", ["list", "data", "rows"])
def test_json_list_or_object_with_one_list(tmp_path, shape):
    path = tmp_path / "rows.json"
    rows = [{"text": "a"}, {"text": 1}]
    path.write_text(json.dumps(rows if shape == "list" else {"version": 2, shape: rows}))
    dataset = Dataset.from_json(path)
    assert len(dataset) == 2 and [bad.row for bad in dataset.report.bad] == [2]


@pytest.mark.parametrize("content", ['{"a": [1], "b": [2]}', '{"a": 1}', "3", '{"text": "a"}\n{"text": "b"}'])
def test_json_of_another_shape_is_an_error(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        Dataset.from_json(path)
    assert caught.value.fix


def test_csv_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("\ufeffprompt,completion\nhi,ho\n".encode())
    dataset = Dataset.load(path)
    assert dataset.columns == ["prompt", "completion"]
    assert dataset.format == "instruction" and dataset.report.ok


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_rows_are_numbered_as_in_a_spreadsheet(tmp_path, delimiter):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["prompt", "completion"], ["two\nlines", "a"], ["q", ""], ["only one cell"], ["q", "b"]])
    dataset = Dataset.from_csv(path)
    assert [row["completion"] for row in dataset] == ["a", "", "b"]
    assert [(bad.row, bad.place) for bad in dataset.report.bad] == [(3, "row"), (4, "row")]
    assert "1 cells, the header has 2" in dataset.report.bad[1].reason


def test_csv_takes_long_cells_and_refuses_twin_columns(tmp_path):
    before = csv.field_size_limit()
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "x" * (before + 10) + "\n")
    assert len(Dataset.load(path)[0]["text"]) == before + 10
    path.write_text("text,text\na,b\n")
    with pytest.raises(DataError, match="two columns named 'text'"):
        Dataset.load(path)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".parquet"])
def test_what_is_saved_comes_back(tmp_path, suffix):
    dataset = Dataset.from_list(CHAT)
    path = dataset.save(tmp_path / "deep" / f"rows{suffix}")
    again = Dataset.load(path)
    assert again.report.ok and again.format == "chat"
    assert again.canonical_rows() == dataset.canonical_rows()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if suffix in (".jsonl", ".json"):
        assert again.rows == CHAT and again.fingerprint == dataset.fingerprint


def test_parquet_with_nested_columns_from_elsewhere(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(CHAT), path)
    dataset = Dataset.from_parquet(path)
    assert dataset.report.ok, dataset.report
    assert "tool_calls" not in dataset[0]["messages"][0]
    assert dataset.canonical_rows()[1]["messages"][3] == {"role": "assistant", "content": "No."}


def test_pandas_frames_with_missing_values_and_any_index():
    import pandas as pd

    frame = pd.DataFrame({"prompt": ["a", "b", None], "completion": ["x", None, "z"], "n": [1, 2, 3]}, index=[7, 7, 9])
    dataset = Dataset.from_pandas(frame)
    assert dataset[0] == {"prompt": "a", "completion": "x", "n": 1}
    assert [(bad.row, bad.reason) for bad in dataset.report.bad] == [
        (1, "completion is missing"),
        (2, "prompt is missing"),
    ]
    assert type(dataset[0]["n"]) is int


def test_pandas_frames_read_from_parquet_hold_arrays(tmp_path):
    import pandas as pd

    pd.DataFrame(CHAT[:1]).to_parquet(tmp_path / "rows.parquet")
    dataset = Dataset.from_pandas(pd.read_parquet(tmp_path / "rows.parquet"))
    assert dataset.canonical_rows()[0]["messages"] == CHAT[0]["messages"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.txt", "a", r"'\.txt'"),
        ("rows.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("rows.parquet", "no parquet", "parquet"),
        ("rows.jsonl", "", "no rows"),
        ("rows.jsonl", "{\n{\n", "all 2 entries are bad"),
        ("rows.csv", "prompt,completion\n", "no rows"),
    ],
)
def test_unusable_files_are_errors_with_a_next_step(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=expected) as caught:
        Dataset.load(path)
    assert caught.value.fix


def test_a_missing_file_is_named_with_a_near_one(tmp_path):
    (tmp_path / "support.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=r"Did you mean 'support\.jsonl'"):
        Dataset.load(tmp_path / "suport.jsonl")
    with pytest.raises(DataError, match="suffix"):
        Dataset.from_list([{"text": "a"}]).save(tmp_path / "rows.xyz")


def test_the_hub_offline_is_a_typed_error():
    code = (
        "from shadownb.engine.data import Dataset\n"
        "from shadownb.errors import DataError\n"
        "try:\n    Dataset.from_hub('some-owner/some-set')\n"
        "except DataError as error:\n    print(error.code, '|', error.fix)\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith("data-offline |"), done.stdout + done.stderr
    assert "Dataset.load" in done.stdout


def test_other_hub_failures_are_told_apart():
    from datasets.exceptions import DatasetNotFoundError

    missing = explain("a/b", None, "train", DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub"))
    gated = explain("a/b", None, "train", DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub"))
    private = explain(
        "a/b", None, "train", type("RepositoryNotFoundError", (Exception,), {})("If a private or gated repo, sign in")
    )
    assert private.code == "data-not-found", "the client says gated of whatever it does not find"
    split = explain("a/b", None, "trian", ValueError('Unknown split "trian"'))
    assert (missing.code, gated.code, split.code) == ("data-not-found", "data-gated", "data")
    assert "token" in gated.fix and "trian" in split.what
