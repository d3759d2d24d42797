"""What a method records beside the loss: kept by the reducer, drawn by figure, snapshot and panel, said in texts."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hand_runs import HandRun, RecordingComm

from shadownb.engine.runs.charts import extra_charts
from shadownb.errors import ConfigError
from shadownb.panels import RunPanel
from shadownb.panels._snapshot import snapshot_png, snapshot_text


def rewards(step: int) -> dict[str, float]:
    """Return what a preference step carries beside the loss."""
    chosen, rejected = step / 50, -step / 40
    return {
        "rewards_chosen": chosen,
        "rewards_rejected": rejected,
        "rewards_margin": chosen - rejected,
        "rewards_accuracy": min(1.0, 0.5 + step / 50),
    }


def prefer(run: HandRun, steps: int, **extra: float) -> None:
    run.begin(steps)
    for step in range(1, steps + 1):
        run.step(step, **rewards(step), **extra)
    run.append("eval", step=steps, eval_loss=0.4, eval_rewards_accuracy=0.9, eval_rewards_margin=1.25, seconds=3.0)
    run.journal.flush()


def test_every_number_of_a_step_is_a_curve_and_nothing_else(hand_run: HandRun) -> None:
    hand_run.begin(4)
    hand_run.step(1, surprise=0.25, label="text", flag=True, missing=None)
    hand_run.step(2, surprise=0.5)
    hand_run.journal.flush()
    state = hand_run.run.state
    common = {"loss", "learning_rate", "grad_norm", "tokens_per_s", "peak_memory_gb"}
    assert set(state.series) == common | {"surprise"}
    assert state.series["surprise"].points == [(1, 0.25), (2, 0.5)]
    assert hand_run.run.series("surprise") == ([1, 2], [0.25, 0.5])


def test_a_resume_drops_what_came_later_of_every_curve(hand_run: HandRun) -> None:
    prefer(hand_run, 10)
    assert hand_run.run.state.series["eval_rewards_margin"].points == [(10, 1.25)]
    hand_run.append("attempt", n=2, from_step=4)
    hand_run.step(5, **rewards(5))
    hand_run.journal.flush()
    series = hand_run.run.state.series
    assert series["rewards_margin"].steps == [1, 2, 3, 4, 5]
    assert "eval_rewards_margin" not in series


def test_a_frame_has_a_column_for_each_and_evaluations_beside_their_step(hand_run: HandRun) -> None:
    prefer(hand_run, 10, kl=0.02)
    frame = hand_run.run.to_frame()
    assert frame.loc[10, "rewards_margin"] == pytest.approx(10 / 50 + 10 / 40)
    assert frame.loc[10, ["eval_loss", "eval_rewards_accuracy", "eval_rewards_margin"]].tolist() == [0.4, 0.9, 1.25]
    assert frame["eval_rewards_accuracy"].count() == 1 and frame["kl"].count() == 10
    assert "seconds" not in frame


def test_the_figure_has_a_chart_for_rewards_and_one_for_accuracy(hand_run: HandRun) -> None:
    prefer(hand_run, 10)
    figure = hand_run.run.figure()
    drawn: dict[str, list[str]] = {}
    for trace in figure.data:
        drawn.setdefault(trace.yaxis, []).append(trace.name)
    assert drawn == {
        "y": ["loss", "loss, smoothed", "eval_loss"],
        "y2": ["margin", "eval_rewards_margin", "chosen", "rejected"],
        "y3": ["accuracy", "eval_rewards_accuracy"],
    }
    (only,) = hand_run.run.figure("rewards_margin").data
    assert list(only.x) == list(range(1, 11))


def test_a_plain_run_has_one_chart(hand_run: HandRun) -> None:
    hand_run.begin(4)
    hand_run.step(1)
    hand_run.journal.flush()
    assert extra_charts(hand_run.run.state.series) == []
    assert {trace.yaxis for trace in hand_run.run.figure().data} == {"y"}
    assert RunPanel(hand_run.run).charts == []


def test_smoothing_window_and_clip_reach_every_curve_and_the_evaluations(hand_run: HandRun) -> None:
    hand_run.begin(40)
    for step in range(1, 41):
        hand_run.step(step, kl=0.1, **({"loss": 50.0} if step == 35 else {}))
        if step % 20 == 0:
            hand_run.evaluate(step)
    hand_run.journal.flush()
    run = hand_run.run
    whole, part = run.figure(), run.figure(window=10, clip=0.9, log=True)
    assert [trace.name for trace in part.data] == [trace.name for trace in whole.data]
    assert [list(trace.x) for trace in part.data] == [
        [40] if trace.name == "eval_loss" else list(range(31, 41)) for trace in part.data
    ]
    assert max(whole.data[0].y) == 50.0 and max(part.data[0].y) < 2.0
    assert part.layout.yaxis.type == "log" and part.layout.yaxis2.type != "log"
    assert [trace.name for trace in run.figure("kl", smooth=0.5).data] == ["kl", "kl, smoothed"]
    assert [trace.name for trace in run.figure("loss", smooth=0).data] == ["loss"]


def test_the_text_chart_is_smoothed_cut_and_logarithmic_as_asked(hand_run: HandRun) -> None:
    hand_run.begin(40)
    for step in range(1, 41):
        hand_run.step(step, loss=10.0 ** (step % 2) if step != 40 else 1e6)
    hand_run.journal.flush()
    run = hand_run.run

    def labels(chart: str) -> list[float]:
        return [float(line.split()[0]) for line in chart.splitlines() if "┤" in line]

    plain = run.plot()
    assert "•" in plain and "·" in plain and labels(plain)[0] == 1e6
    assert "·" not in run.plot(smooth=0)
    assert labels(run.plot(clip=0.9, smooth=0)) == pytest.approx([10 - row for row in range(10)])
    assert labels(run.plot(log=True, smooth=0, height=7)) == pytest.approx([10.0**power for power in range(6, -1, -1)])
    assert run.plot(window=5).splitlines()[-1].split() == ["step", "36", "to", "40"]
    assert run.plot("grad_norm").count("·") == 0, "only the loss is smoothed unless asked for"
    for wrong in ({"window": 0}, {"clip": 1.5}, {"smooth": 1}):
        (name, value), *_ = wrong.items()
        for draw in (run.plot, run.figure):
            with pytest.raises(ConfigError, match=f"{name}={value}"):
                draw(**wrong)


def test_a_run_says_when_it_began_and_ended_and_what_it_trains(hand_run: HandRun) -> None:
    run = hand_run.run
    assert run.base_model == "tiny" and run.started_at is run.ended_at is None
    hand_run.begin(4)
    hand_run.step(1)
    hand_run.journal.flush()
    began = run.started_at
    assert began is not None and run.ended_at is None
    hand_run.append("end", status="stopped")
    hand_run.journal.flush()
    assert run.ended_at is not None and run.ended_at >= began
    assert (run.to_dict()["started_at"], run.to_dict()["ended_at"]) == (began, run.ended_at)
    hand_run.append("attempt", n=2, from_step=1)
    hand_run.journal.flush()
    assert run.started_at == began and run.ended_at is None, "it goes on"


def test_texts_say_margin_and_accuracy(hand_run: HandRun) -> None:
    prefer(hand_run, 10)
    said = "reward margin 0.45, preference accuracy 70%"
    assert repr(hand_run.run).endswith(f"{said})")
    text = snapshot_text(hand_run.run.state)
    assert said in text.splitlines()[0]
    assert any(line.startswith("reward margin ▁") for line in text.splitlines())
    facts = hand_run.run._repr_html_()
    assert "preference accuracy" in facts and ">70%</td>" in facts


@pytest.mark.parametrize(("side", "value"), [("chosen", "0.2"), ("rejected", "-0.25")])
def test_rewards_of_one_side_are_no_margin(side: str, value: str, hand_run: HandRun) -> None:
    """As KTO records them where all answers have one verdict."""
    hand_run.begin(10)
    for step in range(1, 11):
        hand_run.step(step, **{f"rewards_{side}": rewards(step)[f"rewards_{side}"]})
    hand_run.journal.flush()
    (chart,) = extra_charts(hand_run.run.state.series)
    assert (chart.name, chart.title, chart.headline) == ("rewards", f"Rewards ({side})", f"rewards_{side}")
    assert repr(hand_run.run).endswith(f", rewards ({side}) {value})")
    said = "\n".join((repr(hand_run.run), hand_run.run._repr_html_(), snapshot_text(hand_run.run.state)))
    assert "margin" not in said
    assert snapshot_png(hand_run.run.state) is not None
    hand_run.step(11, **rewards(11))
    hand_run.journal.flush()
    assert "reward margin 0.495" in repr(hand_run.run), "the other side has come"


def test_the_picture_grows_by_the_charts_and_a_plain_one_does_not(hand_run: HandRun) -> None:
    from PIL import Image

    def size(png: bytes | None) -> tuple[int, int]:
        assert png is not None
        return Image.open(io.BytesIO(png)).size

    hand_run.begin(10)
    for step in range(1, 3):
        hand_run.step(step)
    hand_run.journal.flush()
    plain = size(snapshot_png(hand_run.run.state))
    for step in range(3, 11):
        hand_run.step(step, **rewards(step))
    hand_run.journal.flush()
    png = snapshot_png(hand_run.run.state)
    grown = size(png)
    assert grown[0] == plain[0] and grown[1] > plain[1]
    assert png is not None and len(png) < 60_000


def test_the_panel_tells_a_page_of_charts_as_they_appear(hand_run: HandRun) -> None:
    panel = RunPanel(hand_run.run)
    panel.comm = comm = RecordingComm()
    try:
        assert panel.charts == []
        prefer(hand_run, 10, kl=0.02, surprise=3.0)
        comm.wait_for(lambda: panel.status["step"] == 10 and len(panel.charts) == 4)
        charts: dict[str, Any] = {chart["id"]: chart for chart in panel.charts}
        assert [name for name, _ in charts["rewards"]["curves"]] == [
            "rewards_margin",
            "rewards_chosen",
            "rewards_rejected",
        ]
        assert charts["rewards_accuracy"]["share"] and charts["surprise"]["title"] == "Surprise"
        assert panel.status["last"]["rewards_margin"] == pytest.approx(0.45)
        sent = panel.get_state()["snapshot"]["series"]
        assert {"rewards_chosen", "rewards_accuracy", "eval_rewards_margin", "kl", "surprise"} <= set(sent)
    finally:
        panel.close()
