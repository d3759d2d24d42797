"""What people note about runs, the table that is searched by it, and the trash."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.config import TrainConfig
from shadownb.engine.doctor import cleaning
from shadownb.engine.runs import index
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.store import FolderStore, default_store
from shadownb.engine.runs.table import RunTable
from shadownb.errors import ConfigError, RunError, RunNotFoundError
from tests.ports.run_stores import go_on, made


@pytest.fixture
def store(home: Path) -> Any:
    return default_store()


def run_of(store: Any, *, data: str = "mails", losses: tuple[float, ...] = (2.0, 1.0), **options: Any) -> RunFolder:
    """Return the folder of a run that succeeded, with these losses and options."""
    record = {
        "model": {"name": "tiny", "start": None},
        "dataset": {"name": data, "rows": 7, "path": "x", "sha256": "0"},
    }
    run: RunFolder = store.create(TrainConfig(max_steps=len(losses) or 1, **options), record)
    go_on(
        run,
        ("created", {"run_id": run.id}),
        ("attempt", {"n": 1, "from_step": 0}),
        *(("step", {"step": at, "loss": loss, "elapsed_s": at}) for at, loss in enumerate(losses, 1)),
        *(("eval", {"step": len(losses), "eval_loss": loss + 1, "seconds": 1.0}) for loss in losses[-1:]),
        ("end", {"status": "succeeded", "result": None, "note": "", "error": None}),
    )
    return run


def ids(found: Any) -> list[str]:
    return [run.id for run in found]


def test_runs_are_found_by_what_stands_in_their_row(store: Any) -> None:
    low = run_of(store, losses=(2.0, 0.2, 0.4), lora_r=4, learning_rate=5e-4)
    high = run_of(store, losses=(2.0, 0.9), lora_r=16, data="tickets of May")
    dora = run_of(store, method="dora", losses=(3.0, 0.3))
    snb.runs.load(dora.id).mark(tags=["best so far"], note="Before the new rows")

    def found(query: str) -> set[str]:
        return {run.id for run in snb.runs.search(query)}

    everything = {low.id, high.id, dora.id}
    assert found("") == everything
    assert found("method:dora") == found("tag:best") == found('"new rows"') == found("-method=lora") == {dora.id}
    assert found("loss<0.5") == {low.id, dora.id}
    assert found("loss.min<=0.2 lora_r<8") == found("learning_rate=0.0005 lora_r=4") == {low.id}
    assert found("data:may") == found('data:"of May"') == found("tickets") == {high.id}
    assert found("eval_loss>1.35 eval_loss.max<2") == {low.id, high.id}
    assert found("lora_r!=4 method=lora") == {high.id}
    assert found("nowhere") == set()
    assert snb.runs.search("", limit=0) == [] and len(snb.runs.search("", limit=2)) == 2
    for wrong, words in (("lora_rank<8", "Did you mean 'lora_r'"), ("loss<small", "'small' is no number")):
        with pytest.raises(ConfigError, match=words):
            found(wrong)


def test_the_table_is_sorted_by_any_column_and_read_by_pages(store: Any) -> None:
    runs = [run_of(store, losses=(2.0, loss)) for loss in (0.5, 0.1, 0.9)]
    bare = run_of(store, losses=())
    going = made(store, ended=None, steps=2)
    lock = going.owner_lock()
    lock.acquire()
    table = RunTable(store)
    table.refresh()

    def page(**options: Any) -> list[str]:
        return [row["id"] for row in table.page(**options).rows]

    by_loss = [runs[1].id, runs[0].id, runs[2].id]
    assert page(sort="loss", descending=False) == [going.id, *by_loss, bare.id], "what goes on comes first"
    assert page(sort="loss") == [going.id, *by_loss[::-1], bare.id], "without a value it stays last"
    assert page() == [going.id, bare.id, *(run.id for run in reversed(runs))]
    snb.runs.load(runs[0].id).mark(pinned=True)
    snb.runs.load(runs[2].id).mark(archived=True)
    table.refresh_some([runs[0].id, runs[2].id])
    assert page() == [going.id, runs[0].id, bare.id, runs[1].id]
    assert page(archived=True)[2:4] == [bare.id, runs[2].id]
    second = table.page(first=2, count=2)
    assert ([row["id"] for row in second.rows], second.found, second.first, second.archived) == (
        [bare.id, runs[1].id],
        4,
        2,
        1,
    )
    assert table.page(first=99, count=2).first == 2, "past the end is the last page"


def test_a_page_says_what_is_on_the_disk_now(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_SETTLED_SECONDS", -3600.0)
    kept, gone = run_of(store), run_of(store)
    table = RunTable(store)
    table.refresh()
    snb.runs.load(kept.id).mark(note="changed")
    snb.runs.delete(gone.id)
    new = run_of(store)
    table.refresh()
    assert [(row["id"], row["marks"]["note"]) for row in table.rows] == [(new.id, ""), (kept.id, "changed")]
    (kept.path / "config.yaml").write_text(": [", encoding="utf-8")
    (kept.path / "marks.json").write_text("{", encoding="utf-8")
    table.refresh()
    assert {row["id"]: row["status"] for row in table.rows} == {new.id: "succeeded", kept.id: "unreadable"}
    assert ids(snb.runs.search("status:unreadable")) == [kept.id]
    with pytest.raises(RunError, match=r"marks\.json"):
        snb.runs.load(kept.id).mark(note="lost?")
    assert (kept.path / "marks.json").read_text(encoding="utf-8") == "{"


def test_marks_of_several_writers_are_kept(store: Any) -> None:
    run = snb.runs.load(run_of(store).id)
    changes = [{"tags": [" a ", "b", "a"]}, {"note": "n"}, {"pinned": True}, {"archived": True}]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: run.mark(**change), changes))
    assert snb.runs.load(run.id).marks == snb.runs.Marks(("a", "b"), "n", True, True)
    for tags in (["", "x"], ["y" * 61], ["two\nlines"], [3]):
        with pytest.raises(ConfigError, match="tags="):
            run.mark(tags=tags)
    with pytest.raises(ConfigError, match="note="):
        run.mark(note="x" * 20_001)
    assert run.marks.tags == ("a", "b")


def test_the_trash_gives_back_what_it_took(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, run = run_of(store), run_of(store)
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    snb.runs.trash(run.id)
    assert (ids(snb.runs.list()), snb.runs.trashed()) == ([kept.id], [run.id])
    with pytest.raises(RunNotFoundError):
        snb.runs.load(run.id)
    assert snb.runs.restore(run.id).status == "succeeded"
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    with pytest.raises(RunNotFoundError, match="trash"):
        snb.runs.restore(run.id)
    snb.runs.trash(run.id)
    assert snb.runs.empty_trash() == 1
    assert (snb.runs.trashed(), ids(snb.runs.list()), list(run.path.parent.glob(".*"))) == ([], [kept.id], [])


def test_rows_of_a_trashed_run_stay_until_it_is_gone(tiny: Any, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "_QUIET_SECONDS", 0.0)
    run = tiny.train(rows, max_steps=1, background=False)
    data = Path(run.folder.spec["dataset"]["path"])
    snb.runs.trash(run.id)
    planned = {item.kind: item for item in cleaning.plan().items}
    assert "rows of no run" not in planned
    assert run.id in planned["deleted run"].why
    assert data.is_file()
    cleaning.clean(cleaning.plan())
    assert snb.runs.trashed() == []


def test_a_run_that_another_needs_is_not_thrown_away(store: FolderStore) -> None:
    parent = made(store)
    made(store, ended=None, start=parent.path / "checkpoints" / "step-000003")
    with pytest.raises(RunError, match="cannot be resumed without it"):
        snb.runs.trash(parent.id)
    going = made(store, ended=None)
    lock = going.owner_lock()
    with lock, pytest.raises(RunError, match="Stop it first"):
        snb.runs.trash(going.id)


def test_a_row_is_json(store: Any) -> None:
    made(store)
    (row,) = store.columns()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
