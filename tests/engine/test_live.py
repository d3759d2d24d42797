"""The line of progress outside of a notebook, and how much of a download has come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine import live
from shadownb.engine.fetching import Fetching
from shadownb.engine.live import Log, Progress


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the commands have it: lines from the start."""
    monkeypatch.setattr(live, "log_patience_s", 0.0)
    monkeypatch.setattr(live, "_LOG_SECONDS", 0.0)


def test_a_log_has_a_line_for_each_phase_and_few_of_a_long_one(
    patient: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log()
    for _ in range(5):
        log.show(Progress("tokenising", "tokenising"))
    for step in range(1001):
        log.show(Progress(f"training {step}/1000", "training", step, 1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tokenising" and lines[1] == "training 0/1000" and lines[-1] == "training 1000/1000"
    assert len(lines) == 22


def test_a_script_that_asked_for_no_lines_gets_none_of_short_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "log_patience_s", 30.0)  # a command that ran in this process has set it to 0
    place = live.open_line()
    for step in range(100):
        place.show(Progress("training", "training", step, 100))
    place.end("done")
    with live.work("Loading tiny") as work:
        work.tell("reading weights")
        work.end("Loaded tiny")
    assert capsys.readouterr().err == ""


def test_it_can_be_switched_off(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(live.open_line(), Log)
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    assert isinstance(live.open_line(), live.Nowhere)


def test_a_panels_thread_draws_nothing() -> None:
    with live.quiet():
        assert isinstance(live.open_line(), live.Nowhere)
    assert isinstance(live.open_line(), Log)


def test_what_is_told_is_of_the_innermost_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Place:
        def show(self, progress: Progress) -> None:
            shown.append(progress.text)

        def end(self, text: str = "") -> None:
            shown.append(text)

    monkeypatch.setattr(live, "notebook_place", lambda subject: Place())
    live.tell("nobody works, so nobody hears")
    with live.work("Outer") as outer:
        live.tell("one")
        with live.work("Inner") as inner:
            live.tell("two")
            inner.end("inner done")
        live.tell("three")
        outer.end("outer done")
    kept = [text for at, text in enumerate(shown) if text not in shown[:at]]
    assert kept == ["Outer: one", "Inner: two", "inner done", "Outer: three", "outer done"]
    shown.clear()
    with pytest.raises(ValueError), live.work("Loading"):
        live.tell("reading")
        raise ValueError
    assert shown[-1] == "Loading: ValueError"


def test_a_download_is_measured_by_what_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    blobs = tmp_path / "models--owner--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "before").write_bytes(os.urandom(2_000_000))
    measure = Fetching("owner/name")
    assert measure() == ("opening its files", 0, None)
    part = blobs / "0123.ab12.incomplete"
    part.write_bytes(os.urandom(3_000_000))
    assert measure()[0] == "fetching 3 MB"
    with open(part, "r+b") as file:
        file.truncate(50_000_000)  # its length is made first where parts come in any order
    assert measure()[0] == "fetching 3 MB"
    part.write_bytes(os.urandom(4_000_000))
    part.rename(blobs / "0123")
    assert measure()[0] == "fetched 4 MB, reading weights"


def test_the_size_in_all_is_that_of_one_kind_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    class File:
        def __init__(self, rfilename: str, size: int) -> None:
            self.rfilename, self.size = rfilename, size

    class Info:
        siblings = (
            File("config.json", 1000),
            File("model.safetensors", 270_000_000),
            File("pytorch_model.bin", 270_000_000),
            File("onnx/model.onnx", 500_000_000),
        )

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: Info())
    measure: Any = Fetching("owner/name")
    measure._ask()
    assert measure._total == 270_001_000
