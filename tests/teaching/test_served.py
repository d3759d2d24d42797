"""A teacher behind a server: with log-probabilities it teaches as if it were here, without them it is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import EndpointError
from tests.teaching.conftest import ROWS
from tests.teaching.test_distill import codes, distilled, ended

Load = Callable[..., Any]


@pytest.fixture
def server(load: Load) -> Any:
    with snb.serve(load("teacher"), port=0) as running:
        yield running


def endpoint(server: Any) -> Any:
    return snb.Endpoint(server.url, model=server.models[0], api_key=server.token, max_retries=0)


def test_it_teaches_as_it_would_here(load: Load, server: Any) -> None:
    run = ended(distilled(load(), teacher=endpoint(server), lmbda=1.0, max_steps=3))
    here = ended(distilled(load(), teacher=load("teacher"), lmbda=1.0, max_steps=3, loss_top_k=20))
    assert run.losses() == pytest.approx(here.losses(), rel=2e-3)
    assert codes(run) == ["fewer-likeliest"]
    said = ended(distilled(load(), teacher=endpoint(server), lmbda=0.0, seq_kd=True, max_steps=1))
    assert said.metrics[0]["teacher_length"] == pytest.approx(5, abs=1)


def test_one_that_gives_texts_alone_is_imitated_and_not_asked_for_more(
    load: Load, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine.answering import local

    def refuses(self: Any, ask: Any, jobs: Any) -> Any:
        if ask.echo:
            raise snb.ShadowError("No echo here.")
        return {}

    monkeypatch.setattr(local.LocalModel, "_chances_before", refuses)
    run = distilled(load(), teacher=endpoint(server), lmbda=0.5)
    assert run.status == "failed" and "does not score them" in str(run.error)
    run = ended(distilled(load(), teacher=endpoint(server), lmbda=0.0, seq_kd=True, max_steps=2))
    assert codes(run) == ["texts-only"] and "divergence" not in run.metrics[-1]


def test_one_that_is_down_is_an_error_and_not_a_teacher_without_probabilities(load: Load, server: Any) -> None:
    gone = endpoint(server)
    server.stop()
    run = distilled(load(), teacher=gone, lmbda=0.0)
    assert run.status == "failed"
    with pytest.raises(EndpointError):
        run.wait(raise_on_failure=True)


def test_an_address_needs_the_name_of_its_model(load: Load, server: Any) -> None:
    run = distilled(load(), teacher=server.url)
    assert "teacher_model=" in str(run.error)
    assert [row["messages"][0]["role"] for row in ROWS] == ["user"] * len(ROWS)
