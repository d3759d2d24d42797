"""Bad input and bad luck: typed errors that name the option and the next step; nothing is lost, the next run is fine."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb import errors
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters.lora import LoraAdapter
from shadownb.engine.runs import checkpoints, commands
from shadownb.engine.runs import journal as journal_module
from shadownb.engine.runs.job import load_model
from shadownb.engine.runs.journal import Journal, JournalReader
from shadownb.engine.runs.loop import Loop
from tests.engine.conftest import until

FAST: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "sample_max_new_tokens": 0,
    "lora_r": 4,
}


def weights(model: Any) -> str:
    """A digest of every weight of the model."""
    return adapters.digest(dict(model.module.named_parameters()))


def check_fine(model: Any, rows: list[Any], **options: Any) -> None:
    """The model trains, no thread of an earlier run is left, and its weights are those of the checkpoint it names."""
    run = model.train(rows, background=False, max_steps=1, **{**FAST, **options})
    assert run.status == "succeeded", run.traceback()
    assert model.trained == (run.id, 1)
    for thread in threading.enumerate():
        if thread.name.startswith(("shadownb-train", "shadownb-queue", "journal-")):
            thread.join(timeout=60)
            assert not thread.is_alive(), f"{thread.name} is left"


def no_run_was_made() -> bool:
    return not snb.runs.list()


# -- data ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [[], [{}], [{"x": 1}], [{"messages": []}], [{"messages": "hello"}], [{"text": ""}]])
def test_data_without_a_usable_row(tiny: Any, data: list[Any]) -> None:
    with pytest.raises(errors.DataError) as caught:
        tiny.train(data, background=False, max_steps=1)
    assert caught.value.fix
    assert no_run_was_made()


@pytest.mark.parametrize("data", [None, 7, "rows.jsonl", {"messages": []}])
def test_what_is_no_data(tiny: Any, data: Any) -> None:
    with pytest.raises(errors.DataError, match="dataset"):
        tiny.train(data, max_steps=1)


def test_a_row_without_a_role_is_counted_shown_and_left_out(tiny: Any, rows: list[Any]) -> None:
    rows[3] = {"messages": [{"content": "no role"}, {"role": "assistant", "content": "x"}]}
    with pytest.warns(errors.ShadowWarning, match="1 of 40 rows"):
        run = tiny.train(rows, background=False, max_steps=1, **FAST)
    (warning,) = [w for w in run.state.warnings if w["code"] == "data"]
    assert "1 of 40 rows of dataset" in warning["what"]
    assert "dataset.report" in warning["fix"]
    assert next(e for e in run.events() if e["type"] == "plan")["rows"] == 39


def test_mixed_formats_are_counted_and_shown(tiny: Any, rows: list[Any]) -> None:
    mixed = [*rows[:20], {"prompt": "a", "completion": "b"}, {"text": "free text"}, {"other": 1}]
    for share in (None, "auto", 0.5):
        with pytest.warns(errors.ShadowWarning, match="3 of 23 rows"):
            run = tiny.train(mixed, background=False, max_steps=1, eval_dataset=share, **FAST)
        (warning,) = [w for w in run.state.warnings if w["code"] == "data"]
        assert "mixed formats" in warning["why"]
        plan = next(e for e in run.events() if e["type"] == "plan")
        assert plan["rows"] + plan["eval_rows"] == 20, "only bad rows are left out, wherever the split puts them"


def test_lines_that_are_no_rows_are_counted(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join([*(json.dumps(row) for row in rows), '{"torn": ', "[1, 2]"]), encoding="utf-8")
    with pytest.warns(errors.ShadowWarning, match="2 of 42 rows"):
        run = tiny.train(snb.Dataset.load(file), background=False, max_steps=1, eval_dataset=0.5, **FAST)
    assert any("2 of 42 rows" in w["what"] for w in run.state.warnings)


def test_a_csv_with_a_byte_order_mark(tiny: Any, tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes("prompt,completion\r\nä?,ö\r\nb?,c\r\n".encode("utf-8-sig"))
    data = snb.Dataset.load(file)
    assert data.columns == ["prompt", "completion"]
    assert data.report.ok
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.ShadowWarning)
        check_fine(tiny, data)  # type: ignore[arg-type]


def test_rows_that_are_cut_or_empty_are_told(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=False, max_steps=1, max_length=58, **FAST)
    assert {w["code"] for w in run.state.warnings} >= {"rows-truncated", "rows-skipped"}
    with pytest.raises(errors.DataError, match="max_length=8"):
        tiny.train(rows, background=False, max_steps=1, max_length=8, **FAST)
    check_fine(tiny, rows)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, "150%", "none", "1.2.3", True, "0%"])
def test_shares_that_are_none(tiny: Any, rows: list[Any], share: Any) -> None:
    with pytest.raises(errors.ConfigError, match="eval_dataset"):
        tiny.train(rows, eval_dataset=share, max_steps=1)
    assert no_run_was_made()


def test_one_row_cannot_be_split(tiny: Any, rows: list[Any]) -> None:
    with pytest.raises(errors.DataError, match="eval_dataset='auto'"):
        tiny.train([rows[0], {"messages": []}], eval_dataset="auto", max_steps=1)


def test_data_of_a_run_that_is_gone(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=True, max_steps=500, **FAST)
    until(run, lambda s: s.step >= 1)
    run.stop().wait(timeout=60)
    other = tiny.train(rows[:9], background=False, max_steps=2, **FAST)
    before = weights(tiny)
    Path(run.folder.spec["dataset"]["path"]).unlink()
    run.resume().wait(timeout=60)
    assert run.status == "failed"
    assert isinstance(run.error, errors.RunError)
    assert "does not exist" in run.error.what
    assert run.error.fix
    assert weights(tiny) == before
    assert tiny.trained == (other.id, 2), "the failed attempt never touched the weights, and must not claim them"
    check_fine(tiny, rows)


# -- models and their options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["smollm2-135n", "no-such-model", "", " ", "/no/such/folder", "../x", "x" * 5000, "a/b/c", "a\0b", "./x.gguf"],
)
def test_a_model_that_does_not_exist(home: Path, name: str) -> None:
    with pytest.raises(errors.ModelNotFoundError) as caught:
        snb.load(name)
    assert "smollm2-135m" in caught.value.as_text()


def test_a_name_close_to_one_that_exists(home: Path) -> None:
    with pytest.raises(errors.ModelNotFoundError, match="Did you mean 'smollm2-135m'"):
        snb.load("smollm2-135n")


def test_a_hub_id_out_of_reach(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(errors.ModelNotFoundError, match="nobody/nothing"):
        snb.load("nobody/nothing")


@pytest.mark.parametrize("content", [None, "config", "adapter", "weights"])
def test_folders_that_hold_no_whole_model(
    home: Path, tmp_path: Path, tiny_model_dir: Path, content: str | None
) -> None:
    folder = tmp_path / "model"
    if content == "weights":
        shutil.copytree(tiny_model_dir, folder)
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
    else:
        folder.mkdir()
        if content is not None:
            name = "adapter_config.json" if content == "adapter" else "config.json"
            (folder / name).write_text("{torn", encoding="utf-8")
    with pytest.raises(errors.ModelError):
        snb.load(str(folder))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("device", "gpu"),
        ("device", "cuda:99x"),
        ("device", "tpu"),
        ("dtype", "fp32"),
        ("dtype", "int8"),
        ("quantize", "2bit"),
        ("quantize", True),
        ("backend", "jax"),
        ("max_length", 0),
        ("max_length", 513),
        ("max_length", "2048"),
        ("max_length", True),
        ("adapter", "/no/such/adapter"),
        ("adapter", "no-such-run"),
    ],
)
def test_load_options_that_are_none(home: Path, tiny_model_dir: Path, option: str, value: Any) -> None:
    with pytest.raises((errors.ConfigError, errors.ModelError), match=option) as caught:
        snb.load(str(tiny_model_dir), **{option: value})
    assert str(value) in caught.value.what


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has that device")
def test_a_device_that_is_not_here(home: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(errors.ConfigError, match="device='cuda' is not on this machine"):
        snb.load(str(tiny_model_dir), device="cuda")


def test_load_takes_no_unknown_option(home: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(TypeError, match="trust_remote_code"):
        snb.load(str(tiny_model_dir), trust_remote_code=True)  # type: ignore[call-arg]


# -- options of a run ---------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_steps": 0}, "max_steps=0"),
    ({"max_steps": 2.5}, "max_steps=2.5"),
    ({"num_train_epochs": 0}, "num_train_epochs=0"),
    ({"learning_rate": -1e-4}, "learning_rate=-0.0001"),
    ({"learning_rate": 0}, "learning_rate=0"),
    ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ({"learning_rate": "fast"}, "learning_rate='fast'"),
    ({"lora_r": 0}, "lora_r=0"),
    ({"lora_dropout": 1.0}, "lora_dropout=1.0"),
    ({"warmup_ratio": 1.0}, "warmup_ratio=1.0"),
    ({"max_grad_norm": -1}, "max_grad_norm=-1"),
    ({"lr_scheduler_type": "sideways"}, "lr_scheduler_type='sideways'"),
    ({"optim": "adamw_torhc"}, "optim='adamw_torhc'.*Did you mean 'adamw_torch'"),
    ({"report_to": "wandbb"}, "report_to='wandbb'.*Did you mean 'wandb'"),
    ({"loss_on": "user"}, "loss_on='user'"),
    ({"executor": "cloud"}, "executor='cloud'"),
    ({"method": "lroa"}, "method='lroa'.*Did you mean 'lora'"),
    ({"max_step": 3}, "max_step=3.*Did you mean 'max_steps'"),
    ({"assistant_only_loss": True, "loss_on": "all"}, "assistant_only_loss=True"),
    ({"beta": 0.5}, "beta=0.5 has no effect"),
    ({"num_virtual_tokens": 3}, "num_virtual_tokens=3 has no effect"),
    ({"max_length": 513}, "max_length=513.*512 positions"),
    ({"method": "prompt", "num_virtual_tokens": 20, "max_length": 500}, "max_length=500.* 492 tokens"),
    ({"method": "full", "lora_r": 8}, "lora_r=8 has no effect.*lora, qlora"),
    ({"method": "qlora"}, "method='qlora'.*quantize=\"4bit\""),
    ({"target_modules": "sideways"}, "no linear layer named 'sideways'"),
    ({"target_modules": ["q_proj", "layers.99.self_attn.q_proj"]}, "no linear layer named 'layers.99"),
    ({"target_modules": ["embed_tokens"]}, "embed_tokens is the embedding"),
    *[({name: "auto"}, f"{name}='auto' belongs to load") for name in ("backend", "device", "dtype", "quantize")],
    ({"adapter": "x"}, "adapter='x' belongs to load"),
    ({"resume_from_checkpoint": "/no/such/folder"}, "resume_from_checkpoint='/no/such/folder'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[next(iter(o)) + str(i) for i, (o, _) in enumerate(WRONG)])
def test_options_are_refused_before_anything_starts(
    shared_tiny: Any, home: Path, rows: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.ShadowError, match=f"(?s){message}") as caught:
        shared_tiny.train(rows, background=True, **{"max_steps": 1, **options})
    assert caught.value.fix, "the next step is missing"
    assert no_run_was_made()
    assert not hasattr(shared_tiny.module, "peft_config")


@pytest.fixture(scope="module")
def shared_tiny(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A loaded model that no test trains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield snb.load(str(tiny_model_dir), max_length=256, dtype="float32")


def test_an_optimizer_that_does_not_train_here(tiny: Any, rows: list[Any]) -> None:
    before = weights(tiny)
    with pytest.raises(errors.ConfigError, match="optim='lomo' is not an optimizer that trains here"):
        tiny.train(rows, background=False, max_steps=1, optim="lomo", **FAST)
    assert weights(tiny) == before
    check_fine(tiny, rows)


def test_another_rank_on_the_same_model(tiny: Any, rows: list[Any]) -> None:
    """Never a record that says one rank over weights of another."""
    first = tiny.train(rows, background=False, max_steps=1, **{**FAST, "lora_dropout": 0.3, "target_modules": "mlp"})
    for options, message in (
        ({"lora_r": 8}, "lora_r=8.*lora_r=4"),
        ({"lora_r": 4, "lora_alpha": 5}, "lora_alpha=5"),
        ({"lora_r": 4, "use_rslora": True}, "use_rslora=True"),
        ({"lora_r": 4, "target_modules": "all"}, "target_modules='all'"),
        ({"method": "full"}, "carries a LoRA adapter"),
    ):
        with pytest.raises(errors.MethodError, match=message):
            tiny.train(rows, background=False, max_steps=1, sample_max_new_tokens=0, **options)
    assert tiny.trained == (first.id, 1)

    # What was not given is the adapter's own, and the record says so.
    run = tiny.train(rows, background=False, max_steps=1, sample_max_new_tokens=0)
    config = run.state.record["config"]
    assert (config["lora_r"], config["lora_dropout"], config["target_modules"]) == (4, 0.3, "mlp")
    run = tiny.train(rows, background=False, max_steps=1, sample_max_new_tokens=0, lora_dropout=0.0)
    assert run.state.record["config"]["lora_dropout"] == 0.0
    saved = json.loads((run.checkpoint_at().path / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_dropout"]) == (4, 0.0)
    assert run.config.lora_r == 16, "what was asked for stays as it was"


def test_a_run_in_line_is_checked_when_its_turn_comes(tiny: Any, rows: list[Any]) -> None:
    first = tiny.train(rows, background=True, max_steps=3, **FAST)
    second = tiny.train(rows, background=True, max_steps=1, **{**FAST, "lora_r": 8})
    second.wait(timeout=60)
    assert (first.status, second.status) == ("succeeded", "failed")
    assert isinstance(second.error, errors.MethodError)
    assert tiny.trained == (first.id, 3)
    check_fine(tiny, rows)


def test_an_adapter_on_a_base_that_was_trained_is_refused(tiny: Any, rows: list[Any], tmp_path: Path) -> None:
    options = {**FAST, "max_steps": 1, "background": False}
    whole = {name: value for name, value in options.items() if name != "lora_r"}
    tiny.train(rows, method="full", **whole)
    with pytest.raises(errors.MethodError, match="this base has been trained"):
        tiny.train(rows, **options)
    merged = snb.load(str(tiny.save(tmp_path / "whole", fmt="merged")), max_length=256, dtype="float32")
    check_fine(merged, rows)


def test_a_failed_first_run_leaves_the_model_free(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights(tiny)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "compute", raising(ZeroDivisionError("boom")))
        with pytest.raises(errors.RunError):
            tiny.train(rows, background=False, max_steps=1, **FAST)
    assert weights(tiny) == before
    assert tiny.trained is None
    check_fine(tiny, rows, lora_r=8)


# -- runs and their folders ---------------------------------------------------------------------------------------------


def test_unknown_runs_have_a_closest_one(tiny: Any, rows: list[Any]) -> None:
    with pytest.raises(errors.RunNotFoundError, match="no runs yet"):
        snb.runs.latest()
    run = tiny.train(rows, background=False, max_steps=1, **FAST)
    with pytest.raises(errors.RunNotFoundError, match=f"Did you mean '{run.id}'"):
        snb.runs.load(run.id[:-1] + "x")
    assert snb.runs.load(run.path).id == run.id
    assert snb.runs.load(str(run.path)).id == run.id


def test_an_id_never_leads_outside_the_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere, home / "sibling", home / "runs" / "a" / "inner"):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    (home / "run.json").write_text("{}")
    names = ["", ".", "..", "../sibling", "../", "./", "a/inner", "elsewhere", "./elsewhere", "a", "~", "*", "a\0b"]
    for name in [*names, str(elsewhere), "/", f"../../{elsewhere.name}", "x" * 5000, "x" * 5000 + "/y"]:
        for function in (snb.runs.load, snb.runs.attach, snb.runs.delete):
            with pytest.raises(errors.RunNotFoundError):
                function(name)
    assert (elsewhere / "run.json").exists()
    assert (home / "sibling" / "run.json").exists()


def test_a_damaged_record_is_one_typed_error(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=False, max_steps=1, **FAST)
    (run.path / "run.json").write_text("{torn")
    with pytest.raises(errors.RunError, match="cannot be read"):
        snb.load(run.id)
    for shown in (repr(snb.runs.list()), snb.runs.list()._repr_html_(), str(snb.runs.list().to_frame())):
        assert run.id in shown
        assert "unreadable" in shown
    check_fine(snb.load(tiny.source, max_length=256, dtype="float32"), rows)


def test_resume_from_checkpoint(tiny: Any, rows: list[Any], tmp_path: Path, tiny_model_dir: Path) -> None:
    first = tiny.train(rows, background=False, max_steps=4, save_steps=2, **FAST)
    whole = first.checkpoint_at(2).path
    fresh = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    run = fresh.train(rows, background=False, max_steps=4, resume_from_checkpoint=str(whole), **FAST)
    assert [m["step"] for m in run.metrics] == [3, 4]
    assert run.losses() == first.losses()[2:]

    torn = tmp_path / "torn"
    shutil.copytree(whole, torn)
    file = torn / "training" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    count = len(snb.runs.list())
    for wanted, kind, message in (
        (str(torn), errors.CheckpointError, "optimizer.safetensors in torn has 50 bytes"),
        (str(tmp_path), errors.CheckpointError, "has no manifest.json"),
        (str(first.checkpoint_at(4).path), errors.CheckpointError, "max_steps=4 leaves nothing"),
        ("no-such-run", errors.CheckpointError, "resume_from_checkpoint='no-such-run'"),
    ):
        with pytest.raises(kind, match=message):
            fresh.train(rows, background=False, max_steps=4, resume_from_checkpoint=wanted, **FAST)
    assert len(snb.runs.list()) == count
    before = weights(fresh)
    other_rank = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    with pytest.raises(errors.CheckpointError, match=r"lora_r=4.*does not fit.*lora_r=2"):
        other_rank.train(
            rows, background=False, max_steps=4, resume_from_checkpoint=str(whole), **{**FAST, "lora_r": 2}
        )
    assert weights(fresh) == before
    check_fine(other_rank, rows)


# -- the disk -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Filler:
    """Takes all space of a file system, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        with open(self.file, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            size = file.tell()
            file.truncate(max(0, size - leave))

    def free(self) -> None:
        self.file.unlink()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def check_checkpoints(run: Any, steps: list[int]) -> None:
    assert [c.step for c in run.checkpoints()] == steps
    for checkpoint in run.checkpoints():
        checkpoints.verify(checkpoint.path)
    assert not list(run.folder.checkpoints.glob(".*")), "a partial folder is left"


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_really_full_disk_during_a_checkpoint(
    small_disk: Path, tiny_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(small_disk))
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    filler = Filler(small_disk)
    report = Loop.report

    def and_fill(self: Loop, *args: Any) -> None:
        report(self, *args)
        if self.step == 3:
            self.services.journal.flush()
            filler.fill(leave=100_000)  # less than a checkpoint, more than the journal needs
        if self.step == 5:
            filler.free()

    monkeypatch.setattr(Loop, "report", and_fill)
    if moment == "during":  # the look ahead misses it, as when another program fills the disk meanwhile
        monkeypatch.setattr(checkpoints, "ensure_space", lambda *_: None)
    run = model.train(rows, background=True, max_steps=6, save_steps=1, save_total_limit=10, **FAST)
    run.wait(timeout=120)
    assert run.status == "succeeded", run.traceback()
    assert [m["step"] for m in run.metrics] == [1, 2, 3, 4, 5, 6]
    found = [w for w in run.state.warnings if w["code"] == "disk-full"]
    assert [w["what"].split(" of ")[-1].split()[0:2] for w in found], found
    assert {"3", "4"} == {word.strip(":.,") for w in found for word in w["what"].split() if word.strip(":.,") in "3456"}
    assert all(w["fix"] for w in found)
    check_checkpoints(run, [1, 2, 5, 6])
    check_fine(model, rows)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), OSError(errno.EDQUOT, "Quota exceeded")])
def test_a_full_disk_during_a_checkpoint(
    tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    save = LoraAdapter.save
    calls: list[Path] = []

    def full_at_the_second(self: Any, folder: Path) -> None:
        calls.append(folder)
        save(self, folder)
        if len(calls) == 2:
            raise error

    monkeypatch.setattr(LoraAdapter, "save", full_at_the_second)
    run = tiny.train(rows, background=False, max_steps=4, save_steps=1, save_total_limit=10, **FAST)
    assert run.status == "succeeded"
    assert [w["code"] for w in run.state.warnings] == ["disk-full"]
    assert "step 2" in run.state.warnings[0]["what"]
    check_checkpoints(run, [1, 3, 4])


@pytest.mark.parametrize("kept", [1, 0])
@pytest.mark.parametrize("ending", ["the last step", "a stop"])
def test_a_disk_that_is_full_at_the_end_loses_nothing(
    tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str, kept: int
) -> None:
    straight = tiny.train(rows, background=False, max_steps=4, **FAST)
    expected = straight.checkpoint_at().manifest["trained_sha256"]
    model = snb.load(tiny.source, max_length=256, dtype="float32")
    save = LoraAdapter.save
    report = Loop.report

    def full(self: Any, folder: Path) -> None:
        save(self, folder)
        if not kept or "000001" not in folder.name:
            raise OSError(28, "full")

    def and_stop(self: Loop, *args: Any) -> None:
        report(self, *args)
        if self.step == 3:
            commands.send(self.services.folder.commands, "stop", save=True)

    with monkeypatch.context() as patch:
        patch.setattr(LoraAdapter, "save", full)
        if ending == "a stop":
            patch.setattr(Loop, "report", and_stop)
        run = model.train(rows, background=True, max_steps=4, save_steps=1, **FAST)
        run.wait(timeout=60)
    step = 3 if ending == "a stop" else 4
    assert run.status == "failed"
    assert isinstance(run.error, errors.DiskFullError)
    assert f"keeps the weights of step {step}" in run.error.why
    assert "model.save(path)" in run.error.fix
    assert model.trained == (run.id, step)
    check_checkpoints(run, [1][:kept])

    # As the error says: they can be saved, trained on, or be trained again from the newest checkpoint (or the start).
    saved = snb.load(str(model.save(tmp_path / "elsewhere")), max_length=256, dtype="float32")
    owned = adapters.digest(saved.adapter.owned())
    assert owned == adapters.digest(model.adapter.owned())
    assert (owned == expected) == (step == 4)
    follower = model.train(rows, background=True, max_steps=1, **FAST).wait(timeout=60)
    assert follower.status == "succeeded", follower.error
    assert adapters.digest(load_model(follower.folder).adapter.owned()) == owned
    run.resume().wait(timeout=60)
    assert run.status == "succeeded", run.error or run.traceback()
    assert run.checkpoint_at().manifest["trained_sha256"] == expected
    assert run.losses() == straight.losses()


FULL = """
from shadownb.engine.backends.torch.adapters.lora import LoraAdapter

def full(self, folder):
    raise OSError(28, "full")

LoraAdapter.save = full
"""


def test_a_worker_says_what_a_full_disk_took(
    tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FULL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = tiny.train(rows, background=True, max_steps=2, executor="process", **FAST).wait(timeout=120)
    assert isinstance(run.error, errors.DiskFullError), run.error
    assert "Only the worker's memory had the weights of step 2" in run.error.why
    assert tiny.trained is None
    monkeypatch.delenv("PYTHONPATH")
    run.resume().wait(timeout=120)
    assert run.status == "succeeded", run.error or run.traceback()
    assert tiny.trained == (run.id, 2)


def test_the_last_checkpoint_takes_the_place_of_earlier_ones(
    tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = LoraAdapter.save

    def room_for_two(self: Any, folder: Path) -> None:
        save(self, folder)
        if "000004" in folder.name and len(list(folder.parent.glob("step-*"))) > 1:
            raise OSError(28, "full")

    monkeypatch.setattr(LoraAdapter, "save", room_for_two)
    run = tiny.train(rows, background=False, max_steps=4, save_steps=1, save_total_limit=3, **FAST)
    assert run.status == "succeeded"
    check_checkpoints(run, [3, 4])
    assert [c["step"] for c in run.state.checkpoints] == [3, 4]
    assert tiny.trained == (run.id, 4)


def test_the_journal_keeps_events_while_the_disk_is_full(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(journal_module, "_CLOSE_SECONDS", 0.2)
    path = small_disk / "events.jsonl"
    journal = Journal(path)
    journal.append("step", step=0, text="x" * 3000)
    assert journal.flush()
    filler = Filler(small_disk)
    filler.fill()
    for step in range(1, 400):
        journal.append("step", step=step, text="x" * 50)
    assert not journal.flush(), "it says that not everything is out"
    assert isinstance(journal.write_error, OSError)
    written = [event["step"] for event in JournalReader(path)]
    assert written == list(range(len(written)))
    journal.close()  # the run ends while the disk is still full
    filler.free()
    journal._thread.join(timeout=60)
    assert not journal._thread.is_alive()
    assert [event["step"] for event in JournalReader(path)] == list(range(400))


def test_a_full_disk_at_the_start_is_a_typed_error(
    small_disk: Path, tiny_model_dir: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(small_disk))
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    (small_disk / "runs").mkdir()
    filler = Filler(small_disk)
    filler.fill()
    with pytest.raises(errors.DiskFullError, match="disk is full"):
        model.train(rows, background=False, max_steps=1, **FAST)
    filler.free()
    assert no_run_was_made()
    assert not list((small_disk / "runs").iterdir())
    check_fine(model, rows)


# -- failures while training --------------------------------------------------------------------------------------------


def fails_at(step: int, failure: Callable[[Any], None]) -> Callable[..., Any]:
    """A training step that does something bad before the given one."""
    inner = Loop.compute

    def compute(self: Loop, *args: Any) -> float:
        if self.step + 1 == step:
            failure(self)
        return inner(self, *args)

    return compute


def poison(loop: Any) -> None:
    with torch.no_grad():
        next(iter(adapters.trainable(loop.session.module).values())).fill_(float("nan"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_loss_that_becomes_nan(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    options = {**FAST, "max_steps": 5, "save_steps": 2, "method": method}
    if method == "full":
        del options["lora_r"]
    straight = tiny.train(rows, background=False, **options)
    model = snb.load(tiny.source, max_length=256, dtype="float32")
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "compute", fails_at(4, poison))
        with pytest.raises(errors.NonFiniteLossError, match="after step 3") as caught:
            model.train(rows, background=False, **options)
    assert "learning_rate" in caught.value.fix
    run = snb.runs.latest()
    assert run.status == "failed"
    assert isinstance(run.error, errors.NonFiniteLossError)
    text = (run.path / "events.jsonl").read_text()
    for line in text.splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in the journal"))
    check_checkpoints(run, [2])
    assert model.trained == (run.id, 2)
    trained = adapters.digest({n: p for n, p in model.module.named_parameters() if method == "full" or "lora_" in n})
    assert trained == run.checkpoint_at(2).manifest["trained_sha256"]
    assert all(torch.isfinite(p).all() for p in model.module.parameters())
    run = snb.runs.load(run.id)
    run.resume(model).wait(timeout=60)
    assert run.losses() == straight.losses()
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_weights_that_became_nan_are_never_saved(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    report = Loop.report

    def and_poison(self: Loop, *args: Any) -> None:
        report(self, *args)
        if self.step == 3:
            poison(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "report", and_poison)
        with pytest.raises(errors.NonFiniteLossError, match="weights"):
            tiny.train(rows, background=False, max_steps=5, save_steps=1, **FAST)
    run = snb.runs.latest()
    check_checkpoints(run, [1, 2])
    assert tiny.trained == (run.id, 2)
    check_fine(tiny, rows)


def test_a_rate_that_is_far_too_high_ends_typed_or_finite(tiny: Any, rows: list[Any]) -> None:
    run = tiny.train(rows, background=True, max_steps=6, learning_rate=10, max_grad_norm=0, **FAST)
    run.wait(timeout=60)
    assert run.status == "succeeded" or isinstance(run.error, errors.NonFiniteLossError), run.traceback()
    assert all(torch.isfinite(p).all() for p in tiny.module.parameters())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["MemoryError", "OutOfMemoryError", "allocator"],
)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_out_of_memory(tiny: Any, rows: list[Any], error: Exception, method: str) -> None:
    options = {**FAST, "max_steps": 4, "save_steps": 2, "method": method}
    if method == "full":
        del options["lora_r"]
    layer = tiny.module.get_decoder().layers[1]
    seen = {"passes": 0, "kept": []}

    def full(module: Any, inputs: Any, output: Any) -> None:
        seen["passes"] += module.training
        if module.training and seen["passes"] == 4:
            raise error

    hook = layer.mlp.register_forward_hook(full)
    try:
        with pytest.raises(errors.OutOfMemoryError, match="out of memory") as caught:
            tiny.train(rows, background=False, **options)
    finally:
        hook.remove()
    assert "max_tokens_per_forward" in caught.value.fix
    run = snb.runs.latest()
    assert "Traceback" in run.traceback()
    assert tiny.trained == (run.id, 2)
    assert all(p.grad is None for p in tiny.module.parameters()), "gradients are still held"
    assert tiny.gate.holder is None
    run.resume(tiny).wait(timeout=60)
    assert run.status == "succeeded"
    assert run.losses() and [m["step"] for m in run.metrics] == [1, 2, 3, 4]


def test_out_of_memory_frees_what_training_held(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    held: list[Any] = []

    def keep_and_fail(loop: Any) -> None:
        held.extend([weakref.ref(loop), weakref.ref(loop.session.updates.optimizer)])
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "compute", fails_at(2, keep_and_fail))
        tiny.train(rows, background=True, max_steps=3, **FAST).wait(timeout=60)
    for thread in threading.enumerate():
        if thread.name == "shadownb-train":
            thread.join(timeout=60)
    gc.collect()
    assert [kind() for kind in held] == [None, None], "the loop or its optimizer is still in memory"
    check_fine(tiny, rows)


def test_an_error_nobody_foresaw(tiny: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(loop: Any) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "compute", fails_at(3, unforeseen))
        run = tiny.train(rows, background=True, max_steps=4, save_steps=2, **FAST)
        run.wait(timeout=60)
        assert run.status == "failed"
        with pytest.raises(errors.RunError, match="ZeroDivisionError: a defect"):
            run.wait(raise_on_failure=True)
    assert type(run.error) is errors.RunError
    assert "run.traceback()" in run.error.fix
    assert "unforeseen" in run.traceback()
    assert "failed" in repr(run)
    assert tiny.trained == (run.id, 2)
    run.resume().wait(timeout=60)
    assert run.status == "succeeded"
    assert run.error is None
    check_fine(tiny, rows)


def test_a_reader_that_fails_stops_nothing(tiny: Any, rows: list[Any]) -> None:
    seen = threading.Event()

    def fails(state: Any) -> None:
        seen.set()
        raise RuntimeError("a reader's defect")

    run = tiny.train(rows, background=True, max_steps=2, **FAST)
    unsubscribe = run.subscribe(fails)
    run.wait(timeout=60)
    assert seen.wait(60)
    unsubscribe()
    assert run.status == "succeeded"


def test_a_model_that_was_unloaded(tiny: Any, rows: list[Any]) -> None:
    tiny.unload()
    for use in (lambda: tiny.train(rows, max_steps=1), lambda: tiny.generate("x"), lambda: tiny.save("x")):
        with pytest.raises(errors.ModelError, match="was unloaded"):
            use()
