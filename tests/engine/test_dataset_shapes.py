"""Public shapes of rows: each becomes what it says, names what it leaves, and stands in the docs' table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shadownb.engine.data import Dataset
from shadownb.errors import DataError
from tests.engine.data_shapes import SHAPES, TABLE, Shape, read, table


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)
def test_a_public_shape_is_read_right_or_refused(shape: Shape) -> None:
    data = read(shape)
    assert data.format == shape.format
    assert {column.name: column.kind for column in data.report.unread} == shape.unread
    if shape.becomes is None:
        with pytest.raises(DataError) as caught:
            data.canonical_rows()
        assert caught.value.fix
    else:
        assert data.report.ok, data.report
        assert data.canonical_row(0) == shape.becomes


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.becomes], ids=lambda shape: shape.title)
def test_a_shape_that_went_through_arrow_is_the_same(shape: Shape) -> None:
    import datasets

    data = Dataset.from_datasets(datasets.Dataset.from_list(shape.rows), **shape.options)
    assert data.report.ok, data.report
    assert data.canonical_row(0) == shape.becomes


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.becomes], ids=lambda shape: shape.title)
def test_a_shape_that_lies_in_a_json_file_alone_is_one_row(shape: Shape, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(shape.rows[0] if len(shape.rows) == 1 else shape.rows), encoding="utf-8")
    if shape.options.get("columns"):
        with pytest.raises(DataError, match="no list"):  # nothing says that this object is a row
            Dataset.load(path)
        return
    assert Dataset.load(path, **shape.options).canonical_row(0) == shape.becomes


def test_the_table_in_the_docs_is_up_to_date() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run python -m tests.engine.data_shapes and commit the page"
