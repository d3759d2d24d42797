"""Several runs side by side: which options and results are shown, how the runs are called, the picture that is kept."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hand_runs import HandRun

import shadownb as snb
from shadownb.errors import RunError
from shadownb.panels._comparison import comparison_bundles

Make = Callable[..., HandRun]


@pytest.fixture
def trained() -> Iterator[Make]:
    made: list[HandRun] = []

    def make(steps: int = 8, **options: Any) -> HandRun:
        hand = HandRun(**options)
        made.append(hand)
        hand.begin(steps)
        values = {"estimate": {"expected_gb": 1.5}, "actual_setup": {"trained_parameters": 4_884_480}}
        hand.append("record", values=values)
        for step in range(1, steps + 1):
            hand.step(step, loss=(len(made) + 1) / step)
        hand.append("end", status="succeeded")
        hand.journal.flush()
        return hand

    yield make
    for hand in made:
        hand.close()


def test_the_table_has_the_options_that_differ_and_what_came_out(trained: Make) -> None:
    runs = [trained(learning_rate=1e-3).run, trained(learning_rate=2e-3).run]
    found = snb.runs.diff(*runs)
    assert found.differences == {"learning_rate": [0.001, 0.002]}
    frame = found.to_frame()
    assert list(frame.index) == [run.id for run in runs]
    assert list(frame["learning_rate"]) == [0.001, 0.002]
    assert list(frame["loss"]) == [2 / 8, 3 / 8]
    assert list(frame["peak_memory_gb"]) == [1.25, 1.25] and list(frame["estimated_memory_gb"]) == [1.5, 1.5]
    assert list(frame["trained_parameters"]) == [4_884_480, 4_884_480]
    first, *lines = repr(found).splitlines()
    assert "learning_rate" in first and "eval loss" not in first, "no run was evaluated"
    assert [line.split()[0] for line in lines] == [run.id for run in runs]
    assert "0.3750" in lines[1] and "1.25 GB" in lines[1] and "4,884,480" in lines[1]


def test_runs_are_called_by_what_tells_them_apart(trained: Make) -> None:
    by_method = [trained(method="lora").run, trained(method="dora").run]
    assert snb.runs.diff(by_method).labels == ["lora", "dora"]
    by_rank = [trained(lora_r=4).run, trained(lora_r=8).run]
    assert snb.runs.diff(by_rank).labels == ["lora_r 4", "lora_r 8"]
    mixed = [trained(method="lora"), trained(method="dpo"), trained(method="dpo", sft_weight=0.0)]
    found = snb.runs.diff([hand.run for hand in mixed])
    assert found.labels == ["lora", "dpo, sft_weight 1.0", "dpo, sft_weight 0.0"]
    assert found.differences["sft_weight"] == ["", 1.0, 0.0], "lora has none"
    alike = [trained().run, trained().run]
    assert snb.runs.diff(alike).labels == [run.id for run in alike]


def test_the_options_are_those_that_were_trained_with(trained: Make) -> None:
    """The second run went on with the first one's adapter, whose lora_alpha it keeps; the first ones differ in their rate."""
    first, second = trained(lora_alpha=128), trained()
    second.append("record", values={"config": {**second.run.config.to_dict(), "lora_alpha": 128}})
    second.journal.flush()
    assert snb.runs.diff(first.run, second.run).differences == {}
    runs = [trained(method=method).run for method in ("lora", "full", "dpo")]
    assert snb.runs.diff(runs).differences == {
        "method": ["lora", "full", "dpo"],
        "learning_rate": [run.config.resolved_learning_rate() for run in runs],
    }
    assert snb.runs.diff(runs).labels == ["lora", "full", "dpo"]


def with_data(hand: HandRun, **data: tuple[str, int, str]) -> Any:
    folder = hand.run.folder
    stored = {
        name: {"name": called, "rows": rows, "sha256": begin + 60 * "0"} for name, (called, rows, begin) in data.items()
    }
    folder.write_spec({**folder.spec, **stored})
    return hand.run


def test_runs_on_other_rows_differ_in_their_data(trained: Make) -> None:
    def differences(*data: tuple[str, int, str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = snb.runs.diff([with_data(trained(), dataset=one) for one in data]).differences
        return found

    train, more, other = ("train", 40, "aaaa"), ("train", 1200, "bbbb"), ("train", 40, "cccc")
    assert differences(train, train) == {}
    assert differences(train, more) == {"dataset": ["train, 40 rows", "train, 1,200 rows"]}
    named = ["train, 40 rows, aaaa0000", "train, 1,200 rows", "train, 40 rows, cccc0000"]
    assert differences(train, more, other) == {"dataset": named}
    runs = [with_data(trained(), dataset=train, eval_dataset=more), with_data(trained(), dataset=train)]
    assert snb.runs.diff(runs).differences == {"eval_dataset": ["train, 1,200 rows", "none"]}


def test_a_table_reads_no_weights_and_each_run_once(trained: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.runs import checkpoints
    from shadownb.engine.runs.comparison import RunComparison

    runs = [trained().run, trained().run]
    for run in runs:
        written = checkpoints.write(
            run.folder.checkpoints, 8, lambda folder: folder.joinpath("x.safetensors").write_bytes(b"x" * 3000), {}
        )
        (written.path / "x.safetensors").write_bytes(b"y" * 3000)
    assert runs[0].result() is None, "whoever loads it is told"
    read: list[str] = []
    result = RunComparison._result
    monkeypatch.setattr(RunComparison, "_result", lambda self, run: [read.append(run.id), result(self, run)][1])
    (table, _), *_ = comparison_bundles(snb.runs.diff(runs))
    assert table["text/plain"].count("3 KB") == table["text/html"].count("3 KB") == 2
    assert read == [run.id for run in runs]


def test_what_is_kept_counts_the_weights_without_what_a_resume_needs(trained: Make) -> None:
    from shadownb.engine.runs import checkpoints

    runs = [trained().run, trained().run]

    def fill(folder: Any) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"x" * 3000)
        (folder / "tokenizer.json").write_bytes(b"x" * 70)
        (folder / "training").mkdir()
        (folder / "training" / "optimizer.safetensors").write_bytes(b"x" * 6000)

    checkpoints.write(runs[0].folder.checkpoints, 8, fill, {"run": runs[0].id, "final": True})
    frame = snb.runs.diff(runs).to_frame()
    assert frame["weights_bytes"].iloc[0] == 3000
    assert frame["weights_bytes"].isna().iloc[1], "it has no checkpoint"


def test_the_display_is_a_table_and_a_picture_that_names_the_runs(trained: Make) -> None:
    from PIL import Image

    runs = [trained(method=method).run for method in ("lora", "dora", "full")]
    table, picture = comparison_bundles(snb.runs.diff(runs))
    assert "<th" in table[0]["text/html"] and all(run.id in table[0]["text/html"] for run in runs)
    image = Image.open(io.BytesIO(base64.b64decode(picture[0]["image/png"])))
    assert image.text["Description"] == "loss of lora, dora, full" == picture[0]["text/plain"]
    pixels = {rgb: count for count, rgb in image.convert("RGB").getcolors()}
    for color in ((0x24, 0x56, 0xC7), (0xA8, 0x42, 0x0B), (0x1A, 0x6B, 0x3A)):
        assert pixels.get(color, 0) > 300, "each run has a line of its colour"


def test_losses_of_two_objectives_are_two_pictures(trained: Make) -> None:
    runs = [trained(method=method).run for method in ("lora", "dpo", "cpt", "kto")]
    _, *pictures = comparison_bundles(snb.runs.diff(runs))
    assert [data["text/plain"] for data, _ in pictures] == [
        "sft loss of lora, cpt",
        "dpo loss of dpo",
        "kto loss of kto",
    ]


@pytest.mark.parametrize(
    ("count", "end"), [(16, "lora_r 16"), (17, "; 1 more run is not drawn"), (19, "; 3 more runs are not drawn")]
)
def test_runs_that_are_not_drawn_are_counted(trained: Make, count: int, end: str) -> None:
    found = snb.runs.diff([trained(lora_r=1 + at).run for at in range(count)])
    _, (picture, _) = comparison_bundles(found)
    assert picture["text/plain"].startswith("loss of lora_r 1, lora_r 2, ") and picture["text/plain"].endswith(end)


def test_from_the_ninth_run_on_lines_are_dashed(trained: Make) -> None:
    from PIL import Image

    from shadownb.panels._comparison import draw_losses

    def blue(count: int) -> int:
        curves = [(f"run {at}", [(1, 1.0 + at), (20, 1.0 + at)]) for at in range(count)]
        image = Image.open(io.BytesIO(draw_losses(curves, ""))).convert("RGB")
        return sum(n for n, rgb in image.getcolors() if rgb == (0x24, 0x56, 0xC7))

    one, nine = blue(8), blue(9)
    assert one < nine < 1.8 * one


def test_runs_without_a_curve_have_a_table_only(trained: Make) -> None:
    assert len(comparison_bundles(snb.runs.diff(trained(steps=1).run, trained(steps=1).run))) == 1


def test_one_run_cannot_be_compared(trained: Make) -> None:
    with pytest.raises(RunError, match="at least two"):
        snb.runs.diff(trained().run)


def test_the_figure_keeps_losses_of_different_kinds_on_axes_of_their_own(trained: Make) -> None:
    """plotly's axis of each curve: imitation and preference apart; a measure that both have stays on one."""
    chart = snb.runs.diff([trained(method=method).run for method in ("lora", "dpo", "full")]).figure()
    assert {curve.name: curve.yaxis for curve in chart.data} == {"lora": "y", "dpo": "y2", "full": "y"}
    assert [chart.layout.yaxis.title.text, chart.layout.yaxis2.title.text] == ["sft loss", "dpo loss"]
    alike = snb.runs.diff([trained(method=method).run for method in ("lora", "dora")]).figure("grad_norm")
    assert {curve.yaxis for curve in alike.data} == {"y"} and alike.layout.yaxis.title.text == "grad_norm"
