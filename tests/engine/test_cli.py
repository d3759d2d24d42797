"""The shadownb command: exit codes, precedence of flags over YAML, and what goes to stdout and stderr."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from shadownb import cli, errors
from shadownb._verbs.listing import Listing
from shadownb.engine.doctor import examination as doctor
from shadownb.engine.live import duration
from shadownb.engine.runs.progress import line
from shadownb.engine.runs.state import RunState


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return (exit code, stdout, stderr) of a command."""
    code = cli.main(list(words))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


# -- help and mistakes -------------------------------------------------------------------------------------------------


def test_help_lists_the_verbs_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for verb in [
        "train",
        "chat",
        "generate",
        "runs",
        "watch",
        "plot",
        "compare",
        "facts",
        "serve",
        "batch",
        "diff",
        "inspect",
        "sweep",
        "sweeps",
        "queue",
        "notify",
        "mcp",
        "models",
        "methods",
        "certify",
        "doctor",
        "demo",
        "stop",
        "pause",
        "resume",
        "export",
        "delete",
    ]:
        assert f"\n  {verb} " in out
    assert "\n  studio " not in out


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys)
    verbs = [row.split()[0] for row in out.partition("Commands:")[2].splitlines() if row.strip()]
    for verb in verbs:
        code, text, _ = run(capsys, verb, "--help")
        assert code == 0
        assert text.startswith(f"Usage: shadownb {verb}")
        assert "PROG" not in text and "%shadow" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train"], "train needs data"),
        (["train", "support-triage", "--lora-rank", "8"], "Did you mean '--lora-r"),
        (["train", "support-triage", "--max-steps", "0"], "max_steps=0"),
        (["train", "support-triage", "--method", "lroa"], "Did you mean 'lora'?"),
        (["train", "suport-triage"], "Did you mean 'support-triage'?"),
        (
            ["train", "support-triage", "--background", "--executor", "thread"],
            "--executor process",
        ),
        (["train", "support-triage", "--config", "missing.yaml"], "missing.yaml"),
        (["generate", "smollm2-135m"], "needs a prompt"),
        (
            ["inspect", "support-triage", "--loss-on", "assistent"],
            "Did you mean 'assistant'?",
        ),
        (["export", "a-run"], "Missing option --to"),
        (
            ["inspect", "support-triage", "smollm2-135m"],
            "inspect takes the model first: shadownb inspect smollm2-135m support-triage",
        ),
        (["train", "rows.jsonl", "mine"], "train takes the model first: shadownb train mine rows.jsonl"),
        (["compare", "rows.jsonl", "mine"], "compare takes the model first: shadownb compare mine rows.jsonl"),
        (["sweep", "support-triage"], "is not OPTION=VALUES"),
        (["sweep", "support-triage", "--space", "lora_rank=4,8"], "Did you mean 'lora_r'?"),
        (["queue", "a-run"], "queue RUN --to 1"),
        (["notify", "desk"], "No channel is named 'desk'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("shadownb: ") and said in err


def test_an_engine_error_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "stop", "no-such-run")
    assert code == 1
    assert not out
    assert "no-such-run" in err and "Traceback" not in err


def test_a_missing_file_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "train", "missing.jsonl")
    assert code != 0
    assert "missing.jsonl" in err and "Traceback" not in err


def test_the_program_has_the_same_exit_codes(tmp_path: Path) -> None:
    environment = {**os.environ, "SHADOWNB_HOME": str(tmp_path)}
    for words, expected in (
        (["methods"], 0),
        (["trian"], 2),
        (["stop", "no-such-run"], 1),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "shadownb", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stderr


def test_shell_completion_is_offered(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SHADOWNB_HOME": str(tmp_path),
        "_SHADOWNB_COMPLETE": "bash_complete",
        "COMP_WORDS": "shadownb train support-triage --method qlo",
        "COMP_CWORD": "4",
    }
    code = "from shadownb.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "plain,qlora", done.stderr


# -- precedence --------------------------------------------------------------------------------------------------------


class RecordingModel:
    """Stands where a loaded model would; keeps what ``train`` was asked for."""

    quantization = None

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.loading: dict[str, Any] = {}

    def train(self, dataset: Any, **options: Any) -> Any:
        self.asked = {"dataset": dataset, **options}
        return SimpleNamespace(id="a-run", path="somewhere", status="succeeded")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> RecordingModel:
    recording = RecordingModel()

    def load(self: cli.ShellFrontEnd, name: Any, **options: Any) -> RecordingModel:
        recording.loading = {"name": name, **options}
        return recording

    monkeypatch.setattr(cli.ShellFrontEnd, "model", load)
    monkeypatch.setattr(cli.ShellFrontEnd, "watch", lambda self, run: run)
    return recording


def test_flags_win_over_yaml_and_yaml_over_defaults(
    capsys: pytest.CaptureFixture[str], model: RecordingModel, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "model: my-model\ndataset: support-triage\neval_dataset: 15%\nlora_r: 4\nlora_alpha: 8\nlearning_rate: 1e-3\n"
    )
    flags = ("--lora-r", "64", "--max-steps", "3", "--start", "base")
    code, _, err = run(capsys, "train", "--config", "recipe.yaml", *flags)
    assert code == 0, err
    assert model.loading == {"name": "my-model"}
    assert model.asked.pop("dataset").name == "support-triage.train"
    assert model.asked == {
        "eval_dataset": "15%",
        "background": True,
        "lora_r": 64,
        "lora_alpha": 8,
        "learning_rate": 0.001,
        "max_steps": 3,
        "start": "base",
    }


def test_a_flag_can_empty_what_yaml_has_set(
    capsys: pytest.CaptureFixture[str], model: RecordingModel, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text("max_steps: 4\nnum_train_epochs: 2\n")
    run(
        capsys,
        "train",
        "support-triage",
        "--config",
        "recipe.yaml",
        "--max-steps",
        "none",
    )
    assert model.asked["max_steps"] is None
    assert model.asked["num_train_epochs"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--columns", "frage=prompt,antwort=completion", "--ignore", "notiz"],
        ["--columns", "frage=prompt", "--columns", " antwort = completion ", "--ignore", "notiz"],
        ["--config", "recipe.yaml"],
    ],
    ids=["one flag", "several", "yaml"],
)
def test_columns_are_mapped_for_training_and_evaluation(
    capsys: pytest.CaptureFixture[str], model: RecordingModel, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "rows.csv").write_text("frage,antwort,notiz\nq,a,etwas langes\n", encoding="utf-8")
    (tmp_path / "held.jsonl").write_text('{"frage": "h", "completion": "b"}\n', encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text("columns: {frage: prompt, antwort: completion}\nignore: [notiz]\n")
    code, _, err = run(capsys, "train", "rows.csv", "--eval-dataset", "held.jsonl", *words)
    assert code == 0, err
    asked = [model.asked[name].canonical_row(0)["messages"][0]["content"] for name in ("dataset", "eval_dataset")]
    assert asked == ["q", "h"] and "columns" not in model.asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--columns", "frage"], "--columns 'frage' is not COLUMN=NAME"),
        (["--columns", "frage=promt"], "Did you mean 'prompt'"),
        (["--columns", "farge=prompt"], "Did you mean 'frage'"),
        (["--ignore", "notizen"], "Did you mean 'notiz'"),
    ],
)
def test_columns_that_nobody_knows_are_one_line(
    capsys: pytest.CaptureFixture[str], model: RecordingModel, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "rows.csv").write_text("frage,antwort,notiz\nq,a,etwas langes\n", encoding="utf-8")
    code, _, err = run(capsys, "train", "rows.csv", *words)
    assert code in (1, 2) and said in err and "Traceback" not in err


def test_words_are_data_or_model_and_data(capsys: pytest.CaptureFixture[str], model: RecordingModel) -> None:
    run(capsys, "train", "support-triage.heldout")
    assert model.loading["name"] == "smollm2-135m"
    assert model.asked["dataset"].name == "support-triage.heldout"
    run(capsys, "train", "some/model", "support-triage")
    assert model.loading["name"] == "some/model"
    run(capsys, "train", "support-triage", "--model", "other")
    assert model.loading["name"] == "other"
    assert run(capsys, "train", "a", "support-triage", "--model", "other")[0] == 2


def test_qlora_loads_a_quantised_base_and_says_so(capsys: pytest.CaptureFixture[str], model: RecordingModel) -> None:
    _, _, err = run(capsys, "train", "support-triage", "--method", "qlora")
    assert model.loading["quantize"] == "4bit"
    assert "--quantize 4bit" in err
    run(capsys, "train", "support-triage", "--method", "qlora", "--quantize", "8bit")
    assert model.loading["quantize"] == "8bit"


def test_background_uses_a_process_that_outlives_the_command(
    capsys: pytest.CaptureFixture[str], model: RecordingModel
) -> None:
    run(capsys, "train", "support-triage", "--background")
    assert model.asked["executor"] == "process"


def test_a_bad_option_is_found_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str], model: RecordingModel
) -> None:
    assert run(capsys, "train", "support-triage", "--lora-dropout", "2")[0] == 2
    assert not model.loading


# -- watching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [("succeeded", 0), ("failed", 1), ("stopped", 1), ("interrupted", 1)],
)
def test_only_success_is_exit_code_0(capsys: pytest.CaptureFixture[str], status: str, expected: int) -> None:
    error = errors.OutOfMemoryError("Out of memory.", why="3 GB needed.", fix="Use qlora.")
    ended = SimpleNamespace(
        id="r",
        path="p",
        status=status,
        is_active=False,
        state=RunState(status=status),
        error=error if status == "failed" else None,
        reach="adapters on 14 layers",
    )
    front_end = cli.ShellFrontEnd()
    try:
        front_end.watch(ended)  # type: ignore[arg-type]
        code = 0
    except click.exceptions.Exit as done:
        code = done.exit_code
    assert code == expected
    err = capsys.readouterr().err
    if status == "failed":
        assert "Out of memory.\nWhy: 3 GB needed.\nNext: Use qlora." in err
    assert ("shadownb resume r" in err) == (status != "succeeded")
    assert ("Trained: adapters on 14 layers." in err) == (status == "succeeded")


def test_ctrl_c_while_training_stops_and_saves_and_while_watching_only_detaches() -> None:
    class Interrupted(SimpleNamespace):
        """A run whose first look is interrupted."""

        asked: tuple[str, ...] = ()

        @property
        def state(self) -> RunState:
            if not self.looked:
                self.looked = True
                raise KeyboardInterrupt
            return RunState(status="stopped")

        def stop(self, save: bool = True) -> None:
            self.asked += (f"stop save={save}",)

    def run_once() -> Interrupted:
        return Interrupted(
            id="r",
            path="p",
            status="stopped",
            error=None,
            looked=False,
        )

    trained = run_once()
    with pytest.raises(click.exceptions.Exit):
        cli.ShellFrontEnd().watch(trained)  # type: ignore[arg-type]
    assert trained.asked == ("stop save=True",)
    watched = run_once()
    with pytest.raises(KeyboardInterrupt):
        cli.ShellFrontEnd().attach(watched)  # type: ignore[arg-type]
    assert watched.asked == ()


def test_progress_says_estimating_until_the_time_is_known() -> None:
    state = RunState(
        status="running",
        total_steps=40,
        step=3,
        phase={"name": "training", "done": 3, "total": 40, "unit": "steps"},
    )
    state.last = {"loss": 1.23456, "tokens_per_s": 170.2}
    assert line(state) == "training 3/40 steps  loss 1.2346  170 tokens/s  time left: estimating"
    state.eta_s = 200.4
    assert line(state).endswith("  3 min 20 s left")
    state.phase = {"name": "tokenising", "done": 10, "total": 96, "unit": "rows"}
    assert line(state).startswith("tokenising 10/96 rows")


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 3725)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "1 h 2 min",
    ]


# -- from data to an exported model, on a tiny random model ------------------------------------------------------------


@pytest.mark.other_cpu("auto")
def test_the_whole_way(capsys: pytest.CaptureFixture[str], tiny_model_dir: Path, tmp_path: Path, home: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for n in range(8)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, out, err = run(
        capsys, "train", "rows.jsonl", "--model", str(tiny_model_dir), "--max-steps", "3", "--lora-r", "4",
        "--eval-dataset", "0.25", "--sample-max-new-tokens", "0",
    )  # fmt: skip
    assert code == 0, err
    (folder,) = (home / "runs").iterdir()
    assert f"shadownb chat {folder.name}" in err
    assert "3/3" in err  # progress without a terminal, as lines
    assert "succeeded" in out

    _, listed, _ = run(capsys, "runs")
    assert folder.name in listed and "succeeded" in listed
    assert run(capsys, "runs", "--status", "failed")[1] == "no runs yet\n"

    assert "loss" in run(capsys, "plot")[1]
    drawn = run(capsys, "plot", "--window", "2", "--log", "--clip", "1", "--smooth", "0")[1]
    assert "log scale" in drawn and drawn.rstrip().endswith("2 to 3")
    assert run(capsys, "plot", folder.name, "--to", "curves.html")[:2] == (
        0,
        "curves.html\n",
    )
    assert "plotly" in (tmp_path / "curves.html").read_text()
    code, _, err = run(capsys, "diff")
    assert code and "diff() got 1 run." in err and "at least two run ids" in err
    code, table, _ = run(capsys, "diff", folder.name, folder.name)
    assert code == 0 and table.count(folder.name) == 2 and "peak memory" in table

    code, out, err = run(
        capsys,
        "generate",
        folder.name,
        "hello",
        "--max-new-tokens",
        "4",
        "--temperature",
        "0",
    )
    assert code == 0 and out.strip(), err
    code, again, _ = run(
        capsys,
        "chat",
        folder.name,
        "hello",
        "--max-new-tokens",
        "4",
        "--temperature",
        "0",
    )
    assert (code, again) == (0, out)

    code, out, err = run(capsys, "inspect", str(tiny_model_dir), "rows.jsonl", "--row", "1")
    assert code == 0 and "yes" in out, err
    options = ["inspect", "rows.jsonl", "--model", str(tiny_model_dir), "--method", "lora", "--max-length"]
    assert "8 tokens, " in run(capsys, *options, "8")[1]
    assert "max_length=4" in run(capsys, *options, "4")[2]

    assert run(capsys, "export", folder.name, "--to", "mine")[:2] == (0, "mine\n")
    assert (tmp_path / "mine" / "adapter_model.safetensors").is_file()

    assert run(capsys, "stop", folder.name)[0] == 1  # it has ended
    assert run(capsys, "resume", folder.name)[0] == 1
    assert run(capsys, "delete", folder.name, "--yes")[0] == 0
    assert not list((home / "runs").glob("[!.]*"))


def test_a_conversation_is_read_line_by_line(
    capsys: pytest.CaptureFixture[str],
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\nand now?\n\nnever read\n"))
    code, out, err = run(
        capsys,
        "chat",
        str(tiny_model_dir),
        "--max-new-tokens",
        "3",
        "--temperature",
        "0",
    )
    assert code == 0, err
    assert len(out.splitlines()) >= 2


def test_the_exit_code_of_the_demo_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, expected in ((None, 0), (0, 0), (3, 3)):
        monkeypatch.setitem(sys.modules, "shadownb.demo", SimpleNamespace(main=lambda code=code: code))
        monkeypatch.delattr("shadownb.demo", raising=False)
        assert cli.main(["demo"]) == expected


def test_without_a_name_stop_and_pause_mean_the_run_that_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(name: str, active: bool) -> Any:
        return SimpleNamespace(
            is_active=active, stop=lambda: f"stop {name}", pause=lambda: f"pause {name}", plot=lambda _: name
        )

    newest, older = recorded("newest", active=False), recorded("older", active=True)
    monkeypatch.setattr("shadownb.engine.runs.active", lambda: [older])
    monkeypatch.setattr("shadownb.engine.runs.latest", lambda: newest)
    assert run(capsys, "stop")[1] == "stop older\n"
    assert run(capsys, "pause")[1] == "pause older\n"
    assert run(capsys, "plot")[1] == "newest\n"


def test_deleting_asks_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.ShellFrontEnd, "run", lambda self, name: SimpleNamespace(id=name))
    monkeypatch.setattr(
        "shadownb.engine.runs.delete",
        lambda run_id: pytest.fail("deleted without a yes"),
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(capsys, "delete", "a-run")[0] == 130


# -- tables and the doctor ---------------------------------------------------------------------------------------------


def test_a_listing_is_a_list_with_a_table() -> None:
    listing = Listing([1, 2, 3], {"number": str, "<square>": lambda n: n * n}, empty="Nothing.")
    assert listing == [1, 2, 3] and listing[1] == 2
    assert str(listing).splitlines() == [
        "number  <square>",
        "1       1",
        "2       4",
        "3       9",
    ]
    assert str(listing[:1]).splitlines() == ["number  <square>", "1       1"]
    assert "&lt;square&gt;" in listing._repr_html_()
    assert str(listing[3:]) == "Nothing."


def test_runs_is_empty_at_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "runs")[:2] == (0, "no runs yet\n")


def test_models_and_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "smollm2-135m" in run(capsys, "models")[1]
    assert "qlora" in run(capsys, "methods", "--data", "support-triage")[1]


def test_doctor_examines_this_machine(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    code, out, _ = run(capsys, "doctor")
    names = {line.name for line in doctor.doctor().lines}
    assert {
        "Python",
        "torch",
        "transformers",
        "peft",
        "kernel",
        "cpu",
        "memory",
        "home",
        "models",
    } <= names
    assert str(home) in out
    assert code == (0 if doctor.doctor().ok else 1)


def test_doctor_names_what_to_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "peft":
            raise doctor.metadata.PackageNotFoundError(name)
        return real(name)

    real = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", version)
    report = doctor.doctor()
    found = next(line for line in report.lines if line.name == "peft")
    assert found.status == "fix" and found.fix.startswith("pip install peft")
    assert not report.ok
    assert "Not ready: 1 to fix" in str(report) and "Not ready" in report._repr_html_()


def test_doctor_compares_versions_with_what_shadownb_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["peft>=99", "torch>=1"])
    lines = {line.name: line for line in doctor.doctor().lines}
    assert lines["peft"].status == "fix" and "needs >=99" in lines["peft"].found
    assert lines["torch"].status == "ok"


def test_doctor_knows_a_full_disk_and_a_home_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    assert next(line for line in doctor.doctor().lines if line.name == "home").status == "warn"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert next(line for line in doctor.doctor().lines if line.name == "home").status == "fix"


def test_doctor_tells_a_kernel_with_subshells_from_one_without() -> None:
    for able, status in ((True, "ok"), (False, "warn")):
        report = doctor.doctor(kernel=SimpleNamespace(_supports_kernel_subshells=able))
        assert next(line for line in report.lines if line.name == "kernel").status == status


def test_doctor_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("the doctor must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert doctor.doctor().lines


def test_models_are_fetched_deleted_after_asking_and_a_token_is_never_an_argument(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # a process of its own fetches
    assert run(capsys, "models", "cached")[:2] == (0, "The hub's cache holds no model.\n")
    snapshot = tmp_path / "models--me--mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"w" * 2_000_000)
    assert "a part: fetch goes on with it" in run(capsys, "models", "cached")[1]
    code, _, told = run(capsys, "models", "fetch", "me/mine")
    assert code != 0 and "HF_HUB_OFFLINE is set" in told
    assert "needs a model" in run(capsys, "models", "fetch")[2]
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert run(capsys, "models", "delete", "me/mine")[0] == 130 and snapshot.exists()
    assert "Freed 2 MB" in run(capsys, "models", "delete", "me/mine", "--yes")[2] and not snapshot.exists()
    assert "not in the hub's cache" in run(capsys, "models", "delete", "me/mine")[2]
    monkeypatch.setattr("getpass.getpass", lambda _: "hf_secret")
    code, out, told = run(capsys, "models", "login")
    assert code != 0 and "the token was not kept" in told and "hf_secret" not in out + told
    assert "takes no name" in run(capsys, "models", "login", "hf_secret")[2]
