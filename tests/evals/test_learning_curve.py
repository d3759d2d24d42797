"""learning_curve(): growing parts, held-out rows that were not seen, a verdict that says when it cannot tell, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.cli import main
from shadownb.engine.data import Dataset
from shadownb.engine.evals.learning.folder import CurveFolder
from shadownb.engine.evals.learning.judgement import ENOUGH, MORE, UNSURE, judged, luck, mean_over
from shadownb.errors import BusyError, ConfigError, DataError, RunError, ShadowWarning

QUICK: dict[str, Any] = {"max_steps": 2, "sample_max_new_tokens": 0}
THINGS = ("parcel", "invoice", "password", "refund", "address", "charger", "ticket", "order")
ROWS = [
    {
        "messages": [
            {
                "role": "user",
                "content": f"{number} {THINGS[number % 8]} {'abcdefghij'[number % 10] * 3} please help me now",
            },
            {"role": "assistant", "content": ("yes", "no")[number % 2]},
        ],
        "customer": f"c{number // 4}",  # text that says no metadata, so that it would refuse a row elsewhere
        "created": f"2026-01-{1 + number:02d}",
    }
    for number in range(24)
]


PLAIN = [{"messages": row["messages"]} for row in ROWS]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all: the model that they share carries the result of a run that lies there."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("SHADOWNB_HOME", str(folder))
        patch.setenv("SHADOWNB_PROGRESS", "0")
        yield folder


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    return snb.load(str(tiny_model_dir), dtype="float32")


# -- what it says ------------------------------------------------------------------------------------------------------


def drawn(
    chances: list[float], *, items: int, seeds: int, spread: float = 0.0, seed: int = 0
) -> list[list[dict[str, float]]]:
    """Draw scores of parts whose true means are known; trainings differ by ``spread``."""
    generator = np.random.default_rng(seed)
    hard = generator.random(items)  # the same row is hard in every training
    return [
        [
            {str(row): float(hard[row] < min(1, max(0, chance + offset))) for row in range(items)}
            for offset in generator.normal(0, spread, seeds)
        ]
        for chance in chances
    ]


def test_a_curve_that_rises_one_that_is_flat_and_one_that_cannot_be_told() -> None:
    sizes = [100, 200, 400]
    rising = judged(sizes, drawn([0.3, 0.5, 0.7], items=300, seeds=3, spread=0.01), 0.02, None)
    assert rising.word == MORE and rising.gain is not None and 0.1 < rising.gain.low < 0.2 < rising.gain.high
    flat = judged(sizes, drawn([0.3, 0.7, 0.7], items=600, seeds=4, spread=0.001), 0.02, None)
    assert flat.word == ENOUGH and "unlikely to bring 2 points" in flat.reason
    few = judged(sizes, drawn([0.3, 0.5, 0.6], items=12, seeds=3, spread=0.001), 0.02, None)
    assert few.word == UNSURE and "More held-out rows" in few.reason
    lucky = judged(sizes, drawn([0.3, 0.5, 0.55], items=2000, seeds=2, spread=0.15), 0.02, None)
    assert lucky.word == UNSURE and "More seeds" in lucky.reason
    full = judged(sizes, drawn([0.3, 0.9, 1.0], items=300, seeds=3, spread=0.0), 0.02, None)
    assert full.word == ENOUGH and "100.0 % reached" in full.reason


def test_one_training_cannot_be_told_from_luck() -> None:
    once = judged([100, 200], drawn([0.2, 0.9], items=300, seeds=1), 0.02, None)
    assert once.word == UNSURE and "seeds=3" in once.reason
    assert judged([100], drawn([0.2], items=300, seeds=3), 0.02, None).word == UNSURE
    assert np.isnan(luck(drawn([0.2, 0.9], items=30, seeds=1))[0])


def test_the_interval_knows_of_seeds_and_of_sources() -> None:
    parts = drawn([0.5], items=200, seeds=3, spread=0.1)
    known = mean_over(parts[0], luck(parts), None)
    alone = mean_over(parts[0], (float("nan"), 0), None)
    assert known.high - known.low > 1.5 * (alone.high - alone.low)
    same = [{str(row): float(row // 20 % 2) for row in range(200)}]
    together = mean_over(same, (float("nan"), 0), {str(row): row // 20 for row in range(200)})
    apart = mean_over(same, (float("nan"), 0), None)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_the_verdict_is_right_as_often_as_it_says() -> None:
    """Where more rows bring nothing, "more rows" is said in at most about 1 of 40 draws; the interval holds 0 in the others."""
    said = [
        judged([100, 200], drawn([0.6, 0.6], items=120, seeds=3, spread=0.05, seed=draw), 0.02, None).word
        for draw in range(400)
    ]
    assert said.count(MORE) <= 20


# -- measured ----------------------------------------------------------------------------------------------------------


def test_growing_parts_of_the_rows_on_held_out_ones(model: Any) -> None:
    seen: list[tuple[int, int]] = []
    curve = snb.learning_curve(
        model, PLAIN, "exact", fractions=(0.25, 1), seeds=(3, 4), test_size=8, max_new_tokens=4, name="first",
        progress=lambda *now: seen.append(now), **QUICK,
    )  # fmt: skip
    assert [point.rows for point in curve.points] == [0, 4, 16] and seen[-1] == (5, 5)
    assert [len(point.runs) for point in curve.points] == [0, 2, 2] and curve.held_out == 8
    for point in curve.points[1:]:
        for name, seed in zip(point.runs, (3, 4), strict=True):
            run = snb.runs.load(name)
            assert run.config.seed == seed and run.folder.spec["dataset"]["rows"] == point.rows
    small, whole = (snb.runs.load(point.runs[0]).folder.spec["dataset"]["path"] for point in curve.points[1:])
    lines = [set(Path(path).read_text(encoding="utf-8").splitlines()) for path in (small, whole)]
    assert lines[0] < lines[1], "the smaller part lies in the larger one"
    assert curve.verdict in (MORE, ENOUGH, UNSURE) and curve.reason in str(curve) and "<svg" in curve._repr_html_()
    assert model.trained is None, "it carries again what it carried before"
    assert snb.LearningCurve.open("first").points == curve.points and "| 16 |" in curve.to_markdown()
    assert list(curve.to_frame().rows) == [0, 4, 4, 16, 16]
    # Nothing is trained twice, and another question under this name is refused.
    before = len(snb.runs.list())
    again = snb.learning_curve(
        model, PLAIN, "exact", fractions=(0.25, 1), seeds=(3, 4), test_size=8, max_new_tokens=4, name="first", **QUICK
    )
    assert len(snb.runs.list()) == before and again.points == curve.points
    with pytest.raises(ConfigError, match="begun with other scorer"):
        snb.learning_curve(
            model,
            PLAIN,
            "contains",
            fractions=(0.25, 1),
            seeds=(3, 4),
            test_size=8,
            max_new_tokens=4,
            name="first",
            **QUICK,
        )


def test_killed_it_goes_on_with_the_run_where_it_was(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    program = f"""
        import os
        import shadownb as snb
        from tests.evals.test_learning_curve import PLAIN
        model = snb.load({str(tiny_model_dir)!r}, dtype="float32")
        def look(*_):
            if any(run.config.seed == 1 and run.step >= 5 for run in snb.runs.active()):
                os.kill(os.getpid(), 9)
        model.module.get_input_embeddings().register_forward_hook(look)
        snb.learning_curve(model, PLAIN, "exact", fractions=(0.5, 1), seeds=2, test_size=8, max_new_tokens=4, name="killed",
                           max_steps=10, save_steps=2, sample_max_new_tokens=0)
        """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=False, env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (killed,) = [run for run in snb.runs.list() if run.config.seed == 1]
    assert killed.status == "interrupted"
    model = snb.load(str(tiny_model_dir), dtype="float32")
    curve = snb.learning_curve(
        model, PLAIN, "exact", fractions=(0.5, 1), seeds=2, test_size=8, max_new_tokens=4, name="killed", max_steps=10,
        save_steps=2, sample_max_new_tokens=0,
    )  # fmt: skip
    assert killed.id in curve.points[1].runs and snb.runs.load(killed.id).resumed
    assert [len(point.runs) for point in curve.points] == [0, 2, 2] and len(snb.runs.list()) == 4


def test_held_out_rows_that_were_trained_on_are_left_out_and_counted(model: Any) -> None:
    doubled = [*PLAIN[:12], *PLAIN[:3], *PLAIN[20:]]
    curve = snb.learning_curve(
        model, PLAIN[:16], "exact", held_out=doubled[10:], fractions=(1,), seeds=1, max_new_tokens=4, **QUICK
    )
    assert (curve.leaked, curve.held_out) == (5, 4) and "5 held-out rows were seen in training" in str(curve)
    with pytest.raises(DataError, match="All 3 held-out rows"):
        snb.learning_curve(model, PLAIN, "exact", held_out=PLAIN[:3], **QUICK)


def test_pairs_are_trained_on_and_conversations_asked(model: Any) -> None:
    pairs = [{"prompt": f"Say {number}.", "chosen": "yes", "rejected": "no"} for number in range(8)]
    curve = snb.learning_curve(
        model, pairs, "exact", held_out=PLAIN[:4], fractions=(1,), seeds=1, method="dpo", max_new_tokens=2, **QUICK
    )
    assert curve.leaked is None and "cannot be looked for" in str(curve) and len(curve.points[-1].runs) == 1


def test_what_is_wrong_is_said_before_anything_is_trained(model: Any) -> None:
    before = len(snb.runs.list())
    for options, said in (
        ({"fractions": (0, 1)}, "fractions"),
        ({"fractions": (2,)}, "fractions"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"seeds": 0}, "seeds"),
        ({"worth": 0}, "worth"),
        ({"seed": 3}, "seed=3 is decided"),
        ({"start": "trained"}, "start"),
        ({"group": "customer", "time": "created"}, "cannot both"),
        ({"held_out": ROWS[:2], "time": "created"}, "decides what is held out"),
        ({"name": "../x"}, "folder"),
    ):
        with pytest.raises(ConfigError, match=said):
            snb.learning_curve(model, PLAIN, "exact", **options)
    with pytest.raises(DataError, match="group='nowhere'"):
        snb.learning_curve(model, ROWS, "exact", group="nowhere")
    with pytest.raises(DataError, match="no learning curve 'none'"):
        snb.LearningCurve.open("none")
    assert len(snb.runs.list()) == before


def test_two_at_once_under_one_name(model: Any) -> None:
    with CurveFolder.named("busy").lock(), pytest.raises(BusyError, match="is measured"):
        snb.learning_curve(model, PLAIN, "exact", name="busy", **QUICK)


# -- splits ------------------------------------------------------------------------------------------------------------


def test_rows_of_a_source_are_on_one_side() -> None:
    train, test = Dataset.from_list(ROWS).split(0.25, group="customer")
    sides = [{row["customer"] for row in side.rows} for side in (train, test)]
    assert len(train) + len(test) == 24 and len(test) >= 6 and not sides[0] & sides[1]
    other = Dataset.from_list(ROWS).split(0.25, group="customer", seed=5)[1]
    assert {row["customer"] for row in other.rows} != sides[1]
    with pytest.raises(DataError, match="all rows have the same value"):
        Dataset.from_list([{**row, "customer": "one"} for row in ROWS]).split(group="customer")


def test_the_latest_rows_are_held_out() -> None:
    mixed = [ROWS[(7 * number) % 24] for number in range(24)]
    train, test = Dataset.from_list(mixed).split(0.25, time="created")
    assert len(test) == 6 and max(row["created"] for row in train.rows) < min(row["created"] for row in test.rows)
    same_day = [{**row, "created": "2026-01-09" if number > 3 else "2026-01-01"} for number, row in enumerate(ROWS)]
    train, test = Dataset.from_list(same_day).split(0.1, time="created")
    assert len(train) == 4  # rows of one moment are not on both sides
    with pytest.raises(DataError, match="1 of 24 rows have no time that can be read"):
        Dataset.from_list([*ROWS[:23], {**ROWS[23], "created": "some day"}]).split(time="created")
    with pytest.raises(DataError, match="all rows are of one time"):
        Dataset.from_list([{**row, "created": 3} for row in ROWS]).split(time="created")
    with pytest.raises(ConfigError, match="cannot both"):
        Dataset.from_list(ROWS).split(group="customer", time="created")


def test_sources_stay_whole_in_growing_parts(model: Any) -> None:
    run = model.train(PLAIN, start="base", background=False, **QUICK)
    curve = snb.learning_curve(
        model, ROWS, "exact", fractions=(0.5, 1), seeds=1, test_size=8, group="customer", max_new_tokens=4, **QUICK
    )
    assert curve.points[0].rows == 0 and curve.held_out == 8 and model.trained == (run.id, 2)
    # Two sources of four rows each: an interval of rows alone would be narrower.
    assert curve.points[-1].high - curve.points[-1].low > 0.5


def test_a_part_without_scores_is_an_error_and_is_scored_by_the_next_call(model: Any) -> None:
    """A judge that is down costs no part of the curve, nor a training; what was trained answers then from its files."""
    learned = [{"messages": [row["messages"][0], {"role": "assistant", "content": "yes"}]} for row in PLAIN]
    options = {"max_steps": 20, "learning_rate": 1e-2, "sample_max_new_tokens": 0}
    up = {"calls": 1 + 8 + 4}  # the first reference on trial, the base, half of a part

    def judge(output: str, expected: str) -> float:
        up["calls"] -= 1
        if up["calls"] < 0:
            raise RuntimeError("the judge is down")
        return float(output.startswith(expected))  # when to end takes longer to learn

    def ask() -> snb.LearningCurve:
        return snb.learning_curve(
            model, learned, judge, fractions=(0.5, 1), seeds=1, test_size=8, max_new_tokens=4, name="judged", **options
        )

    with pytest.warns(ShadowWarning, match="held-out rows, 8-0: "), pytest.raises(RunError, match="No held-out answer"):
        ask()
    before = len(snb.runs.list())
    up["calls"] = 100
    curve = ask()
    assert [(point.rows, point.value) for point in curve.points] == [(0, 0.0), (8, 1.0), (16, 1.0)]
    assert len(snb.runs.list()) == before


def test_a_person_by_whom_rows_were_grouped_is_deleted(model: Any, home: Path) -> None:
    named = [{**row, "customer": f"Zoë Quill-{row['customer']}"} for row in ROWS]
    snb.learning_curve(
        model,
        named,
        "exact",
        fractions=(1,),
        seeds=1,
        test_size=8,
        group="customer",
        max_new_tokens=2,
        name="named",
        **QUICK,
    )
    kept = home / "curves" / "named" / "curve.json"
    before = json.loads(kept.read_text(encoding="utf-8"))["clusters"]
    assert len(set(before.values())) == 2
    snb.captures.delete(where="Zoë Quill", dry_run=True)
    assert json.loads(kept.read_text(encoding="utf-8"))["clusters"] == before
    snb.captures.delete(where="Zoë Quill")
    after = json.loads(kept.read_text(encoding="utf-8"))["clusters"]
    assert "Quill" not in kept.read_text(encoding="utf-8") and len(set(after.values())) == 2
    assert snb.LearningCurve.open("named").points


# -- the verb ----------------------------------------------------------------------------------------------------------


def test_the_verb(tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in PLAIN), encoding="utf-8")
    words = ["curve", str(tiny_model_dir), str(path), "--fractions", "0.5,1", "--seeds", "1", "--max-new-tokens", "2"]
    assert main([*words, "--max-steps", "1", "--dtype", "float32", "--method", "prompt"]) == 0
    told = capsys.readouterr().out
    assert "can't tell: From 10 to 19 rows" in told and "-prompt-" in told
    assert main([*words, "--fractions", "half"]) == 2 and "--fractions half" in capsys.readouterr().err
