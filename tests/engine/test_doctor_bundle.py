"""The archive for a bug report says how runs went, and nothing of what they were about: canaries are planted everywhere."""

from __future__ import annotations

import base64
import json
import sys
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb import cli
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.doctor import bundle as bundling
from shadownb.engine.doctor.vocabulary import LEFT_OUT, Vocabulary, ours
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.store import FolderStore
from shadownb.errors import ConfigError

# A secret of each kind, by the place where it is planted. Some are words, some look like keys, some are in odd characters.
PLANTED = {
    "environment": "sk-proj-Zq8Lr2Vx9Kd4Tn7Bw1Hc6Jf3",
    "environment, short": "hunter2!",
    "environment, in an address": 'p4ss/w"ord+Ümläut',
    "environment, by a name of ours": "quokka-lagoon-value",
    "capture settings": "Bearer 9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "capture name": "capture-of-kiwiberry",
    "row": "Mrs Thistledown of 12 Acacia Avenue",
    "row, a number": "4111111111111111",
    "answer": "the wombat ledger closes at dawn",
    "system prompt": 'You are the oracle of Zanzibar Holdings\nand never say "no"',
    "tool": "lookup_falconry_account",
    "sample prompt": "Ask about operation Moonquake",
    "option": "planted_optimizer_marmalade",
    "error": "could not dial db-17.internal.periwinkle.example",
    "warning": "the row said gooseberry-fool",
    "field name": "patient_dragonfly_id",
    "worker log": "POST body was tangerine dream",
    "home": "home-of-persimmon",
    "model folder": "elderflower-70b-confidential",
    "data file": "layoffs-walnut.jsonl",
    "home's file": "snowdrop-merged",
    "method": "nightingale",
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, byte_model_dir: Path) -> Iterator[Path]:
    """A home with a run that failed, full of secrets; returned is its folder."""
    root = tmp_path_factory.mktemp("planted")
    home, model = root / PLANTED["home"], root / PLANTED["model folder"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(home))
        patch.setenv("OPENAI_API_KEY", PLANTED["environment"])
        patch.setenv("DB_PASSWORD", PLANTED["environment, short"])
        patch.setenv("COMPANY_INDEX", f"https://me:{PLANTED['environment, in an address']}@example.org")
        patch.setenv("OMP_WAIT_POLICY", PLANTED["environment, by a name of ours"])
        model.symlink_to(byte_model_dir)
        data = root / PLANTED["data file"]
        data.write_text("".join(json.dumps(row) + "\n" for row in _rows()), encoding="utf-8")
        (root / f"{PLANTED['option']}.py").write_text(
            "import torch\n"
            "class Failing(torch.optim.SGD):\n"
            "    def step(self, *args, **options):\n"
            f"        raise RuntimeError({PLANTED['error']!r})\n"
            "def make(parameters, **options):\n"
            "    return Failing(parameters, lr=0.1)\n",
            encoding="utf-8",
        )
        patch.syspath_prepend(str(root))
        _train(model, data)
        _tamper(FolderStore(home).all()[0], home)
        yield home
    sys.modules.pop(PLANTED["option"], None)


def _rows() -> list[dict[str, Any]]:
    tools = [{"type": "function", "function": {"name": PLANTED["tool"], "description": "", "parameters": {}}}]
    rows: list[dict[str, Any]] = [
        {
            "messages": [
                {"role": "system", "content": PLANTED["system prompt"]},
                {"role": "user", "content": f"{PLANTED['row']} {PLANTED['row, a number']} {number}"},
                {"role": "assistant", "content": PLANTED["answer"]},
            ],
            "tools": tools,
        }
        for number in range(4)
    ]
    return [*rows, {"messages": [{"role": "user", PLANTED["field name"]: PLANTED["row"]}]}]


def _train(model: Path, data: Path) -> None:
    snb.methods.register(snb.methods.get("lora").replace(name=PLANTED["method"]))
    try:
        run = snb.load(str(model), dtype="float32").train(
            snb.Dataset.load(data),
            method=PLANTED["method"],
            max_steps=2,
            lora_r=2,
            optim=f"{PLANTED['option']}:make",
            sample_prompts=[PLANTED["sample prompt"]],
            sample_max_new_tokens=0,
            background=True,
        )
        run.wait()
    finally:
        snb.methods.unregister(PLANTED["method"])
    assert run.status == "failed" and PLANTED["error"] in run.traceback()


def _tamper(folder: RunFolder, home: Path) -> None:
    """Add what other failures would leave, and captures, adapters and models."""
    event = {
        "seq": 900,
        "time": 1.0,
        "type": "warning",
        "code": "data",
        "what": f"2 of 5 rows of {PLANTED['data file']} cannot be used and are left out.",
        "why": f"row 3: {PLANTED['warning']}",
        "fix": PLANTED["row"],
        PLANTED["field name"]: 4111111111111111,
        "metrics": {PLANTED["field name"]: {"value": PLANTED["row"]}, "loss": 1.25},
    }
    with open(folder.events, "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n{torn " + PLANTED["row"])
    folder.worker_log.write_text(
        f"{PLANTED['worker log']}\nTraceback (most recent call last):\n"
        f'  File "/srv/{PLANTED["model folder"]}/own.py", line 3, in {PLANTED["tool"]}\n    x = "{PLANTED["answer"]}"\n'
        f"ValueError: {PLANTED['error']}\nand then {PLANTED['worker log']}\n",
        encoding="utf-8",
    )
    (home / "adapters" / PLANTED["home's file"]).mkdir(parents=True)
    (home / "models" / PLANTED["home's file"]).mkdir(parents=True)
    capture = CaptureFolder.create(PLANTED["capture name"], home)
    capture.database.touch()
    capture.write_facts({"target": f"https://{PLANTED['capture name']}.example", "key": PLANTED["capture settings"]})


@pytest.fixture(scope="module")
def archive(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The archive of that home, unpacked."""
    written = bundling.write_bundle(tmp_path_factory.mktemp("archive") / "bundle.zip")
    with zipfile.ZipFile(written.path) as opened:
        assert [name for name, _ in written.contents] == opened.namelist()
        return {name: opened.read(name) for name in opened.namelist()}


def spellings(secret: str) -> set[bytes]:
    """Return the ways in which a secret may stand in a file, whole lines of it too."""
    found = set()
    for text in (secret, *secret.splitlines()):
        plain = text.encode()
        found |= {
            plain,
            plain.hex().encode(),
            urllib.parse.quote(text, safe="").encode(),
            urllib.parse.quote(text).encode(),
        }
        found |= {urllib.parse.quote_plus(text).encode()}
        found |= {json.dumps(text, ensure_ascii=flag)[1:-1].encode() for flag in (True, False)}
        for before in range(3):
            whole = base64.b64encode(b"\0" * before + plain)
            core = whole[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
            found |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def leaks(files: dict[str, bytes]) -> list[str]:
    """Return what of the planted secrets stands in files or their names, in whatever spelling and letters."""
    return [
        f"{kind} in {name}"
        for name, content in files.items()
        for kind, secret in PLANTED.items()
        if any(form.lower() in content.lower() or form.lower() in name.encode().lower() for form in spellings(secret))
    ]


def test_no_secret_is_in_the_archive(archive: dict[str, bytes]) -> None:
    assert not leaks(archive)


def test_the_search_finds_what_was_planted(planted: Path) -> None:
    """Or the test above would pass for nothing: all but the environment's stand in the files that the archive is made of."""
    files = {
        str(path.relative_to(planted.parent)): path.read_bytes() if path.is_file() else b""
        for path in planted.rglob("*")
    }
    kinds = {found.partition(" in ")[0] for found in leaks(files)}
    assert not {kind for kind in PLANTED if not kind.startswith("environment")} - kinds


@pytest.mark.parametrize(
    "spell", [str, urllib.parse.quote, lambda text: base64.b64encode(f"xy{text}".encode()).decode()]
)
def test_a_key_of_the_environment_is_taken_out_of_any_text(planted: Path, spell: Any) -> None:
    """Should one ever come through the rest: the last gate knows every spelling."""
    for kind in ("environment", "environment, in an address"):
        assert not leaks({"file": bundling._cleaned(f"before {spell(PLANTED[kind])} after").encode()})


def test_a_short_password_is_taken_out_and_a_word_of_ours_that_is_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2!")
    monkeypatch.setenv("SOME_KEY", "succeeded")
    assert bundling._cleaned('{"status": "succeeded", "by": "hunter2!"}') == '{"status": "succeeded", "by": "[key]"}'


def test_how_the_run_went_is_in_it(archive: dict[str, bytes]) -> None:
    run = next(name.split("/")[1] for name in archive if name.startswith("runs/"))
    assert run.startswith("1-") and "-method-" in run, "the method's name is the user's"
    events = [json.loads(line) for line in archive[f"runs/{run}/journal.jsonl"].splitlines()]
    kinds = [event["type"] for event in events]
    assert {"created", "attempt", "plan", "record", "end"} <= set(kinds)
    end = next(event for event in events if event["type"] == "end")
    assert end["status"] == "failed" and end["error"]["what"] == f"Training failed: RuntimeError: {LEFT_OUT}"
    told = next(event for event in events if event["type"] == "traceback")["text"]
    assert 'File "shadownb/engine/runs/loop.py", line ' in told and f"RuntimeError: {LEFT_OUT}" in told
    warning = next(event for event in events if event.get("seq") == 900)
    assert warning["what"] == f"2 of 5 rows of {LEFT_OUT} cannot be used and are left out."
    assert warning["metrics"] == {"loss": 1.25, LEFT_OUT: "1 field"}
    options = json.loads(archive[f"runs/{run}/options.json"])
    assert (options["max_steps"], options["lora_r"], options["optim"]) == (2, 2, LEFT_OUT)
    assert b"ValueError" in archive[f"runs/{run}/tracebacks-of-worker.txt"]


def test_the_machine_is_in_it(archive: dict[str, bytes]) -> None:
    assert b"transformers==" in archive["packages.txt"] and b"OPENAI_API_KEY is set" in archive["environment.txt"]
    assert b"OMP_WAIT_POLICY is set" in archive["environment.txt"], "a value that is none of this variable's"
    assert b"captures: 1 capture" in archive["storage.txt"] and b"SHADOWNB_HOME" in archive["doctor.txt"]
    assert json.loads(archive["hardware.json"])["cores"] >= 1
    assert all(content.decode() for content in archive.values())


def test_the_command_prints_what_is_in_it_and_what_is_not(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor", "--bundle"]) == 0
    (written,) = tmp_path.iterdir()
    out = capsys.readouterr().out
    assert written.name.startswith("shadownb-doctor-") and written.name in out
    assert "environment.txt" in out and "Left out:" in out and "rows, prompts, answers and samples" in out
    before = written.read_bytes()
    assert cli.main(["doctor", "--bundle", written.name]) == 2
    assert "exists already" in capsys.readouterr().err and written.read_bytes() == before
    with pytest.raises(ConfigError, match="no folder"):
        bundling.write_bundle(tmp_path / "none" / "bundle.zip")
    assert cli.main(["doctor", "--bundle", "--clean"]) == 2


def test_a_home_without_runs_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    assert not any("runs/" in name for name, _ in bundling.write_bundle(tmp_path / "none.zip").contents)
    (tmp_path / "home").write_text("a file")
    with zipfile.ZipFile(bundling.write_bundle(tmp_path / "file.zip").path) as opened:
        assert b"fix home SHADOWNB_HOME, is no folder" in b" ".join(opened.read("doctor.txt").split())


def test_a_damaged_run_is_what_somebody_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    odd = tmp_path / "runs" / "20261122-090000-lora-1a2b"
    odd.mkdir(parents=True)
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    events: list[Any] = [
        {"seq": 1, "time": float("nan"), "type": "warning", "what": "\ud800 gooseberry", "why": None, "fix": 3},
        {"seq": 2, "time": 2, "type": "step", "loss": deep},
    ]
    (odd / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n\0\0\n")
    (odd / "config.yaml").write_text("!!python/object/apply:os.system ['false']")
    (odd / "worker.log").write_bytes(b'\xffTraceback (most recent call last):\n  File "x\n')
    for record, told in (("{", b"cannot be read: RunError"), (json.dumps({"format": 2, "model": []}), b'"model": []')):
        (odd / "run.json").write_text(record)
        file = tmp_path / "bundle.zip"
        file.unlink(missing_ok=True)
        with zipfile.ZipFile(bundling.write_bundle(file).path) as opened:
            files = {name.rpartition("/")[2]: opened.read(name) for name in opened.namelist()}
        assert told in files["run.json"] and files["options.json"].startswith(b"cannot be read")
        first, second = map(json.loads, files["journal.jsonl"].splitlines())
        assert first["what"] == LEFT_OUT and LEFT_OUT in json.dumps(second["loss"])
        assert b"could not be looked at" not in files["doctor.txt"]


def test_a_finding_that_fails_is_told_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from shadownb.engine.doctor import examination, storage

    def fail() -> None:
        raise OSError("gooseberry")

    monkeypatch.setattr(storage, "lines", fail)
    report = examination.doctor()
    found = next(line for line in report.lines if line.name == "storage")
    assert found.status == "warn" and "OSError: gooseberry" in found.found and report.lines[-1].name != "Python"
    assert "gooseberry" not in str(report.for_others())


# -- the vocabulary ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "There is no run 'my-secret'. Did you mean 'foo-bar'?",
            f"There is no run {LEFT_OUT}. Did you mean {LEFT_OUT}?",
        ),
        ("dataset: none of its 3 rows can be used.", "dataset: none of its 3 rows can be used."),
        ("smollm2-135m", "smollm2-135m"),
        ("model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.down_proj.weight"),
        ("db.internal.example.com", LEFT_OUT),
        ("12 of 30", LEFT_OUT),
        ("4111111111111111", LEFT_OUT),
        ("+49 30 1234567", LEFT_OUT),
        ("0.53 GB", "0.53 GB"),
        ("", ""),
    ],
)
def test_only_words_of_the_source_are_told(text: str, told: str) -> None:
    assert ours().told(text) == told


def test_the_template_with_most_words_decides_and_what_is_put_in_is_judged_alone() -> None:
    words = Vocabulary(['f"{a} is not among the rows of {b}"\nf"{a} is not among {b} of them"\n"label"\nx = 1'])
    assert words.told("secret is not among the rows of label") == f"{LEFT_OUT} is not among the rows of label"
    assert words.told("secret is not among") == LEFT_OUT
    assert words.told("x" * 30_000) == LEFT_OUT
