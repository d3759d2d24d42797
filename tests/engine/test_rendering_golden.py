"""Ordinary rows keep their ids, in every family of templates: what guards against odd text must not touch plain text."""

from __future__ import annotations

import json

import pytest

from tests.engine import golden_ids
from tests.engine.template_families import names

GOLDEN = json.loads(golden_ids.PATH.read_text(encoding="utf-8"))


def test_every_family_has_its_ids() -> None:
    assert list(GOLDEN) == names()


@pytest.mark.parametrize("name", GOLDEN)
def test_ordinary_rows_keep_their_ids(name: str) -> None:
    assert golden_ids.found(name) == GOLDEN[name]
