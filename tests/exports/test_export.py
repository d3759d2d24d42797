"""model.export: each format is written whole or not at all, loaded by its engine, measured, and says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb.engine import registry
from shadownb.engine.disk import sha256_of
from shadownb.engine.exporters import environments
from shadownb.engine.exporters.modelfile import turns_of
from shadownb.engine.exporters.rounding import rounded
from shadownb.engine.exports.quality import Quality
from shadownb.engine.exports.recommending import recommended
from shadownb.errors import ConfigError, DiskFullError, ExportError, MissingDependencyError
from tests import mlx
from tests.exports.conftest import ROWS

ASKED = [row["messages"][:2] for row in ROWS[:6]]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 6}


def answers(model: Any) -> list[str]:
    return [reply.content for reply in model.chat(ASKED, system=None, **GREEDY)]


def test_a_gguf_is_measured_by_llamacpp_and_says_what_it_is(tuned: Any, tmp_path: Path) -> None:
    found = tuned.export(tmp_path / "out", format="gguf", quant="q8_0", compare=["f32"], scorer="exact")
    assert {"Modelfile", "README.md", "export.json", "tokenizer.json"} < set(found.files)
    small, exact = found.quality
    assert small.name == "q8_0" and small.engine.startswith("xllamacpp") and small.types["q8_0"] > 0
    assert exact.kl < 1e-4 < small.kl < 0.05 and exact.size > 3 * small.size
    assert small.tokens > 0 and small.score is not None and small.difference is not None
    assert small.load_seconds and small.memory
    assert "q8_0" in found.recommendation
    said = json.loads((tmp_path / "out" / "export.json").read_text())
    assert [each["name"] for each in said["quality"]] == ["q8_0", "f32"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert tuned.trained[0] in card and "q8_0" in card and 'license: "unknown"' in card
    assert "12 rows of" in card and "4 rows were held out" in card
    assert found.plot().data and "q8_0" in found._repr_html_()
    assert not list(tmp_path.glob(".comparing-*")), "what was only compared is gone"


def test_a_gguf_answers_as_the_model_and_as_it_was_trained(tuned: Any, tmp_path: Path) -> None:
    tuned.export(tmp_path / "out", quant="f32", report=False)
    loaded = snb.load(str(tmp_path / "out"), backend="llamacpp")
    assert answers(loaded) == answers(tuned)
    assert loaded.trained_on.system.value == "Answer with one word."
    assert loaded.generate("Number 3?", **GREEDY) == tuned.generate("Number 3?", **GREEDY)
    assert loaded.dtype_name == "f32" and loaded.renderer.stop_token_ids == tuned.renderer.stop_token_ids
    assert loaded.weights.file.said("tokenizer.ggml.eos_token_id") == str(tuned.renderer.stop_token_ids[0])
    assert loaded.weights.file.said("tokenizer.chat_template") == tuned.renderer.chat_template
    loaded.unload()


@pytest.mark.parametrize("options", [{"format": "gguf", "quant": "q4_k_m"}, {"format": "merged", "dtype": "bfloat16"}])
def test_the_same_model_gives_the_same_bytes(tuned: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    sums = []
    for place in ("one", "two"):
        tuned.export(tmp_path / place, report=False, **options)
        weights = [*(tmp_path / place).glob("*.gguf"), *(tmp_path / place).glob("*.safetensors")]
        sums.append([sha256_of(file) for file in weights])
    assert sums[0] == sums[1] and sums[0]


def test_seeded_rounding_is_right_on_average_and_to_the_nearest_is_the_frameworks() -> None:
    import torch

    values = np.linspace(-3.0, 3.0, 20001, dtype=np.float32)
    for dtype, bits in (("bfloat16", 16), ("float16", 13)):
        nearest = rounded(values, dtype, "nearest", 0)
        theirs = torch.from_numpy(values).to(getattr(torch, dtype)).view(torch.int16).numpy()
        assert (nearest.view(np.int16) == theirs).all()
        seeded = rounded(values, dtype, "seeded", 7)
        assert (seeded == rounded(values, dtype, "seeded", 7)).all() and not (
            seeded == rounded(values, dtype, "seeded", 8)
        ).all()
        wide = (seeded.astype(np.uint32) << 16).view(np.float32) if bits == 16 else seeded.astype(np.float32)
        off = wide - values
        assert np.abs(off).max() < (2.0**-6 if bits == 16 else 2.0**-9), "never more than one step"
        assert abs(off.mean()) < np.abs(off).mean() / 20
    exact = np.array([1.5, -0.25, 0.0], np.float32)
    assert (rounded(exact, "float16", "seeded", 1).astype(np.float32) == exact).all()


def test_a_merge_in_16_bits_keeps_small_changes_only_when_it_is_seeded(tuned: Any, tmp_path: Path) -> None:
    nearest = {"format": "merged", "dtype": "bfloat16", "rounding": "nearest"}
    found = tuned.export(tmp_path / "out", format="merged", dtype="bfloat16", compare=[nearest])
    assert [each.name for each in found.quality] == ["merged bfloat16", "merged bfloat16 nearest"]
    assert set(found.quality[0].types) == {"bf16"}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "bfloat16" in (config.get("dtype"), config.get("torch_dtype"))


def test_an_adapter_in_gguf_answers_as_the_merged_model(tuned: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    base = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    base.export(tmp_path / "base", quant="f32", report=False)
    tuned.export(tmp_path / "lora", format="gguf-lora", report=False)
    loaded = snb.load(str(tmp_path / "base"), backend="llamacpp")
    untrained = answers(loaded)
    assert untrained == answers(base)
    assert [
        reply.content for reply in loaded.chat(ASKED, system=None, use=tuned.save(tmp_path / "peft"), **GREEDY)
    ] == answers(tuned)
    loaded.load_adapter(tmp_path / "lora", None)
    assert answers(loaded) == answers(tuned) != untrained
    assert [reply.content for reply in loaded.chat(ASKED, system=None, use="base", **GREEDY)] == untrained
    loaded.unload()


def test_what_cannot_be_is_refused_before_anything_is_written(
    tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "none"
    for options, error, said in (
        ({"format": "gguff"}, ExportError, "Did you mean 'gguf'"),
        ({"quant": "q4_k"}, ExportError, "q4_k_m"),
        ({"quantt": "q8_0"}, ConfigError, "Did you mean 'quant'"),
        ({"format": "merged", "quant": "q8_0"}, ConfigError, "dtype, rounding"),
        ({"format": "merged", "dtype": "int8"}, ConfigError, "dtype='int8'"),
        ({"converter": "mine"}, ConfigError, "converter='mine'"),
        ({"compare": ["q9"]}, ExportError, "format='q9'"),
        ({"scorer": "exat"}, ConfigError, "exat"),
    ):
        with pytest.raises(error, match=said):
            tuned.export(target, **options)
    monkeypatch.setattr(tuned, "quantization", "4bit")
    with pytest.raises(ExportError, match=r"the base is 4bit[\s\S]*adapter=path"):
        tuned.export(target, report=False)
    assert not target.exists()


def test_without_llamacpp_plain_formats_are_written_and_others_say_what_is_missing(
    tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned.export(tmp_path / "with", quant="q8_0", report=False)
    monkeypatch.setattr("shadownb.engine.backends.llamacpp.bindings.missing", lambda: True)
    with pytest.raises(MissingDependencyError, match=r"q4_k_m[\s\S]*shadownb\[gguf\]"):
        tuned.export(tmp_path / "none", quant="q4_k_m")
    tuned.export(tmp_path / "without", quant="q8_0", report=False)
    files = [next((tmp_path / place).glob("*.gguf")) for place in ("with", "without")]
    assert sha256_of(files[0]) == sha256_of(files[1]), "gguf's own functions write the bytes of ggml's"


def test_a_full_disk_and_a_kill_leave_what_was_there(
    tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine.exporters import gguf

    folder = tmp_path / "out"
    tuned.export(folder, quant="q8_0", report=False)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for error, expected in (
        (OSError(28, "No space left on device"), DiskFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def broken(*_: Any, error: BaseException = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(gguf.written, "write_model", broken)
        with pytest.raises(expected):
            tuned.export(folder, quant="f16", report=False)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_process_that_is_killed_while_it_writes_leaves_no_half_file(byte_model_dir: Path, tmp_path: Path) -> None:
    """Killed before the last file is in place; the next export cleans up what was left aside."""
    program = f"""
import os, shadownb as snb
from shadownb.engine.gguf import model as written
write = written.quantised
def kills(*args):
    os.kill(os.getpid(), 9)
written.quantised = kills
snb.load({str(byte_model_dir)!r}, dtype="float32").export({str(tmp_path / "out")!r}, report=False)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -9, done.stderr
    assert not list((tmp_path / "out").glob("*.gguf"))
    base = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    base.export(tmp_path / "out", report=False)
    assert not list((tmp_path / "out").glob(".saving-*")) and list((tmp_path / "out").glob("*.gguf"))


def test_offline_a_tool_that_was_not_prepared_says_what_to_fetch(
    tuned: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    tool = environments.Environment("awq", ("no-such-tool==1.0",), "quantising")
    monkeypatch.setattr(environments, "AUTO_ROUND", tool)
    with pytest.raises(MissingDependencyError, match=r"no-such-tool==1\.0[\s\S]*shadownb export --prepare awq"):
        tuned.export(tmp_path / "none", format="awq", calibration=ROWS)
    assert "Fetching no-such-tool==1.0" in capfd.readouterr().err
    assert not (tmp_path / "none").exists() and not list((home / "tools").iterdir())


def test_the_modelfile_writes_conversations_as_the_template_does(tuned: Any, tmp_path: Path) -> None:
    turns = turns_of(tuned)
    assert turns is not None
    messages = ROWS[0]["messages"][:2]
    assert turns.written(messages) == tuned.tokenizer.decode(tuned.renderer.render_prompt(messages))
    tuned.export(tmp_path / "out", quant="f16", report=False)
    said = (tmp_path / "out" / "Modelfile").read_text()
    assert (
        'SYSTEM """Answer with one word."""' in said
        and 'PARAMETER stop "<|im_end|>"' in said
        and "{{ .Content }}" in said
    )


def test_a_larger_file_that_is_worse_is_told_and_not_recommended() -> None:
    def of(name: str, size: int, kl: float, **types: int) -> Quality:
        return Quality(name, "x", size, kl=kl, top1=0.99, types=types)

    files = [
        of("q5_k_m", 112, 0.04, q5_1=166, q5_k=16),
        of("q4_k_m", 105, 0.02, q5_0=166, q4_k=16),
        of("q2_k", 80, 0.4),
    ]
    chosen, why = recommended(files)
    assert chosen is not None and chosen.name == "q4_k_m"
    assert (
        "q5_k_m is larger than q4_k_m and worse (KL 0.04 against 0.02): rows of this model are no multiple of 256"
        in why
    )
    assert "q2_k is smaller, but KL 0.4" in why
    assert recommended([of("q2_k", 80, 0.4)])[1].startswith("q2_k is the closest")


def test_a_plugin_s_exporter_takes_its_own_options(tuned: Any, tmp_path: Path) -> None:
    registry.register("exporter", "note", f"{__name__}:Note")
    try:
        found = tuned.export(tmp_path / "out", format="note", text="hello", report=False)
        assert (tmp_path / "out" / "note.txt").read_text() == "hello" and "note.txt" in found.files
        with pytest.raises(ConfigError, match="It takes text"):
            tuned.export(tmp_path / "out", format="note", words="hello")
    finally:
        registry.unregister("exporter", "note")


class Note:
    """Writes a text."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    def check(self, model: Any) -> None:
        pass

    def write(self, model: Any, folder: Path) -> None:
        (folder / "note.txt").write_text(self._text)


@pytest.mark.parametrize("bits", [16, 4])
def test_a_model_in_mlx_is_loaded_by_mlx(tuned: Any, tmp_path: Path, bits: int) -> None:
    mlx.needed()
    found = tuned.export(tmp_path / "out", format="mlx", bits=bits)
    (quality,) = found.quality
    assert quality.engine.startswith("mlx") and quality.types and quality.size
    assert quality.kl is not None or "tells no distributions" in found.notes[-1], "not measured, and said so"
    loaded = snb.load(str(tmp_path / "out"), backend="mlx", dtype="float32")
    if bits == 16:
        assert answers(loaded) == answers(tuned)
    else:
        assert loaded.loss(ROWS) == pytest.approx(tuned.loss(ROWS), abs=0.3)
    loaded.unload()
