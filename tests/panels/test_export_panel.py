"""ExportPanel: formats with sizes and what is missing here, an export on a thread of its own, its report, and what fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from panel_driver import ROWS, press, send, wait_for

import shadownb as snb
from shadownb.engine.exporters import environments
from shadownb.errors import MissingDependencyError


@pytest.fixture
def model(home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    return snb.load(str(byte_model_dir), dtype="float32")


@pytest.fixture
def panel(model: Any) -> Any:
    made = snb.ExportPanel(namespace={"mine": model, "rows": ROWS[:6]})
    assert made.settle(120)
    yield made
    made.close()


def trained(model: Any, **options: Any) -> Any:
    return model.train(
        ROWS[:8], method="lora", max_steps=1, lora_r=2, sample_max_new_tokens=0, background=False,
        per_device_train_batch_size=4, gradient_accumulation_steps=1, **options,
    )  # fmt: skip


def by_name(panel: Any) -> dict[str, Any]:
    return {each["name"]: each for each in panel.formats}


def test_formats_are_shown_with_their_sizes_and_what_is_missing_here(panel: Any, model: Any) -> None:
    assert panel.name == model.name and panel.source == "var:mine" and panel.held_out == 0
    found = by_name(panel)
    for name in ("q8_0", "f32", "merged bfloat16"):
        folder = Path(f"as-{name.split()[-1]}")
        chosen = found[name]
        press(panel, "start", format=chosen["id"], folder=str(folder), compare=[], data="none")
        assert panel.state == {"stage": "ready"}, panel.state
        files = [*folder.glob("*.gguf"), *folder.glob("*.safetensors")]
        assert chosen["size"] == pytest.approx(sum(each.stat().st_size for each in files), rel=0.1)
    assert found["f32"]["size"] > 3 * found["q8_0"]["size"] and not found["f32"]["usual"]
    assert "carries no adapter" in found["adapter"]["refused"]["what"] and found["adapter"]["size"] is None
    assert found["awq"]["fetches"] == list(environments.AUTO_ROUND.packages)
    assert found["awq"]["prepare"] == "shadownb export --prepare awq"


def test_several_are_compared_on_a_thread_and_the_report_says_which_one_to_take(panel: Any) -> None:
    ids = {name: each["id"] for name, each in by_name(panel).items()}
    steps: list[list[str]] = []
    panel.observe(
        lambda change: steps.append([each["text"] for each in change["new"].get("steps", ())]), names=["state"]
    )
    press(
        panel, "start", format=ids["q8_0"], folder="out", compare=[ids["f32"], ids["q8_0"]], data="var:rows", scorer="name:exact"
    )  # fmt: skip
    assert panel.state == {"stage": "ready"}, panel.state
    report = panel.report
    assert report["path"] == str(Path("out").resolve()) and "Modelfile" in report["files"]
    assert report["heads"][0] == "format" and [row[0] for row in report["rows"]] == ["q8_0", "f32"]
    assert [point["name"] for point in report["points"]] == ["q8_0", "f32"]
    assert report["recommendation"].startswith(f"{report['chosen']}") and report["chosen"] in ("q8_0", "f32")
    assert "score" in report["heads"]
    told = [text for text in max(steps, key=len) if not text.startswith("writing")]
    assert told == [
        "merging in 32 bits",
        "measuring the model itself",
        "merging in 32 bits",
        "measuring q8_0",
        "measuring f32",
        "scoring answers",
    ]
    assert panel.code["python"].startswith("exported = mine.export(") and 'compare=["f32"]' in panel.code["python"]
    assert panel.code["magic"] == (
        "%shadow export mine --to out --fmt gguf --quant q8_0 --compare f32 --data rows --scorer exact"
    )
    assert "shell" not in panel.code, "a shell has no variable of the notebook"
    assert "q8_0" in panel._snapshot_text() and panel.exported.format == "gguf"
    again: dict[str, Any] = {"mine": snb.load("out", backend="llamacpp")}
    assert again["mine"].dtype_name == "q8_0"
    other = snb.ExportPanel(namespace=again)
    assert other.settle(60) and all(each["refused"] for each in other.formats), "of a file nothing more is made"
    assert "exported file" in other.formats[0]["refused"]["what"]
    other.close()


def test_a_runs_result_is_loaded_and_measured_on_the_rows_that_it_held_out(model: Any, tmp_path: Path) -> None:
    run = trained(model, eval_dataset=ROWS[8:12])
    model.unload()
    panel = snb.ExportPanel(namespace={"mine": model})
    assert panel.settle(60) and panel.name == "" and panel.formats == []
    press(panel, "look")
    assert [each["id"] for each in panel.sources] == [f"run:{run.id}"], "an unloaded model is not offered"
    press(panel, "choose", source=f"run:{run.id}")
    assert panel.source == f"open:{run.id}" and panel.held_out == 4, panel.state
    ids = {name: each["id"] for name, each in by_name(panel).items()}
    press(panel, "start", format=ids["gguf-lora"], folder="lora", compare=[ids["merged bfloat16"]])
    assert panel.state == {"stage": "ready"}, panel.state
    assert [row[0] for row in panel.report["rows"]] == ["gguf-lora", "merged bfloat16"]
    assert any("gguf-lora was not measured" in note for note in panel.report["notes"])
    assert f'model = snb.load("{run.id}")' in panel.code["python"] and '"dtype": "bfloat16"' in panel.code["python"]
    assert set(panel.code) == {"python"}, "--compare takes no options"
    press(panel, "start", format=ids["adapter"], folder="adapter", compare=[])
    assert panel.code["shell"] == f"shadownb export {run.id} --to adapter --fmt adapter --report"
    press(panel, "choose", source=" ")
    assert "No model is chosen" in panel.error["what"]
    press(panel, "choose", source="no-such-model")
    assert panel.state["stage"] == "failed" and "no-such-model" in panel.state["error"]["what"]
    assert panel.source == f"open:{run.id}", "what was chosen stays"
    panel.close()


def test_what_fails_is_said_and_leaves_no_file(panel: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {name: each["id"] for name, each in by_name(panel).items()}
    for options, said in (
        ({"folder": " "}, "No folder"),
        ({"compare": [ids["f16"]]}, "no rows to compare on"),
        ({"compare": [ids["f16"]], "data": "none"}, "without measuring"),
        ({"format": "gguf quant=q9"}, "is not a format"),
        ({"data": "var:gone"}, "no variable"),
    ):
        press(panel, "start", **{"format": ids["q8_0"], "folder": "out", "compare": [], **options})
        assert said in panel.error["what"] and panel.state["stage"] == "ready", options
    Path("out").mkdir()
    (Path("out") / "config.json").write_text("{}")
    press(panel, "start", format=ids["q8_0"], folder="out", compare=[], data="none")
    assert panel.state["stage"] == "failed" and panel.report == {}, panel.state

    def unreachable(self: Any) -> Path:
        raise MissingDependencyError("auto-round could not be fetched.", fix="shadownb export --prepare awq")

    monkeypatch.setattr(environments.Environment, "require", unreachable)
    press(panel, "start", format=ids["awq"], folder="awq", compare=[], data="none")
    assert panel.state["error"]["fix"] == "shadownb export --prepare awq" and not Path("awq").exists()
    monkeypatch.undo()
    panel.take_model(None)


def test_one_export_at_a_time_and_the_page_goes_on(panel: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.exporters.gguf import GgufExporter

    begun, go = threading.Event(), threading.Event()
    write = GgufExporter.write

    def slow(self: Any, *arguments: Any) -> None:
        begun.set()
        assert go.wait(60)
        write(self, *arguments)

    monkeypatch.setattr(GgufExporter, "write", slow)
    ids = {name: each["id"] for name, each in by_name(panel).items()}
    send(panel, "start", format=ids["q8_0"], folder="out", compare=[], data="none")
    assert begun.wait(60)
    send(panel, "start", format=ids["f16"], folder="other", compare=[], data="none")
    wait_for(panel, "error", lambda error: "busy" in error.get("what", ""))
    assert panel.state["stage"] == "working" and panel.state["doing"] == "exporting q8_0"
    go.set()
    assert panel.settle(60) and panel.report["format"] == "gguf" and not Path("other").exists()


def test_a_stop_leaves_what_was_there_and_keeps_files_that_are_whole(
    panel: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine import live
    from shadownb.engine.gguf import model as written
    from shadownb.engine.models import exporting

    begun, go = threading.Event(), threading.Event()

    def held(work: Any) -> Any:
        def slow(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert go.wait(60)
            live.check()
            return work(*arguments, **options)

        return slow

    def start_and_stop() -> None:
        begun.clear()
        go.clear()
        send(panel, "start", format=ids["q8_0"], folder="out", compare=[], data="var:rows")
        assert begun.wait(60)
        send(panel, "stop")
        wait_for(panel, "state", lambda state: state.get("stopping"))
        go.set()
        assert panel.settle(60)

    ids = {name: each["id"] for name, each in by_name(panel).items()}
    with monkeypatch.context() as patch:
        patch.setattr(written, "write_model", held(written.write_model))
        start_and_stop()
    assert panel.state["stage"] == "ready" and "nothing has changed" in panel.state["stopped"]
    assert not Path("out").exists() and panel.report == {}
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "Reference", held(exporting.Reference))
        start_and_stop()
    assert panel.state == {"stage": "ready"} and panel.report["rows"] == []
    assert any("stopped while it was measured" in note for note in panel.report["notes"])
    assert list(Path("out").glob("*.gguf")), "the file was whole"
