"""Modules and classes that are named in texts are where the texts say: a rename would break these in silence."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from shadownb._verbs import completion
from shadownb.panels import displays
from tests import floors

DOTTED = re.compile(r"shadownb(\.[a-zA-Z_]\w*)+")
OTHERS = {
    "shadownb.capture",
    "shadownb.json",
    "shadownb.plugins",
    "shadownb.serving",
    "shadownb.untold",
    "shadownb.withheld",
}  # loggers, a file, a group of entry points, attributes of spans


def names_in(path: Path) -> set[str]:
    """Return every text of a source that reads like the name of a module of ours."""
    texts = (
        node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    )
    return {text for text in texts if isinstance(text, str) and DOTTED.fullmatch(text)} - OTHERS


def test_texts_that_name_a_module_name_one_that_is_there() -> None:
    named = {(name, text) for name, path in floors.modules().items() for text in names_in(path)}
    assert len(named) > 20
    assert not {f"{name}: {text}" for name, text in named if text not in floors.modules()}


@pytest.mark.parametrize(("module", "name"), [entry[:2] for entry in displays._DISPLAYED])
def test_what_a_kernel_shows_by_its_class_name_is_defined_there(module: str, name: str) -> None:
    """IPython compares the name of the module that a class was made in; one that only imports it shows nothing."""
    assert getattr(importlib.import_module(module), name).__module__ == module


@pytest.mark.parametrize(("name", "module"), completion._DEFINED_IN.items())
def test_what_completion_looks_for_among_variables_is_there(name: str, module: str) -> None:
    assert completion.loaded_class(name) is getattr(importlib.import_module(module), name)
