"""What Tab offers in %shadow lines and %%shadow cells: only ours, the likely first, in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel

VARIABLES = """
import pathlib, shadownb
my_data = shadownb.Dataset.from_list([{"text": "a"}])
my_rows, my_number, my_words = [{"text": "a"}], 3, ["a"]
for name in ("folder/rows.jsonl", "my data.jsonl", "settings.yaml", "notes.txt", "model.gguf"):
    path = pathlib.Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"text": "a"}')
"""


@pytest.fixture
def typing(kernel: Kernel) -> Kernel:
    assert kernel.run(VARIABLES).silent
    return kernel


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%shadow tra", ["train"]),
        ("%%shadow ch", ["chat"]),
        ("x = %shadow st", ["studio", "stop"]),
        ("print(1)\nx = %shadow tra", ["train"]),
        ("%shadow train --lora-", ["--lora-r", "--lora-alpha", "--lora-dropout"]),
        ("%shadow train --max_s", ["--max-steps"]),
        ("%shadow train --max-steps 4 --max-s", []),
        ("%shadow train --max-steps 4 --max-l", ["--max-length"]),
        ("%shadow train --seed-of", []),
        ("%shadow train --method ql", ["qlora"]),
        ("%shadow train --method=ql", ["qlora"]),
        ("%shadow train --loss-on ", ["assistant", "last", "all"]),
        ("%shadow train --max-steps ", []),
        ("%shadow train smollm2-1", ["smollm2-135m", "smollm2-1.7b"]),
        ("%shadow train smollm2-135m my_", ["my_data", "my_rows"]),
        ("%shadow train smollm2-135m my", ["my_data", "my_rows", "'my data.jsonl'"]),
        ('%shadow train smollm2-135m "my d', ['"my data.jsonl"']),
        ("%shadow train smollm2-135m folder/", ["folder/rows.jsonl"]),
        ("%shadow inspect support-triage --model smollm2-135m --row ", []),
        ("%shadow train --config ", ["settings.yaml", "folder/"]),
        ("%shadow load ./", ["./model.gguf", "./folder/"]),
        ("%shadow runs --status s", ["succeeded", "stopped"]),
        ("%shadow capture st", ["start", "stop", "status"]),
        ("%shadow chat smollm2-135m my", []),
        ("%%shadow train\nlora_", ["lora_r: ", "lora_alpha: ", "lora_dropout: "]),
        ("%%shadow train\nmax_steps: 4\nmax_s", []),
        ("%%shadow train\nmax_steps: 4\nmax_l", ["max_length: "]),
        ("%%shadow train\nmethod: ql", ["qlora"]),
        ("%%shadow train --as x\n\ndataset: my_", ["my_data", "my_rows"]),
        ("%%shadow train\npacking: ", ["true", "false"]),
        ("%%shadow train\nreport_to: [wandb, tens", ["tensorboard"]),
        ("%%shadow train\nreport_to:\n  - tens", ["tensorboard"]),
        ("%%shadow train\nnot_ours: im", []),
        ("%%shadow train\n# im", []),
        ("%%shadow chat\nim", []),
    ],
)
def test_only_what_fits_is_offered(typing: Kernel, typed: str, expected: list[str]) -> None:
    assert typing.candidates(typed) == expected


def test_a_key_that_has_its_colon_gets_no_second_one(typing: Kernel) -> None:
    cell = "%%shadow train\nmax_st: 4\nmethod: lora"
    assert typing.candidates(cell, cell.index(": 4")) == ["max_steps"]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("%shadow ", ["train", "load", "chat"]),
        ("%shadow train ", ["my_data", "my_rows", "support-triage"]),
        ("%shadow train --", ["--method", "--learning-rate"]),
        ("%shadow train --steps", ["--max-steps"]),
        ("%%shadow train\n", ["model: ", "dataset: ", "eval_dataset: ", "method: "]),
        ("%shadow train --method ", ["lora", "qlora"]),
    ],
)
def test_the_likely_comes_first_and_nothing_is_pythons(typing: Kernel, typed: str, first: list[str]) -> None:
    offered = typing.candidates(typed)
    assert offered[: len(first)] == first
    assert len(offered) == len(set(offered)) <= 160
    assert not {"print", "int", "my_number", "my_words", "import", "%shadow"} & set(offered)


def test_runs_are_offered_where_a_run_is_meant(typing: Kernel, home: Path) -> None:
    (home / "runs" / "20260101-lora-abc").mkdir(parents=True)
    try:
        for verb in ("stop", "plot", "watch", "delete"):
            assert typing.candidates(f"%shadow {verb} ") == ["20260101-lora-abc"]
        assert typing.candidates("%%shadow train\nresume_from_checkpoint: 2026") == ["20260101-lora-abc"]
    finally:
        (home / "runs" / "20260101-lora-abc").rmdir()


def test_other_code_is_completed_as_ever(typing: Kernel) -> None:
    typing.run("shadow_of_a_doubt = 1")
    assert typing.complete("shadow_of") == ["shadow_of_a_doubt"]
    assert typing.complete("my_numb") == ["my_number"]
    assert "%shadow" in typing.complete("%shad")
    assert typing.complete("%%time\nmy_numb") == ["%%time\nmy_number"]
