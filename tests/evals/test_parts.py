"""A suite's parts: each language, task or database has a mean of its own, and problems that several share make a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.evals import suites
from shadownb.engine.evals.evaluation.graded import Graded
from shadownb.engine.evals.evaluation.parts import grid
from shadownb.engine.evals.evaluation.summary import summary
from shadownb.errors import DataError
from tests.evals.contestants import Polyglot, speakers


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    with pytest.warns(snb.ShadowWarning, match="could not be graded"):
        snb.evaluate(speakers(), Polyglot(), name="parts")
    return snb.Evaluation.open("parts")  # as its folder has it


def test_each_part_has_a_mean_of_its_own(found: Any) -> None:
    parts = found.by_part("polyglot", "tuned")
    assert {name: (cell.mean.value, cell.mean.items) for name, cell in parts.items() if name != "go"} == {
        "js": (pytest.approx(2 / 3), 3),
        "py": (0.5, 2),
    }
    assert math.isnan(parts["go"].mean.value) and parts["go"].outcomes == {"no toolchain": 1}
    assert parts["js"].mean.low < 2 / 3 < parts["js"].mean.high


def test_problems_by_languages_are_a_table(found: Any) -> None:
    table = found.matrix("polyglot", "tuned")
    assert list(table.columns) == ["js", "py", "go"] and list(table.index) == ["0", "1", "2"]
    assert table.fillna(-1).to_numpy().tolist() == [[1, 0, -1], [1, 1, -1], [0, -1, -1]]
    told = summary(found)["suites"][0]
    assert told["has_grid"] and [part["name"] for part in told["parts"]] == ["js", "py", "go"]


def test_reports_tell_parts_apart(found: Any) -> None:
    page, text, markdown = found.to_html(), str(found), found.to_markdown()
    assert "polyglot, part by part" in page and "tuned, problem by problem" in page
    for told in (text, markdown):
        assert "1 no toolchain" in told and "66.7 %" in told


def test_what_shares_no_problem_is_no_table(tmp_path: Path) -> None:
    """Databases and tasks are parts and clusters at once."""
    for name, parts, shared in (
        ("sql", 7, False),
        ("bbh", 27, False),
        ("humanevalpack:js,python", 2, True),
        ("multipl_e:rs,sh,pl", 3, True),
    ):
        try:
            items = suites.get(name).items()
        except DataError as error:
            pytest.skip(error.what)
        graded = [Graded(item) for item in items]
        made = grid(graded)
        assert len({item.part for item in items}) == parts and (made is not None) is shared, name
        if made is not None:
            assert len(made.parts) == parts and sum(each is not None for _, line in made.lines for each in line) == len(
                items
            )
