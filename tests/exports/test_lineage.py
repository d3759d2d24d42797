"""Merging trained models, cards and the hub, and the way from a file to its rows and recorded calls and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import shadownb as snb
from shadownb.errors import ConfigError, ExportError, ModelError
from tests.exports.conftest import ROWS

QUESTION = "My name is Jane Doe. Number 77?"


@pytest.fixture(scope="module")
def recorded(tuned: Any) -> Any:
    """A model that a run has taught answers which were recorded before, one of them to a person's question."""
    with snb.capture(tuned, name="desk") as recorder:
        agent = snb.Endpoint(recorder.base_url, model="any", api_key=recorder.token)
        for asked in (QUESTION, "Number 5?"):
            agent.chat([{"role": "user", "content": asked}], temperature=0.0, max_new_tokens=4)
    rows = snb.captures.open("desk").to_dataset()
    rows = [
        {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": text}]}
        for text in _answers()
    ]
    model = tuned.fresh_copy()
    model.train(rows + ROWS[:4], method="lora", max_steps=1, sample_max_new_tokens=0, background=False, lora_r=4)
    return model


def _answers() -> list[str]:
    store = snb.captures.open("desk")
    return [t.messages[-1]["content"] for t in store.trajectories() if t.messages[-2]["content"] == QUESTION]


def test_a_file_leads_to_its_rows_and_calls_and_a_person_to_the_file(recorded: Any, tmp_path: Path) -> None:
    exported = recorded.export(tmp_path / "out", quant="q8_0", report=False)
    found = snb.lineage(exported.path)
    assert found.runs == (recorded.trained[0],) and found.data[0]["rows"] == 5
    assert len(found.calls["desk"]) == 1 and found.exports == (str(tmp_path / "out"),) and not found.erased
    assert snb.lineage(recorded).runs == found.runs == snb.lineage(recorded.trained[0]).runs
    assert snb.lineage(next(exported.path.glob("*.gguf"))).runs == found.runs
    assert "desk" in str(found) and "Recorded: 1 calls" in str(found)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "1 of the rows come from recorded calls" in card

    back = snb.lineage(where="Jane Doe")
    assert back.runs == [recorded.trained[0]] and back.models == [str(tmp_path / "out")] and back.calls["desk"] == 1
    assert snb.captures.open("desk").count() == 2, "nothing was deleted"
    snb.captures.delete(where="Jane Doe")
    assert set(snb.lineage(exported.path).erased) == {recorded.trained[0], str(tmp_path / "out")}


def test_lineage_of_what_is_none_says_so(tuned: Any) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        snb.lineage()
    with pytest.raises(ConfigError, match="no run"):
        snb.lineage(3)


def test_a_push_says_first_what_it_would_send(tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuned.export(tmp_path / "out", quant="q8_0", report=False)
    said = found.push_to_hub("me/triage")
    assert not said.sent and said.private and dict(said.files)["README.md"] > 0
    assert "Would be sent to me/triage (private)" in str(said)
    with pytest.raises(ConfigError, match="owner/name"):
        found.push_to_hub("triage")
    sent: dict[str, Any] = {}

    class Api:
        def create_repo(self, repo: str, **options: Any) -> str:
            sent["repo"] = (repo, options)
            return f"https://hub/{repo}"

        def upload_folder(self, **options: Any) -> None:
            sent["files"] = options["allow_patterns"]

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert found.push_to_hub("me/triage", dry_run=False).url == "https://hub/me/triage"
    assert sent["repo"] == ("me/triage", {"private": True, "exist_ok": True}) and set(sent["files"]) == set(found.files)

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(Api, "create_repo", offline)
    with pytest.raises(ExportError, match="could not be reached"):
        found.push_to_hub("me/triage", dry_run=False)


def test_adapters_and_whole_models_are_merged(tuned: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    one = tuned.save(tmp_path / "one")
    both = snb.merge([one, tuned.trained[0]], tmp_path / "both", weights=[0.5, 0.5])
    merged = snb.load(str(byte_model_dir), adapter=both, dtype="float32")
    assert merged.loss(ROWS) == pytest.approx(tuned.loss(ROWS), rel=1e-3), "two halves of one adapter are it again"
    whole = tuned.save(tmp_path / "whole", fmt="merged")
    made = snb.merge([whole, byte_model_dir], tmp_path / "made", weights=[3.0, 1.0])
    parts = [load_file(folder / "model.safetensors") for folder in (whole, byte_model_dir, made)]
    name = "model.layers.0.mlp.up_proj.weight"
    assert parts[2][name] == pytest.approx(0.75 * parts[0][name] + 0.25 * parts[1][name], abs=1e-6)
    assert snb.load(str(made), dtype="float32").loss(ROWS) < 6
    arc = snb.merge([whole, byte_model_dir], tmp_path / "arc", "slerp", weights=[1.0, 0.0])
    assert load_file(arc / "model.safetensors")[name] == pytest.approx(parts[0][name], abs=1e-5)
    twice = [
        load_file(
            snb.merge([whole, whole], tmp_path / f"t{n}", "dare_ties", base=byte_model_dir, seed=4)
            / "model.safetensors"
        )
        for n in range(2)
    ]
    assert (twice[0][name] == twice[1][name]).all() and not (twice[0][name] == parts[1][name]).all()


def test_what_is_merged_is_judged_beside_its_parts(
    tuned: Any, byte_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = snb.suites.rows(ROWS, snb.Exact(), name="queues", max_new_tokens=8)
    one = tuned.save(tmp_path / "one")
    both = snb.merge([one, tuned.trained[0]], tmp_path / "both", weights=[0.5, 0.5], suites=suite, limit=4)
    said = (both / "evaluation.md").read_text(encoding="utf-8")
    assert all(name in said for name in ("one", tuned.trained[0], "both", "queues"))
    assert "both minus one" in capsys.readouterr().out, "told with the difference"
    # Each side answers with its own weights, which a mark that depends on every letter shows. Half of an adapter taken from half
    # of it leaves the base.
    marked = snb.suites.rows(ROWS, lambda output, _: sum(map(ord, output)) % 101 / 100, name="queues", max_new_tokens=8)
    none = snb.merge([one, tuned.trained[0]], tmp_path / "none-left", weights=[0.5, -0.5], suites=marked, limit=4)
    row = next(line for line in (none / "evaluation.md").read_text(encoding="utf-8").splitlines() if "queues" in line)
    first, second, merged = (cell.partition("(")[0].strip() for cell in row.strip("| ").split("|")[2:5])
    assert first == second != merged, row
    assert snb.load(str(byte_model_dir), adapter=both, dtype="float32").loss(ROWS) < 6, "still what load takes"
    whole = tuned.save(tmp_path / "whole", fmt="merged")
    made = snb.merge([whole, byte_model_dir], tmp_path / "made", suites=[suite], limit=4)
    assert byte_model_dir.name in (made / "evaluation.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="is no suite"):
        snb.merge([one, one], tmp_path / "none", suites=ROWS)
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_merged_is_refused(tuned: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    one, whole = tuned.save(tmp_path / "one"), tuned.save(tmp_path / "whole", fmt="merged")
    for sources, options, error, said in (
        ([one], {}, ConfigError, "two or more"),
        ([one, whole], {}, ConfigError, "adapters and whole models"),
        ([one, one], {"method": "tise"}, ConfigError, "Did you mean 'ties'"),
        ([one, one], {"weights": [1.0]}, ConfigError, "weights="),
        ([one, one], {"density": 0.0, "method": "ties"}, ConfigError, "density=0.0"),
        ([whole, whole], {"method": "ties"}, ConfigError, "base="),
        ([whole, whole, whole], {"method": "slerp"}, ConfigError, "Give two"),
        ([one, "no-such-run"], {}, ConfigError, "neither a run"),
    ):
        with pytest.raises(error, match=said):
            snb.merge(sources, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
    from tests.tiny_models import byte_llama_of

    other = byte_llama_of(tmp_path / "other", 32, 64)
    with pytest.raises(ModelError, match="another shape"):
        snb.merge([whole, other], tmp_path / "none")
    assert json.loads((whole / "shadownb.json").read_text())["trained"]["run"] == tuned.trained[0]
