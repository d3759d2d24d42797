"""Runs that an earlier version wrote open, answer, are compared, and go on to where they would have come then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import RunError
from tests.engine.kept_runs import FOLDER, METHODS, STEPS, unpack

FORMATS = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))


@pytest.fixture(scope="module", params=FORMATS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A home as an earlier version left it; what is expected of its runs, by method."""
    home = tmp_path_factory.mktemp("kept") / "home"
    expected = unpack(request.param, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(home))
        yield expected


def test_every_method_is_kept(kept: dict[str, Any]) -> None:
    assert list(kept) == METHODS


def test_they_are_listed_and_compared(kept: dict[str, Any]) -> None:
    ids = [record["run"] for record in kept.values()]
    assert {run.id for run in snb.runs.list()} == set(ids)
    shown = str(snb.runs.diff(ids))
    for method, record in kept.items():
        assert record["run"] in shown and method in shown


@pytest.mark.parametrize("method", METHODS)
def test_it_opens_answers_and_goes_on(method: str, kept: dict[str, Any]) -> None:
    record = kept[method]
    run = snb.runs.load(record["run"])
    assert (run.status, run.step, run.config.method) == (record["status"], record["step"], method)
    assert [row["loss"] for row in run.metrics] == record["loss"][: run.step]
    assert run.config.max_steps == STEPS and "max_steps" in run.config.model_fields_set
    assert run.checkpoint_at().step == run.step
    assert bool(run.samples()) == (method != "cpt")  # plain text has no question that could be answered
    model = snb.load(run.id)
    assert model.trained == (run.id, record["step"])
    model.generate("Colour number 3?", max_new_tokens=2)
    run.resume(model, executor="thread").wait(timeout=60, raise_on_failure=True)
    assert run.status == "succeeded" and run.step == STEPS and model.trained == (run.id, STEPS)
    # CPUs round differently, see test_methods_golden.
    assert [row["loss"] for row in run.metrics] == pytest.approx(record["loss"], rel=2e-3)
    assert [row["eval_loss"] for row in run.eval_metrics] == pytest.approx(record["eval_loss"], rel=2e-3)


def test_a_run_of_a_later_format_is_refused_by_name_and_hides_no_other(kept: dict[str, Any]) -> None:
    folder = snb.runs.load(kept["lora"]["run"]).path
    before = (folder / "run.json").read_text(encoding="utf-8")
    try:
        (folder / "run.json").write_text(json.dumps({**json.loads(before), "format": "two"}), encoding="utf-8")
        with pytest.raises(RunError, match="format 'two'"):
            snb.runs.load(folder.name).config  # noqa: B018 (it is read)
        (folder / "run.json").write_text(json.dumps({**json.loads(before), "format": 99}), encoding="utf-8")
        with pytest.raises(RunError, match="format 99"):
            snb.load(folder.name)
        with pytest.raises(RunError, match="format 99"):
            snb.runs.load(folder.name).config  # noqa: B018
        listed = str(snb.runs.list())
        assert kept["dora"]["run"] in listed and folder.name in listed
    finally:
        (folder / "run.json").write_text(before, encoding="utf-8")


def test_the_archives_name_no_place(tmp_path: Path) -> None:
    for name in FORMATS:
        unpack(name, tmp_path / name)
        for file in (tmp_path / name).glob("runs/*/run.json"):
            places = json.loads(file.read_text(encoding="utf-8"))
            assert places["model"]["source"] == str(tmp_path / name / "models" / "smollm2-135m")
