"""The template certificate: true of every family, shown in every front end; the table of the documentation is made here."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import shadownb as snb
from shadownb import cli, errors
from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.certificate import MARKS, Certificate
from shadownb.engine.rendering.proofs import PROOFS
from shadownb.engine.rendering.templates import bundled
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.engine.template_families import family, names, template

TABLE = Path(__file__).parents[2] / "docs" / "template-certificates.md"
HEAD = """# Template certificates

What `snb.certify` proves of every chat template that trl ships (trl {trl}). Templates are used as they are; where one
fails a proof, rows that need it are refused or counted before training (`on_template_drop`), never trained without a word.
`python -m tests.engine.test_certificate` writes this table; a test fails when it is stale.

✓ proven, ✗ not so, – the question does not arise (a template without tools has no calls to read back).

{claims}

| template | {names} |
| --- | {lines} |
"""


@functools.cache
def certificate(name: str) -> Certificate:
    """The certificate of a family."""
    return snb.certify(family(name))


def table() -> str:
    """The page of the documentation."""
    from importlib.metadata import version

    claims = "\n".join(f"- **{name}**: {claim}" for name, claim, _ in PROOFS)
    columns = [name for name, *_ in PROOFS]
    head = HEAD.format(
        trl=version("trl"), claims=claims, names=" | ".join(columns), lines=" | ".join(":-:" for _ in columns)
    )
    rows = [
        f"| {name} | " + " | ".join(MARKS[proof.status] for proof in certificate(name).proofs) + " |"
        for name in names()
    ]
    reasons = [
        f"- {name}: "
        + "; ".join(f"{proof.name}: {' '.join(proof.reason.split())}" for proof in certificate(name).failed)
        for name in names()
        if not certificate(name).ok
    ]
    return head + "\n".join(rows) + "\n\n## What fails, and why\n\n" + "\n".join(reasons) + "\n"


def test_the_table_of_the_documentation_is_what_is_proven() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run python -m tests.engine.test_certificate"


@pytest.mark.parametrize("name", names())
def test_what_must_hold_for_every_family_holds(name: str) -> None:
    found = certificate(name)
    for proof in ("texts", "masks", "stop", "prefix", "turns", "forged"):
        assert found[proof].status == "pass", (proof, found[proof])
    assert found["BOS"].status != "fail", found["BOS"]


# What a broken template or tokenizer must fail; each is one that passes it, broken by hand.
BROKEN: dict[str, tuple[str, str, str]] = {
    "texts": ("llama3", "message['content'] | trim", "message['content'][:4] | trim"),
    "system": ("llama3_2", "messages[0]['content']|trim", "''"),
    "reasoning": ("qwen3", "reasoning_content.strip('\\n')", "''"),
    "BOS": ("llama3_2", "{{- bos_token }}", "{{- bos_token + bos_token }}"),
}


def test_a_template_that_passes_everything() -> None:
    found = certificate("qwen3")
    assert found.ok or [proof.name for proof in found.failed] == ["parser"], found
    assert "each gets a sequence of its own" in found["prefix"].reason


@pytest.mark.parametrize("proof", BROKEN)
def test_a_template_broken_by_hand_fails(proof: str) -> None:
    name, old, new = BROKEN[proof]
    broken = template(name).replace(old, new)
    assert broken != template(name), f"{old!r} is not in {name}"
    assert certificate(name)[proof].status == "pass"
    assert snb.certify(family(name, broken))[proof].status == "fail"


def test_a_token_of_beginning_that_opens_each_turn_is_none_too_many(tiny_model_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    assert tokenizer.bos_token == "<|im_start|>"
    certificate = snb.certify(tokenizer)
    assert "bundled tools" in certificate.template_source
    found = certificate["BOS"]
    assert found.status == "pass" and "once a turn" in found.reason, found
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    assert snb.certify(tokenizer)["BOS"].status == "fail"


def test_a_template_that_writes_the_first_of_two_results_only_fails() -> None:
    written = "'\\n<tool_response>\\n' + message['content']"
    first = bundled("chatml_tools").replace(written, f"{written} * (messages[loop.index0 - 1]['role'] != 'tool')")
    assert first != bundled("chatml_tools")
    assert snb.certify(byte_tokenizer(bundled("chatml_tools")))["results"].status == "pass"
    assert snb.certify(byte_tokenizer(first))["results"].status == "fail"


def test_masks_prefix_turns_and_forgery_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer(family("qwen3"))
    monkeypatch.setattr(type(renderer._control), "guard", lambda self, messages, tools: (messages, tools, ""))
    assert snb.certify(renderer)["forged"].status == "fail"
    monkeypatch.undo()
    monkeypatch.setattr(type(renderer), "stop_token_ids", property(lambda self: (0,)))
    assert snb.certify(renderer)["stop"].status == "fail"
    monkeypatch.undo()
    shown = Renderer.render_prompt
    monkeypatch.setattr(Renderer, "render_prompt", lambda self, *given, **more: [*shown(self, *given, **more)[:-1], 0])
    assert snb.certify(renderer)["prefix"].status == "fail"
    monkeypatch.undo()
    monkeypatch.setattr("shadownb.engine.rendering.renderer.wanted_turns", lambda messages, *_: {0, 1})
    found = snb.certify(Renderer(family("qwen3_instruct_2507")))
    assert found["turns"].status == "fail"


def test_a_template_without_tools_and_one_without_a_beginning() -> None:
    found = certificate("gemma")
    assert found["calls"].status == "fail" and found["parallel"].status == "n/a" == found["parser"].status
    assert found["system"].status == "fail" and "System role not supported" in found["system"].reason
    assert snb.certify(byte_tokenizer())["BOS"].status == "n/a"


def test_turns_that_are_marked_by_ordinary_text_can_be_forged() -> None:
    found = snb.certify(byte_tokenizer(special=("<eos>",), eos="<eos>"))["forged"]
    assert found.status == "fail" and "ordinary text" in found.reason and "Assistant:" in found.example


def test_it_shows_itself_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = certificate("llama3_2")
    assert repr(found).startswith("Certificate(") and "text beside" in repr(found)
    assert all(f"{proof.name}" in str(found) for proof in found.proofs)
    page = found._repr_html_()
    assert (
        page.count("<tr") == len(PROOFS) and "✗ fail" in page and "<script" not in page and "&lt;|eot_id|&gt;" in page
    )
    kept = found.to_dict()
    assert kept["ok"] is False and [proof["name"] for proof in kept["proofs"]] == [name for name, *_ in PROOFS]
    family("llama3_2").save_pretrained(tmp_path)
    assert cli.main(["certify", str(tmp_path)]) == 1, "as doctor: a script sees that something fails"
    assert "✗ fail  text beside" in capsys.readouterr().out


def test_a_name_needs_no_weights(tmp_path: Path) -> None:
    family("qwen3").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    assert snb.certify(str(tmp_path)).proofs[0].status == "pass"
    with pytest.raises(errors.ConfigError, match="cannot take a int"):
        snb.certify(3)


def test_a_loaded_model_certifies_itself(tiny: Any) -> None:
    found = tiny.certify()
    assert found.model == tiny.name and found.template_source == tiny.renderer.template_source
    assert found.to_dict() == snb.certify(tiny).to_dict()


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
