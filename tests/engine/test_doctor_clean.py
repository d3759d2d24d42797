"""Freeing disk: what can be made again and what was left half-written goes, after a list and a question; nothing else does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shadownb import cli
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.config import TrainConfig
from shadownb.engine.doctor import cleaning, storage
from shadownb.engine.models import sources
from shadownb.engine.models.catalog import ModelInfo, find
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.store import FolderStore

_AN_AGE_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def put(path: Path, content: str = "some bytes", *, old: bool = True) -> Path:
    """Write a file, as if long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    if old:
        age(path.parent)
    return path


def age(folder: Path) -> None:
    """Make a folder and all in it as if nobody had touched it for long."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (_AN_AGE_AGO, _AN_AGE_AGO), follow_symlinks=False)


def a_run(home: Path, status: str = "succeeded", **record: Any) -> RunFolder:
    """Make a run with a checkpoint that ended so."""
    facts = {"model": {"name": "m", "source": "m"}, "dataset": None, "eval_dataset": None, **record}
    folder = FolderStore(home).create(TrainConfig(method="lora"), facts)
    events = [{"seq": 1, "time": 1.0, "type": "created", "run_id": folder.id}]
    events += [{"seq": 2, "time": 2.0, "type": "attempt", "n": 1}]
    events += [{"seq": 3, "time": 3.0, "type": "end", "status": status, "error": None}] if status else []
    folder.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    put(folder.checkpoints / "step-000001" / "adapter.safetensors")
    return folder


def freed(home: Path) -> set[str]:
    """Return what would be freed, below the home."""
    return {item.path.relative_to(home).as_posix() for item in cleaning.plan().items}


def contents(home: Path) -> dict[str, bytes]:
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_what_was_left_half_written_goes(home: Path) -> None:
    run = a_run(home)
    left = [
        put(home / "models" / ".big-0123abcd" / "model.safetensors").parent,
        put(home / "datasets" / ".rows.jsonl.0123abcd"),
        put(home / "runs" / ".deleted-20261122-090000-lora-1a2b-17" / "run.json").parent,
        put(run.checkpoints / ".writing-000002-0123abcd" / "half.safetensors").parent,
        put(run.path / ".run.json.0123abcd"),
    ]
    put(home / "models" / ".big.lock")
    assert freed(home) == {path.relative_to(home).as_posix() for path in left}
    size = sum(map(storage.size_of, left))
    before = contents(home)
    assert cleaning.clean(cleaning.plan()) == (size, [])
    assert not any(path.exists() for path in left) and (home / "models" / ".big.lock").exists()
    gone = before.keys() - contents(home).keys()
    assert len(gone) == 5 and contents(home).items() <= before.items()


def test_what_somebody_may_be_writing_stays(home: Path) -> None:
    put(home / "models" / ".big-0123abcd" / "model.safetensors", old=False)
    put(home / "answers" / "a.json", old=False)
    put(home / "datasets" / "0123.jsonl", old=False)
    running = a_run(home, status="")
    put(running.checkpoints / ".writing-000002-0123abcd" / "half.safetensors")
    age(running.checkpoints)
    with running.owner_lock():
        assert freed(home) == set()
    assert freed(home) == {f"runs/{running.id}/checkpoints/.writing-000002-0123abcd"}, "nobody holds it any more"


def test_rows_go_when_no_run_has_them(home: Path) -> None:
    put(home / "datasets" / "used.jsonl")
    put(home / "datasets" / "held.jsonl")
    put(home / "datasets" / "nobodys.jsonl")
    a_run(home, dataset={"path": "home:datasets/used.jsonl"}, eval_dataset={"path": "/elsewhere/held.jsonl"})
    assert freed(home) == {"datasets/nobodys.jsonl"}
    put(a_run(home).path / "run.json", "{", old=False)
    assert freed(home) == set(), "a record that cannot be read may name any of them"


def test_runs_adapters_captures_and_models_of_the_user_stay(home: Path) -> None:
    run = a_run(home, status="failed")
    put(home / "adapters" / "mine" / "adapter.safetensors")
    put(home / "models" / "my-gguf-1a2b3c4d" / "config.json")
    put(CaptureFolder.create("calls", home).database)
    put(home / "answers" / "a.json")
    put(home / "prices.yaml")
    age(home)
    planned = cleaning.plan()
    assert freed(home) == {"answers"}
    text = str(planned)
    for name in ("1 run,", "1 capture,", "1 saved adapter,", "1 converted model,", "shadownb delete RUN"):
        assert name in text
    before = contents(home)
    cleaning.clean(planned)
    assert before.keys() - contents(home).keys() == {"answers/a.json"}
    assert run.record.exists()


def test_links_are_left_alone(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere / "a.json")
    home.mkdir()
    (home / "answers").symlink_to(elsewhere)
    put(home / "models" / "readme")
    (home / "models" / ".x-0123abcd").symlink_to(elsewhere)
    age(home)
    assert freed(home) == set() and (elsewhere / "a.json").exists()


# -- converted models --------------------------------------------------------------------------------------------------


@pytest.fixture
def packaged(home: Path, monkeypatch: pytest.MonkeyPatch) -> ModelInfo:
    """A converted model of the catalog whose package is here."""
    info = find("smollm2-135m")
    assert info is not None
    monkeypatch.setattr(ModelInfo, "packaged_file", lambda self: Path("some.gguf") if self.packaged else None)
    put(home / "models" / info.name / "config.json", "{}")
    return info


def test_a_converted_model_goes_unless_a_run_may_go_on_with_it(home: Path, packaged: ModelInfo) -> None:
    a_run(home, model={"name": packaged.name, "source": f"home:models/{packaged.name}"})
    assert freed(home) == {f"models/{packaged.name}"}
    a_run(home, status="stopped", model={"name": packaged.name, "source": f"home:models/{packaged.name}"})
    assert freed(home) == set()


def test_a_converted_model_without_its_package_stays(
    home: Path, packaged: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelInfo, "packaged_file", lambda self: None)
    assert freed(home) == set()


def test_whoever_refers_to_a_model_that_was_freed_gets_it_again(
    home: Path, packaged: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's record names the folder: before, what it trained could be loaded only after a load of the short name."""
    freed_bytes, problems = cleaning.clean(cleaning.plan())
    assert freed_bytes and not problems and not packaged.converted.exists()
    made: list[tuple[Path, Path]] = []
    computing = SimpleNamespace(convert=lambda file, target: (made.append((file, target)), target)[1])
    monkeypatch.setattr(sources, "backend", lambda: computing)
    found = sources.resolve(str(packaged.converted.resolve()))
    assert (found.name, found.location) == (packaged.name, str(packaged.converted))
    assert made == [(Path("some.gguf"), packaged.converted)]


# -- the question ------------------------------------------------------------------------------------------------------


def test_the_command_lists_asks_and_frees(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--clean"]) == 0 and "nothing to free" in capsys.readouterr().err
    file = put(home / "answers" / "a.json")
    asked: list[str] = []
    monkeypatch.setattr(cli.ShellFrontEnd, "confirm", lambda self, question: bool(asked.append(question)))
    assert cli.main(["doctor", "--clean"]) == 130 and file.exists()
    assert asked == ["Free 10 bytes?"] and str(file.parent) in capsys.readouterr().err
    assert cli.main(["doctor", "--clean", "--yes"]) == 0 and not file.exists() and len(asked) == 1
    assert "Freed 10 bytes." in capsys.readouterr().err
    assert cli.main(["doctor", "--yes"]) == 2


def test_what_began_to_be_used_after_the_list_stays(home: Path) -> None:
    put(home / "datasets" / "rows.jsonl")
    planned = cleaning.plan()
    a_run(home, dataset={"path": "home:datasets/rows.jsonl"})
    freed_bytes, problems = cleaning.clean(planned)
    assert freed_bytes == 0 and "in use now" in problems[0] and (home / "datasets" / "rows.jsonl").exists()


def test_the_report_says_what_lies_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(home / "answers" / "a.json")
    a_run(home)
    cli.main(["doctor"])
    out = capsys.readouterr().out
    assert "1 run, " in out and "1 kept batch of answers, 10 bytes" in out and "shadownb doctor --clean" in out
    assert "adapters can be trained on smollm2-135m" in out
