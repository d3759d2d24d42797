"""Each package stands on a floor and imports from its own and those below; :mod:`tests.floors` has the floors and the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import floors


def test_no_import_goes_up() -> None:
    assert not [str(edge) for edge in floors.edges() if edge.goes_up]


def test_frameworks_are_named_in_backends_alone() -> None:
    assert not floors.frameworks()


def test_no_backend_is_named_outside_of_backends() -> None:
    assert not floors.backends_named()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not floors.circles()


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
