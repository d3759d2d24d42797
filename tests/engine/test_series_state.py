"""The curves and the reduced state of a run, over generated histories: whoever reads, and however, sees the same."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import random
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadownb.engine.runs import checkpoints, series
from shadownb.engine.runs.series import Series
from shadownb.engine.runs.state import RunState
from shadownb.engine.runs.view import RunView, read_metrics
from shadownb.errors import CheckpointError, DiskFullError

# -- curves -------------------------------------------------------------------------------------------------------------

VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=400)


@settings(max_examples=60, deadline=None)
@given(VALUES)
@example([*[0.0] * 30, 9.0, *[0.0] * 40])  # extremes that are not among the points kept
@example([*[0.0] * 30, -9.0, *[0.0] * 40])
def test_a_series_is_bounded_and_its_extremes_are_exact(values: list[float]) -> None:
    with mock.patch.object(series, "LIMIT", 20):
        made = Series()
        for step, value in enumerate(values, start=1):
            made.append(step, value)
            points = made.points
            assert len(points) <= 20
            so_far = values[:step]
            assert points[0] == (1, values[0])
            assert points[-1] == (step, value)
            assert (1 + so_far.index(min(so_far)), min(so_far)) in points
            assert (1 + so_far.index(max(so_far)), max(so_far)) in points
            assert points == sorted(points)
            assert all(values[s - 1] == v for s, v in points)
    assert len(made) == len(values)
    assert (made.steps, made.values) == ([s for s, _ in made.points], [v for _, v in made.points])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.lists(st.integers(1, 60), max_size=20))
def test_a_follower_by_count_ends_with_the_same_points(total: int, pauses: list[int]) -> None:
    """``since`` gives what was appended; a changed version says that the old points are others now."""
    with mock.patch.object(series, "LIMIT", 20):
        made = Series()
        steps: list[int] = []
        version = 0
        look_at = {sum(pauses[: i + 1]) for i in range(len(pauses))} | {total}
        for step in range(1, total + 1):
            made.append(step, float(step))
            if step in look_at:
                if made.version != version:
                    version, steps = made.version, []
                new, values = made.since(len(steps))
                assert values == [float(s) for s in new]
                steps += new
                assert len(steps) == made.kept
                assert steps == made.since(0)[0]
                # At one stride: nothing in between is missing.
                assert {b - a for a, b in itertools.pairwise(steps)} <= {made.stride}


def test_a_long_series_stays_small() -> None:
    made = Series()
    for step in range(100_000):
        made.append(step, random.random())
    assert series.LIMIT // 4 <= len(made.points) <= series.LIMIT


# -- state --------------------------------------------------------------------------------------------------------------


class History:
    """Writes a run's events as the trainer does, one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seq = 0
        self.step = 0
        self.attempts = 0
        self.elapsed = 0.0
        self.kept: dict[int, float] = {}  # step -> loss of the path that counts
        self.kept_evals: dict[int, float] = {}
        self.kept_samples: list[int] = []

    def write(self, kind: str, /, **fields: Any) -> None:
        self.seq += 1
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"seq": self.seq, "time": 100.0 + self.seq, "type": kind, **fields}) + "\n")

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            self.elapsed += 1.0 + self.seq % 3
            loss = float((self.seq * 37) % 101)
            self.kept[self.step] = loss
            self.write("step", step=self.step, total_steps=500, loss=loss, learning_rate=0.1, elapsed_s=self.elapsed)

    def evaluate(self) -> None:
        if self.step in self.kept_evals:
            return
        loss = float((self.seq * 53) % 97)
        self.kept_evals[self.step] = loss
        self.write("eval", step=self.step, eval_loss=loss)

    def sample(self) -> None:
        self.kept_samples.append(self.step)
        self.write("sample", step=self.step, path=f"step-{self.step:06d}.json", count=3)

    def go_back(self, steps: int) -> None:
        """A new attempt from up to ``steps`` earlier; what came after that step belongs to a path that was left."""
        self.step = max(0, self.step - steps)
        self.attempts += 1
        self.elapsed = float(self.step)
        self.kept = {step: loss for step, loss in self.kept.items() if step <= self.step}
        self.kept_evals = {step: loss for step, loss in self.kept_evals.items() if step <= self.step}
        self.kept_samples = [step for step in self.kept_samples if step <= self.step]
        self.write("launched", executor="thread", by={"pid": 1, "started": 1.0}, worker=None)
        self.write("attempt", n=self.attempts, from_step=self.step, reason="resumed", checkpoint="x")

    def other(self, kind: str) -> None:
        fields: dict[str, dict[str, Any]] = {
            "warning": {"code": "w", "what": "something"},
            "phase": {"name": "evaluating", "done": 1, "total": 2, "unit": "rows"},
            "checkpoint": {"step": self.step, "path": f"step-{self.step:06d}", "final": False, "removed": []},
            "paused": {"step": self.step},
            "yielded": {"seconds": 0.5},
            "command": {"id": f"c{self.seq}", "kind": "stop"},
            "record": {"values": {f"k{self.seq}": 1}},
            "end": {"status": "stopped", "result": None, "error": None},
            "a kind of tomorrow": {"x": 1},
        }
        self.write(kind, **fields[kind])


OTHERS = st.sampled_from(
    ["warning", "phase", "checkpoint", "paused", "yielded", "command", "record", "end", "a kind of tomorrow"]
)
MOVES = st.one_of(
    st.tuples(st.just("train"), st.integers(1, 40)),
    st.tuples(st.just("go_back"), st.integers(0, 50)),
    st.tuples(st.just("evaluate")),
    st.tuples(st.just("sample")),
    st.tuples(st.just("other"), OTHERS),
    st.tuples(st.just("look")),
)


def content(state: RunState) -> dict[str, Any]:
    """Everything a state says, the curves by their points."""
    found = {}
    for field in dataclasses.fields(RunState):
        value = getattr(state, field.name)
        if isinstance(value, Series):
            value = (value.points, value.since(0), value.count)
        elif field.name == "series":
            value = {name: (curve.points, curve.since(0), curve.count) for name, curve in value.items()}
        found[field.name] = value
    return found


@settings(max_examples=80, deadline=None)
@given(st.lists(MOVES, max_size=25))
def test_following_and_reading_anew_give_the_same_state(moves: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(series, "LIMIT", 20):
        history = History(Path(folder) / "events.jsonl")
        history.write("created", run_id="r")
        follower = RunView(history.path)
        versions: dict[str, int] = {}
        counts: dict[str, int] = {}
        for move, *arguments in moves:
            if move == "look":
                state = follower.refresh()
                for name, curve in state.series.items():
                    assert curve.version >= versions.get(name, 0)
                    if curve.version == versions.get(name, -1):
                        assert curve.kept >= counts[name], "points went, and the version did not say so"
                    versions[name], counts[name] = curve.version, curve.kept
            else:
                getattr(history, move)(*arguments)
        fresh = RunView(history.path).refresh()
        assert content(follower.refresh()) == content(follower.refresh()), "a second look changes nothing"
        assert content(follower.state) == content(fresh)

        # And both say what happened, on the path that counts.
        steps, evals = read_metrics(history.path)
        assert {m["step"]: m["loss"] for m in steps} == history.kept
        assert [m["step"] for m in steps] == sorted(history.kept)
        assert {m["step"]: m["eval_loss"] for m in evals} == history.kept_evals
        assert fresh.step == history.step
        assert [sample["step"] for sample in fresh.samples] == history.kept_samples
        assert (fresh.series["loss"].count if "loss" in fresh.series else 0) == len(history.kept)
        assert fresh.seq == history.seq
        if history.kept_evals:
            assert fresh.best is not None
            assert fresh.best["eval_loss"] == min(history.kept_evals.values())
        else:
            assert fresh.best is None


def test_a_reader_that_comes_late_drops_the_path_that_was_left(tmp_path: Path) -> None:
    history = History(tmp_path / "events.jsonl")
    history.train(10)
    history.go_back(6)
    history.train(2)
    state = RunView(history.path).refresh()
    assert state.series["loss"].steps == [1, 2, 3, 4, 5, 6]
    assert state.series["loss"].values == list(history.kept.values())
    assert state.last["step"] == state.step == 6


def test_time_to_go_is_the_last_step_s_and_nothing_when_training_begins_again(tmp_path: Path) -> None:
    history = History(tmp_path / "events.jsonl")
    view = RunView(history.path)
    history.write("step", step=1, total_steps=9, eta_s=None)
    assert view.refresh().eta_s is None
    history.write("step", step=2, total_steps=9, eta_s=12.5)
    assert view.refresh().eta_s == 12.5
    history.go_back(1)
    assert view.refresh().eta_s is None


def test_warnings_are_bounded(tmp_path: Path) -> None:
    history = History(tmp_path / "events.jsonl")
    for _ in range(500):
        history.other("warning")
    assert len(RunView(history.path).refresh().warnings) == 100


# -- checkpoint folders -------------------------------------------------------------------------------------------------


def fill(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "training").mkdir()
    (folder / "training" / "optimizer.bin").write_bytes(b"moments")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_half(tmp_path: Path, number: int) -> None:
    checkpoints.write(tmp_path, 2, fill, {})

    def full(folder: Path) -> None:
        fill(folder)
        raise OSError(number, "no space")

    for step in (2, 4):  # again the step that is there, and a new one
        with pytest.raises(DiskFullError, match=f"step {step}") as caught:
            checkpoints.write(tmp_path, step, full, {})
        assert caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]
    assert checkpoints.verify(tmp_path / "step-000002")["step"] == 2


def test_another_failure_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "not allowed")

    with pytest.raises(PermissionError):
        checkpoints.write(tmp_path, 1, broken, {})
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_seen_before_writing(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="does not fit"):
        checkpoints.ensure_space(tmp_path, 2**60, 3)


def test_writing_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, 2, fill, {"note": "first"})
    checkpoints.write(tmp_path, 2, fill, {"note": "second"})
    assert checkpoints.verify(tmp_path / "step-000002")["note"] == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


def test_prune_keeps_the_last_and_the_chosen(tmp_path: Path) -> None:
    for step in range(1, 8):
        checkpoints.write(tmp_path, step, fill, {"final": step in (2, 4, 7)})
    removed = checkpoints.prune(tmp_path, 2, {4})
    assert [path.name for path in removed] == [f"step-{n:06d}" for n in (1, 2, 3, 5)]
    assert [(c.step, c.final) for c in checkpoints.list_checkpoints(tmp_path)] == [(4, False), (6, False), (7, True)]
    assert checkpoints.prune(tmp_path, 10, set()) == []


def test_sweep_removes_only_what_a_killed_writer_left(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, 1, fill, {})
    left = tmp_path / ".writing-000002-abcd"
    left.mkdir()
    fill(left)
    checkpoints.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3, "step": 1}', '{"files": {}, "step": "x"}', "\x00"])
def test_a_damaged_manifest_is_a_typed_error(tmp_path: Path, text: str) -> None:
    checkpoints.write(tmp_path, 1, fill, {})
    (tmp_path / "step-000001" / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError):
        checkpoints.verify(tmp_path / "step-000001")
    assert checkpoints.list_checkpoints(tmp_path) == []
    assert checkpoints.newest_valid(tmp_path)[0] is None


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    checkpoint = checkpoints.write(tmp_path / "c", 1, fill, {})
    manifest = json.loads((checkpoint.path / "manifest.json").read_text())
    manifest["files"]["../../secret"] = {"size": 1, "sha256": checkpoints._sha256(secret)}
    (checkpoint.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside"):
        checkpoints.verify(checkpoint.path)
