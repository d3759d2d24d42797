"""Adapters that answer beside the one on the model, as every backend owes it: by name, in order, and without a trace."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.inference import AdapterSource, Sampling
from shadownb.engine.models.adapters import weights_asked
from shadownb.errors import CheckpointError, ConfigError, ModelError
from tests.engine.conftest import until
from tests.ports.test_backend import OPTIONS, PAIRS, ROWS, load, toys  # noqa: F401

ASKED = [[{"role": "user", "content": f"Number {n}?"}] for n in (3, 4, 5, 6)]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 6, "logprobs": True}


class Said:
    """What replies say, token by token with its log-probability; equal where those agree but for rounding."""

    def __init__(self, replies: Any) -> None:
        self._replies = list(replies)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Said) and len(self._replies) == len(other._replies)
        return all(
            mine.token_ids == theirs.token_ids and mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
            for mine, theirs in zip(self._replies, other._replies, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


def test_a_checkpoint_answers_as_it_did_when_it_was_the_model(load: Any, tmp_path: Path) -> None:  # noqa: F811
    """Whatever it is named by; and each row of a list by its own, in their order."""
    model = load()
    run = model.train(ROWS, **OPTIONS)
    saved = model.save(tmp_path / "adapter")
    early, late = run.checkpoints()[0], run.checkpoints()[-1]
    alone = {step: load(adapter=each.path).chat(ASKED, **GREEDY) for step, each in (("early", early), ("late", late))}
    assert [r.logprobs for r in alone["early"]] != [r.logprobs for r in alone["late"]]
    before = model.weights.identity(), Said(model.chat(ASKED, **GREEDY))
    assert Said(model.chat(ASKED, use=early, **GREEDY)) == Said(alone["early"])
    for named in (late, run, run.id, saved, str(saved), late.path):
        assert Said(model.chat(ASKED, use=named, **GREEDY)) == Said(alone["late"]), named
    base = model.chat(ASKED, use="base", **GREEDY)
    mixed = model.chat(ASKED, use=[late, "base", early, late], **GREEDY)
    assert Said(mixed) == Said([alone["late"][0], base[1], alone["early"][2], alone["late"][3]])
    assert (model.weights.identity(), Said(model.chat(ASKED, **GREEDY))) == before
    stream = model.stream(ASKED[0], use=early, **GREEDY)
    assert "".join(stream) == alone["early"][0].content and Said([stream.reply]) == Said(alone["early"][:1])
    assert model.generate(["Number 3?"], use=[early], **{**GREEDY, "logprobs": False}) == [alone["early"][0].content]
    loss = load(adapter=early.path).loss(ROWS)
    assert model.loss(ROWS, use=early) == pytest.approx(loss, rel=1e-4) and loss != pytest.approx(
        model.loss(ROWS), rel=1e-3
    )


def test_training_goes_on_as_if_nobody_had_asked(load: Any) -> None:  # noqa: F811
    first = load().train(ROWS, **OPTIONS)
    longer = {**OPTIONS, "max_steps": 40, "save_steps": 40, "sample_max_new_tokens": 1, "eval_steps": 40}
    straight = load().train(ROWS, **longer)
    model = load()
    run = model.train(ROWS, **{**longer, "background": True})
    stop, failed, answers = threading.Event(), [], []

    def ask() -> None:
        try:
            while not stop.is_set():
                answers.append(model.chat(ASKED[:2], use=[first, "tuned"], temperature=0.0, max_new_tokens=2))
        except BaseException as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    run.wait(timeout=120)
    stop.set()
    asking.join(60)
    assert not failed and answers and run.status == "succeeded", (failed, run.error)
    assert run.losses() == straight.losses()
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_a_paused_run_goes_on_from_where_it_was(load: Any) -> None:  # noqa: F811
    first = load().train(ROWS, **OPTIONS)
    options = {**OPTIONS, "max_steps": 60, "save_steps": 60, "eval_steps": 60}
    straight = load().train(ROWS, **options)
    model = load()
    run = model.train(ROWS, **{**options, "background": True})
    run.pause()
    until(run, lambda state: state.status in ("paused", "succeeded"))
    kept = model.weights.identity()
    model.chat(ASKED, use=first, **GREEDY)
    assert model.weights.identity() == kept
    if run.status == "paused":
        run.resume().wait(timeout=120)
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_what_is_saved_and_trained_on_is_the_one_on_the_model(load: Any, tmp_path: Path) -> None:  # noqa: F811
    model = load()
    run = model.train(ROWS, **OPTIONS)
    plain = model.save(tmp_path / "plain")
    other = load().train(ROWS, **{**OPTIONS, "seed": 3, "learning_rate": 5e-3})
    model.chat(ASKED, use=other, **GREEDY)
    beside = model.save(tmp_path / "beside")
    files = {file.name: file.read_bytes() for file in plain.iterdir() if file.suffix == ".safetensors"}
    assert files and files == {
        file.name: file.read_bytes() for file in beside.iterdir() if file.suffix == ".safetensors"
    }
    assert model.trained == (run.id, run.step)
    again = model.train(ROWS, start="trained", **OPTIONS)
    model = load(adapter=plain)
    assert again.losses() == model.train(ROWS, start="trained", **OPTIONS).losses()


def test_who_is_in_memory_is_told_and_can_be_freed(load: Any) -> None:  # noqa: F811
    model = load()
    run = model.train(ROWS, **OPTIONS)
    assert model.resident_adapters == [] and "beside it" not in model._repr_html_()
    model.chat(ASKED[0], use=run.checkpoints()[0], **GREEDY)
    (found,) = model.resident_adapters
    assert (found.id.run, found.id.step) == (run.id, run.checkpoints()[0].step) and found.bytes > 0
    assert "beside it" in model._repr_html_()
    model.free_adapters()
    assert model.resident_adapters == []
    model.chat(ASKED[0], use=run, **GREEDY)
    model.unload()
    assert model.resident_adapters == []
    with pytest.raises(ModelError, match="was unloaded"):
        model.chat(ASKED[0], use=run, **GREEDY)


def test_an_adapter_is_known_by_its_content(load: Any, tmp_path: Path) -> None:  # noqa: F811
    """A save knows its run and step; a copy of its files from elsewhere does not, and another content is another revision."""
    model = load()
    run = model.train(ROWS, **OPTIONS)
    first, last = (weights_asked(each, model) for each in (run.checkpoints()[0], run))
    assert isinstance(first, AdapterSource) and isinstance(last, AdapterSource)
    assert (last.id.run, last.id.step) == (run.id, run.step) and first.id.revision != last.id.revision
    saved = weights_asked(model.save(tmp_path / "adapter"), model)
    assert isinstance(saved, AdapterSource) and saved.folder is not None and saved.id.run == run.id
    (saved.folder / "shadownb.json").unlink()
    copied = weights_asked(saved.folder, model)
    assert isinstance(copied, AdapterSource)
    assert (copied.id.run, copied.id.step, copied.id.revision) == (None, None, saved.id.revision)
    model.chat(ASKED[0], use=saved.folder, **GREEDY)
    before = model.chat(ASKED[0], use=saved.folder, **GREEDY)
    model.train(ROWS, start="trained", **{**OPTIONS, "learning_rate": 5e-3})
    (saved.folder / "chat_template.jinja").unlink(missing_ok=True)
    for file in model.save(tmp_path / "other").glob("*.safetensors"):
        (saved.folder / file.name).write_bytes(file.read_bytes())  # another adapter under the same name
    after = model.chat(ASKED[0], use=saved.folder, **GREEDY)
    assert after.logprobs != pytest.approx(before.logprobs, abs=1e-4)


def test_what_cannot_be_meant_is_refused_by_name(load: Any, tmp_path: Path) -> None:  # noqa: F811
    model = load()
    run = model.train(ROWS, **OPTIONS)
    with pytest.raises(ConfigError, match=r"use='tunde' is not known\. Did you mean 'tuned'"):
        model.chat(ASKED[0], use="tunde")
    for odd in (5, "", None, {"run": run.id}, b"tuned"):
        with pytest.raises(ConfigError, match=r"use=.* is not known"):
            model.stream(ASKED[0], use=odd)
    with pytest.raises(ConfigError, match="use= has 3 entries for 4 questions"):
        model.chat(ASKED, use=["tuned"] * 3)
    with pytest.raises(ConfigError, match=r"use=.*nothing.* is not known"):
        model.chat(ASKED[0], use=tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"use=.*whole"):
        model.chat(ASKED[0], use=model.save(tmp_path / "whole", fmt="merged"))
    broken = run.checkpoints()[0]
    file = next(broken.path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-8] + b"\1" * 8)
    with pytest.raises(CheckpointError, match="has another content than was written"):
        model.chat(ASKED[0], use=["tuned", broken][1])
    assert model.resident_adapters == []


def test_an_answer_that_is_stopped_leaves_the_weights_free(load: Any) -> None:  # noqa: F811
    model = load()
    run = model.train(ROWS, **OPTIONS)
    before = Said(model.chat(ASKED, **GREEDY))
    with model.stream(ASKED[0], use=run.checkpoints()[0], max_new_tokens=200, temperature=2.0) as stream:
        next(stream, None)
    assert model.gate.holder is None
    counted = iter(range(100))
    cut = model.chat(ASKED, use=[run.checkpoints()[0], "tuned"] * 2, should_stop=lambda: next(counted, 9) > 1, **GREEDY)
    assert len(cut) == len(ASKED) and any(reply.finish_reason == "cancelled" for reply in cut)
    assert Said(model.chat(ASKED, **GREEDY)) == before
    assert model.train(ROWS, start="trained", **OPTIONS).status == "succeeded"


def test_a_row_has_its_luck_by_its_place(load: Any) -> None:  # noqa: F811
    """Whoever answers the others: so a list of one side is what it was, and sides can be compared at the same luck."""
    model = load()
    run = model.train(ROWS, **OPTIONS)
    prompts = [model.renderer.render_prompt(turns) for turns in ASKED]
    adapter = weights_asked(run, model)
    lucky = Sampling(seed=11, temperature=1.5, max_new_tokens=6)
    together = model.generator.generate(prompts, lucky, use=adapter)
    mixed = model.generator.generate(prompts, lucky, use=["base", adapter, "base", adapter])
    assert [mixed[place] for place in (1, 3)] == [together[place] for place in (1, 3)]
    assert dataclasses.replace(adapter, name="another") == adapter  # type: ignore[type-var]
