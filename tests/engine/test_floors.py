"""Each package stands on a floor and imports from its own and those below; :mod:`tests.floors` has the floors and the rules.

What goes against them still is listed in ``floors_to_cut.txt``, one import a line, as ``python -m tests.floors`` finds it. Lines
may only go: an import that is not there and goes up is an error, and so is a line that is no longer needed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import floors

LEFT = Path(__file__).with_name("floors_to_cut.txt").read_text(encoding="utf-8").splitlines()
LARGEST_CIRCLES = [77]  # of modules; none when the list is empty


def test_no_import_goes_up_that_is_not_listed() -> None:
    found = {str(edge) for edge in floors.edges() if edge.goes_up} | set(floors.frameworks())
    assert found == set(LEFT), "python -m tests.floors shows all; new ones are cut, cut ones leave the list"


def test_circles_only_become_smaller() -> None:
    found = [len(circle) for circle in floors.circles()]
    assert found == LARGEST_CIRCLES, floors.circles()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import shadownb.engine.runs", ["shadownb.engine.runs"]),
        ("def f():\n    from shadownb.engine.runs import handle", ["shadownb.engine.runs.handle"]),
        ("from . import journal", ["shadownb.engine.home.journal"]),
        ("from ..runs.handle import Run", ["shadownb.engine.runs.handle.Run"]),
    ],
)
def test_deferred_and_relative_imports_are_seen(source: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "__init__.py"
    path.write_text(source, encoding="utf-8")
    found = [name for name, _ in floors.imports_of("shadownb.engine.home", path)]
    assert found == expected


def test_hints_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nimport json\n", encoding="utf-8"
    )
    assert set(floors.imports_of("shadownb.one", path)) == {
        ("typing.TYPE_CHECKING", False),
        ("torch", True),
        ("json", False),
    }
