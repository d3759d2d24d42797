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
        values = {"estimate": {"expected_gb": 1.5}, "had": {"trained_parameters": 4_884_480}}
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
    found = snb.runs.compare(*runs)
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
    assert snb.runs.compare(by_method).labels == ["lora", "dora"]
    by_rank = [trained(lora_r=4).run, trained(lora_r=8).run]
    assert snb.runs.compare(by_rank).labels == ["lora_r 4", "lora_r 8"]
    alike = [trained().run, trained().run]
    assert snb.runs.compare(alike).labels == [run.id for run in alike]


def test_what_is_kept_counts_the_weights_without_what_a_resume_needs(trained: Make) -> None:
    from shadownb.engine.runs import checkpoints

    runs = [trained().run, trained().run]

    def fill(folder: Any) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"x" * 3000)
        (folder / "tokenizer.json").write_bytes(b"x" * 70)
        (folder / "training").mkdir()
        (folder / "training" / "optimizer.safetensors").write_bytes(b"x" * 6000)

    checkpoints.write(runs[0].folder.checkpoints, 8, fill, {"run": runs[0].id, "final": True})
    frame = snb.runs.compare(runs).to_frame()
    assert frame["weights_bytes"].iloc[0] == 3000
    assert frame["weights_bytes"].isna().iloc[1], "it has no checkpoint"


def test_the_display_is_a_table_and_a_picture_that_names_the_runs(trained: Make) -> None:
    from PIL import Image

    runs = [trained(method=method).run for method in ("lora", "dora", "full")]
    table, picture = comparison_bundles(snb.runs.compare(runs))
    assert "<th" in table[0]["text/html"] and all(run.id in table[0]["text/html"] for run in runs)
    image = Image.open(io.BytesIO(base64.b64decode(picture[0]["image/png"])))
    assert image.text["Description"] == "loss of lora, dora, full" == picture[0]["text/plain"]
    pixels = {rgb: count for count, rgb in image.convert("RGB").getcolors()}
    for color in ((0x24, 0x56, 0xC7), (0xA8, 0x42, 0x0B), (0x1A, 0x6B, 0x3A)):
        assert pixels.get(color, 0) > 300, "each run has a line of its colour"


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
    assert len(comparison_bundles(snb.runs.compare(trained(steps=1).run, trained(steps=1).run))) == 1


def test_one_run_cannot_be_compared(trained: Make) -> None:
    with pytest.raises(RunError, match="at least two"):
        snb.runs.compare(trained().run)
