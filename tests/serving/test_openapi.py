"""schemathesis on the front's own description: no server error, and answers in the described shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import shadownb as snb
from tests.serving.conftest import WEB

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

schemathesis.checks.load_all_checks()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    *schemathesis.checks.CHECKS.get_by_names(
        ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    ),
]


@pytest.fixture(scope="module")
def described(model: Any) -> Iterator[Any]:
    with snb.serve(model, name="tiny") as server:
        yield server


def test_schemathesis_finds_nothing(described: Any) -> None:
    headers = {"authorization": f"Bearer {described.token}"}
    description = WEB.get(f"{described.root_url}/openapi.json", headers=headers).json()
    loaded = schemathesis.openapi.from_dict(description)
    tried = 0
    for result in loaded.get_all_operations():
        operation = result.ok()

        @settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(base_url=described.root_url, headers=headers)
            case.validate_response(answer, checks=CHECKS)

        ask()
    assert tried >= 80
