"""The table of methods and backends says what the backends say."""

from __future__ import annotations

import pytest

from shadownb.engine.backends.mlx import missing
from tests.docs import method_table


def test_the_page_is_what_the_backends_say(monkeypatch: pytest.MonkeyPatch) -> None:
    page = method_table.PAGE.read_text(encoding="utf-8")
    assert page == method_table.text(), "run python -m tests.docs.method_table"
    monkeypatch.setattr(missing, "lacks", lambda spec: "nothing is there")
    assert page != method_table.text()
