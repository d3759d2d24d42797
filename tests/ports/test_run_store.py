"""What every store of runs owes, run by ours and by one that keeps nothing; and that an index never says what is not so."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.processes import process_mark
from shadownb.engine.runs import index, store
from shadownb.engine.runs.folder import RunFolder, load_rows
from shadownb.engine.runs.starting import others_start_from
from shadownb.engine.runs.store import FolderStore, default_store
from shadownb.errors import RunError, RunNotFoundError
from tests.engine.conftest import until
from tests.engine.methods_data import chats, sha
from tests.ports.run_stores import PlainStore, end, go_on, made
from tests.ports.test_executor import OPTIONS

STORES = {"folders": FolderStore, "plain": PlainStore}


@pytest.fixture(params=STORES)
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store of each kind, of a home that is not there yet."""
    return STORES[request.param](tmp_path / "some" / "home")


@pytest.fixture(autouse=True)
def _keeps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of files that changed just now is kept, too, as otherwise no test would meet the index."""
    monkeypatch.setattr(index, "_SETTLED_SECONDS", -3600.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the folders that were read, in order."""
    found: list[str] = []
    read = store.read_entry

    def noting(run: RunFolder) -> Any:
        found.append(run.id)
        return read(run)

    monkeypatch.setattr(store, "read_entry", noting)
    return found


# -- the suite ---------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_found(runs: Any) -> None:
    assert (runs.all(), runs.active(), runs.entries(), runs.starts()) == ([], [], [], {})
    older, newer = made(runs), made(runs, ended=None)
    assert [run.id for run in runs.all()] == [newer.id, older.id]
    assert [(entry.id, entry.status) for entry in runs.entries()] == [
        (newer.id, "interrupted"),
        (older.id, "succeeded"),
    ]
    assert [entry.id for entry in runs.entries([older])] == [older.id]
    assert runs.find(older.id).path == runs.find(str(older.path)).path == older.path
    assert runs.find(older.id[:-1], beginning=True).id == older.id
    outside = runs.home / "other" / older.id
    shutil.copytree(older.path, outside)
    for wrong in (older.id[:-1], "", ".", f"../runs/{older.id}", f"../other/{older.id}", str(outside), "a\0b"):
        with pytest.raises(RunNotFoundError):
            runs.find(wrong)
    with pytest.raises(RunNotFoundError, match=newer.id):
        runs.find(older.id[:8], beginning=True)


def test_a_run_is_made_whole_or_not_at_all(runs: Any) -> None:
    made(runs)
    with pytest.raises((TypeError, ValueError)):
        runs.create(snb.TrainConfig(), {"model": {"name": float("nan")}})
    for run in runs.all():
        assert run.spec["model"]["name"] == "tiny"


def test_who_goes_on_is_looked_at_each_time(runs: Any) -> None:
    run = made(runs, ended=None)
    with run.owner_lock():
        assert [other.id for other in runs.active()] == [run.id]
        assert [entry.status for entry in runs.entries()] == ["running"]
    assert runs.active() == [] and [entry.status for entry in runs.entries()] == ["interrupted"]
    with run.owner_lock():
        assert [entry.status for entry in runs.entries()] == ["running"]
    end(run, "stopped")
    assert [entry.status for entry in runs.entries()] == ["stopped"]
    go_on(run, ("launched", {"executor": "thread", "by": process_mark(), "worker": None}))
    assert [other.id for other in runs.active()] == [run.id]


def test_a_run_that_ends_while_it_is_looked_at_is_not_interrupted(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(runs, ended=None)
    assert [entry.status for entry in runs.entries()] == ["interrupted"]

    def ends_and_lets_go(folder: RunFolder) -> bool:
        end(run, "succeeded")
        return False

    monkeypatch.setattr(RunFolder, "is_owned", ends_and_lets_go)
    assert [entry.status for entry in runs.entries()] == ["succeeded"]


def test_what_others_start_from_is_kept_track_of(runs: Any) -> None:
    first = made(runs)
    weights = first.checkpoints / "step-000002"
    second = made(runs, start=weights)
    assert runs.starts() == {first.id: (), second.id: (weights,)}
    assert others_start_from(first) == {weights} and others_start_from(second) == set()
    runs.delete(second)
    assert runs.starts() == {first.id: ()} and others_start_from(first) == set()
    assert not second.path.exists() and [run.id for run in runs.all()] == [first.id]


def test_two_stores_of_a_process_share_nothing(runs: Any, home: Path) -> None:
    other = type(runs)(home)
    rows = snb.Dataset.from_list(chats())
    references = [where.store_rows(rows) for where in (runs, other)]
    assert references[0]["path"] != references[1]["path"]
    for reference in references:
        assert load_rows(reference) == rows.canonical_rows()
    mine, theirs = made(runs), made(other)
    assert [run.id for run in runs.all()] == [mine.id] and [run.id for run in other.all()] == [theirs.id]
    assert mine.id != theirs.id
    with pytest.raises(RunNotFoundError):
        runs.find(theirs.id)


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_the_folders_say_whatever_happens_to_them(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    runs, plain = FolderStore(tmp_path), PlainStore(tmp_path)
    copies = itertools.count()

    def damage(file: Path) -> None:
        file.write_bytes(file.read_bytes()[: draw.randrange(40)])

    def option(run: RunFolder) -> None:
        run.options.write_text(run.options.read_text().replace("method: lora", "method: dora"))

    def rewrite(run: RunFolder) -> None:
        record = json.loads(run.record.read_text()) | {"parent": f"run-{draw.randrange(9)}"}
        run.record.write_text(json.dumps(record))

    happenings: list[Callable[[RunFolder], Any]] = [
        lambda run: made(plain, steps=draw.randrange(1, 4), ended=draw.choice(["failed", None])),
        lambda run: go_on(run, ("step", {"step": 4, "loss": draw.random(), "elapsed_s": 1.0})),
        lambda run: end(run, draw.choice(["stopped", "discarded", "succeeded"])),
        lambda run: shutil.rmtree(run.path),
        lambda run: shutil.copytree(run.path, run.path.with_name(f"{run.id}-copy{next(copies)}")),
        lambda run: run.events.unlink(missing_ok=True),
        lambda run: damage(run.record),
        option,
        rewrite,
    ]
    for _ in range(6):
        made(plain, steps=2)
    for _ in range(40):
        there = [run for run in plain.all() if run.options.exists()]
        happening = draw.choice(happenings) if len(there) > 2 else happenings[0]
        try:
            happening(draw.choice(there) if there else RunFolder(tmp_path))
        except (OSError, ValueError):
            continue  # a folder that is damaged already
        assert runs.entries() == plain.entries()
        assert runs.starts() == plain.starts()
        assert [run.id for run in runs.active()] == [run.id for run in plain.active()]


# -- the default, and homes --------------------------------------------------------------------------------------------


def test_a_run_trains_in_the_store_that_it_is_given(model: Any, home: Path, tmp_path: Path) -> None:
    elsewhere = FolderStore(tmp_path / "elsewhere")
    run = model.train(chats(), store=elsewhere, **OPTIONS).wait(timeout=60, raise_on_failure=True)
    assert run.path.parent == elsewhere.home / "runs" and not (home / "runs").exists()
    assert snb.runs.list() == [] and [found.id for found in snb.runs.list(store=elsewhere)] == [run.id]
    assert snb.runs.latest(store=elsewhere).id == snb.runs.load(run.id[:-2], store=elsewhere).id == run.id
    here = model.train(chats(), **OPTIONS).wait(timeout=60, raise_on_failure=True)
    assert [found.id for found in snb.runs.list()] == [here.id] and here.parent == run.id
    with pytest.raises(RunNotFoundError):
        snb.runs.delete(run.id)
    snb.runs.delete(run.id, store=elsewhere)
    assert snb.runs.list(store=elsewhere) == []


def test_a_home_can_be_moved(
    model: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, byte_model_dir: Path
) -> None:
    first = model.train(chats(), **OPTIONS).wait(timeout=60, raise_on_failure=True)
    straight = model.train(chats(), start=first, **OPTIONS).wait(timeout=60, raise_on_failure=True)
    expected = [metrics["loss"] for metrics in straight.metrics], sha(model)
    with model.gate.inference():
        run = model.train(chats(), start=first, **OPTIONS)
        run.pause()
    until(run, lambda state: state.status == "paused")
    run.stop().wait(timeout=60)
    assert run.status == "stopped"
    assert str(home) not in run.folder.record.read_text(), "a record names no place within its home by its whole path"

    moved = tmp_path / "moved"
    shutil.copytree(home, moved)
    shutil.rmtree(home)
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "empty"))
    runs = FolderStore(moved)
    found = snb.runs.load(run.id, store=runs)
    assert found.started_from == f"step {OPTIONS['max_steps']} of run {first.id}"
    assert others_start_from(runs.find(first.id)) == {moved / "runs" / first.id / "checkpoints" / "step-000006"}
    other = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    with pytest.raises(RunError, match=rf"{run.id} .stopped. began with the result of {first.id}"):
        snb.runs.delete(first.id, store=runs)
    found.resume(other).wait(timeout=60, raise_on_failure=True)
    assert ([metrics["loss"] for metrics in found.metrics], sha(other)) == expected


# -- the index ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, reads: list[str]) -> Iterator[FolderStore]:
    """A store of four runs that has read them all once; of the last nobody noted the end."""
    found = FolderStore(tmp_path / "home")
    for at in range(4):
        made(found, ended="succeeded" if at < 3 else None)
    found.entries()
    assert len(reads) == 4
    reads.clear()
    yield found


def test_only_what_changed_is_read_again(kept: FolderStore, reads: list[str]) -> None:
    kept.entries()
    str(snb.runs.list(store=kept))
    snb.runs.list(status="succeeded", store=kept)
    assert reads == []
    run = kept.all()[1]
    go_on(run, ("step", {"step": 9, "loss": 0.5, "elapsed_s": 1.0}))
    assert [entry.summary["step"] for entry in kept.entries()] == [3, 9, 3, 3]
    assert reads == [run.id]


def test_what_changed_just_now_is_not_kept(
    kept: FolderStore, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SETTLED_SECONDS", 3600.0)
    end(kept.all()[0], "failed")
    for _ in range(2):
        assert kept.entries()[0].status == "failed"
    assert len(reads) == 2, "its files may change once more within a tick of the clock"


def _other_format(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
        connection.execute("UPDATE kept SET value = '{}'")


def _other_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kept (something)")


def _broken_pages(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = bytearray(path.read_bytes())
    content[200:] = b"\xff" * (len(content) - 200)
    path.write_bytes(content)


AMISS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"something else " * 999),
    "another format": _other_format,
    "of another program": _other_program,
    "broken": _broken_pages,
}


@pytest.mark.parametrize("amiss", AMISS)
def test_an_index_that_is_no_good_is_made_anew(amiss: str, kept: FolderStore, reads: list[str]) -> None:
    expected = PlainStore(kept.home).entries()
    for ending in ("-wal", "-shm"):
        Path(f"{kept._index.path}{ending}").unlink(missing_ok=True)
    AMISS[amiss](kept._index.path)
    for _ in range(3):  # what is broken is found out when it is read
        assert kept.entries() == expected
    assert reads, "nothing of it was believed"
    reads.clear()
    assert kept.entries() == expected and reads == []


def test_without_an_index_folders_are_read(
    kept: FolderStore, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = PlainStore(kept.home).entries()
    locked = sqlite3.connect(kept._index.path, isolation_level=None)
    locked.execute("PRAGMA locking_mode=EXCLUSIVE")
    locked.execute("BEGIN EXCLUSIVE")
    locked.execute("UPDATE kept SET id = id")
    end(kept.all()[0], "failed")
    assert kept.entries()[0].status == "failed", "whoever holds it keeps nobody waiting for long"
    locked.close()

    def full(*_: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(index.RunIndex, "_connect", full)
        assert kept.entries()[1:] == expected[1:]
    shutil.rmtree(kept._index.path.parent)
    kept._index.path.parent.write_text("no folder can be made here, as on a disk that is read-only")
    reads.clear()
    assert kept.entries()[1:] == expected[1:] and len(reads) == 4
    assert len(kept.starts()) == 4 and snb.runs.latest(store=kept).status == "failed"


def test_several_processes_list_while_another_trains(kept: FolderStore) -> None:
    script = (
        "import sys; from shadownb.engine.runs import index; index._SETTLED_SECONDS = -3600\n"
        "from shadownb.engine.runs import FolderStore; from tests.ports.run_stores import made\n"
        "store = FolderStore(sys.argv[1])\n"
        "for _ in range(40):\n"
        "    made(store, steps=2); found = store.entries()\n"
        "    assert all(e.status in ('succeeded', 'interrupted', 'queued', 'running') for e in found), found\n"
        "assert not any(e.status == 'unreadable' for e in store.entries())\n"
    )
    command = [sys.executable, "-c", script, str(kept.home)]
    others = [subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE) for _ in range(2)]
    for other in others:
        _, told = other.communicate(timeout=120)
        assert other.returncode == 0, told.decode()
    assert kept.entries() == PlainStore(kept.home).entries() and len(kept.all()) == 84


def test_the_default_follows_the_home_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / name))
        made(default_store())
        assert len(snb.runs.list()) == 1 and snb.runs.latest().path.parent == tmp_path / name / "runs"
