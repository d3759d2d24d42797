"""What every backend owes, shown by ours and by one in numpy that is a file outside of the package."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shadownb as snb
from shadownb import methods
from shadownb.engine import registry
from shadownb.engine.inference import Sampling
from shadownb.engine.models.likelihood import token_scores
from shadownb.engine.objectives import Objective
from shadownb.engine.ports.abilities import TellsDistributions, TellsTokens
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.engine.runs import commands
from shadownb.engine.runs.loop import Loop
from shadownb.errors import MethodError, ModelError, RunError
from tests import mlx
from tests.engine.conftest import until
from tests.ports import toy_backend, toy_objectives

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Number {n}?"},
            {"role": "assistant", "content": "odd" if n % 2 else "even"},
        ]
    }
    for n in range(12)
]
PAIRS = [{"prompt": f"Number {n}?", "chosen": "odd" if n % 2 else "even", "rejected": "none"} for n in range(12)]
OPTIONS: dict[str, Any] = {
    "max_steps": 6, "save_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3, "sample_max_new_tokens": 4, "eval_steps": 3, "background": False,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    registry.register("backend", "toy", "tests.ports.toy_backend:ToyBackend")
    for kind in (*toy_objectives.ALL, toy_objectives.Nothing):
        registry.register("objective", f"toy_{kind.name}", f"tests.ports.toy_objectives:{kind.__name__}")
        methods.register(methods.get("lora").replace(name=f"toy_{kind.name}", objective=f"toy_{kind.name}"))
    yield
    for kind in (*toy_objectives.ALL, toy_objectives.Nothing):
        methods.unregister(f"toy_{kind.name}")
        registry.unregister("objective", f"toy_{kind.name}")
    registry.unregister("backend", "toy")


@pytest.fixture(params=["torch", "mlx", "toy"])
def load(request: pytest.FixtureRequest, home: Path, byte_model_dir: Path, tmp_path: Path) -> Any:
    """Loads a model of the backend; its ``folder`` is the base."""
    if request.param == "mlx":
        mlx.needed()
    folder = toy_backend.write_base(tmp_path / "bigram") if request.param == "toy" else byte_model_dir

    def made(**options: Any) -> Any:
        return snb.load(str(folder), backend=request.param, dtype="float32", max_length=256, **options)

    made.folder = folder  # type: ignore[attr-defined]
    return made


def ask(model: Any, use: str = "tuned") -> list[str]:
    asked = ["Number 3?", "Number 4?"]
    return list(model.generate(asked, use=use, temperature=0.0, max_new_tokens=6))


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, kind: commands.CommandKind = "stop") -> None:
    report = Loop.report

    def reported(loop: Loop, *numbers: Any) -> None:
        report(loop, *numbers)
        if loop.step == step:
            commands.send(loop.services.folder.commands, kind, save=kind == "stop")

    monkeypatch.setattr(Loop, "report", reported)


def test_it_learns_its_rows_and_the_base_stays(load: Any) -> None:
    model = load()
    before, known = ask(model), model.loss(ROWS)
    run = model.train(ROWS, eval_dataset=ROWS[:4], **{**OPTIONS, "max_steps": 20})
    assert run.status == "succeeded", run.error
    assert run.losses()[-1] < run.losses()[0] and model.loss(ROWS) < known
    assert ask(model, "base") == before and model.loss(ROWS, use="base") == pytest.approx(known)
    assert model.verify_base()[0]
    assert run.samples() and run.eval_loss is not None


def test_two_runs_of_one_seed_are_one(load: Any) -> None:
    first, second = (load().train(ROWS, **OPTIONS) for _ in range(2))
    assert first.losses() == second.losses()
    assert first.checkpoint_at().manifest["trained_sha256"] == second.checkpoint_at().manifest["trained_sha256"]


@pytest.mark.parametrize("method", ["lora", "dpo", "kto"])
def test_a_resume_is_exact(load: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS if method == "lora" else PAIRS
    straight = load().train(rows, method=method, **OPTIONS)
    assert straight.status == "succeeded", straight.error
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        run = load().train(rows, method=method, **OPTIONS)
    assert (run.status, run.step) == ("stopped", 3)
    snb.runs.load(run.id).resume(load(), executor="thread").wait(timeout=60)
    assert run.losses() == straight.losses()
    assert run.checkpoint_at().manifest["trained_sha256"] == straight.checkpoint_at().manifest["trained_sha256"]


def test_a_discard_leaves_the_model_as_it_was(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load()
    model.train(ROWS, **{**OPTIONS, "max_steps": 2})
    said, trained = model.weights.identity(), model.trained
    with monkeypatch.context() as patch:
        stop_at(2, patch, "discard")
        run = model.train(ROWS, start="trained", **OPTIONS)
    assert run.status == "discarded"
    assert (model.weights.identity(), model.trained) == (said, trained)


def test_a_step_that_breaks_leaves_no_gradient(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objective fails in the middle of a step; what is computed after the resume is what it would have been."""
    from shadownb.engine.objectives.supervised import Supervised

    straight = load().train(ROWS, **OPTIONS)
    loss, calls = Supervised.loss, [0]

    def broken(self: Objective, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 10:
            raise ZeroDivisionError
        return loss(self, *args, **more)

    model = load()
    with monkeypatch.context() as patch:
        patch.setattr(Supervised, "loss", broken)
        with pytest.raises(RunError, match="ZeroDivisionError"):
            model.train(ROWS, **{**OPTIONS, "max_tokens_per_forward": 32} if model.backend_name != "toy" else OPTIONS)
    run = snb.runs.latest()
    run.resume(model, executor="thread").wait(timeout=60)
    assert run.status == "succeeded", run.error
    assert run.losses() == pytest.approx(straight.losses(), rel=1e-5)


def test_what_is_saved_answers_as_what_was_trained(load: Any, tmp_path: Path) -> None:
    model = load()
    model.train(ROWS, **{**OPTIONS, "max_steps": 12})
    saved, whole = model.save(tmp_path / "adapter"), model.save(tmp_path / "whole", fmt="merged")
    assert ask(load(adapter=saved)) == ask(model)
    merged = snb.load(str(whole), backend=model.backend_name, dtype="float32", max_length=256)
    assert merged.loss(ROWS) == pytest.approx(model.loss(ROWS), rel=1e-4)


def test_a_method_that_does_not_fit_is_refused_before_anything_starts(load: Any) -> None:
    model = load()
    assert model.blocked("lora") is None
    blocked = model.blocked("bitfit")
    assert blocked and "bitfit" in blocked
    with pytest.raises(MethodError):
        model.train(ROWS, method="bitfit", background=False, max_steps=1)
    assert model.weights.kind is None and not snb.runs.list()


@pytest.mark.parametrize("kind", toy_objectives.ALL, ids=lambda kind: kind.name)
def test_an_objective_from_outside_gets_what_it_needs(load: Any, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**OPTIONS, "method": f"toy_{kind.name}"}
    straight = load().train(ROWS, **options)
    assert straight.status == "succeeded", straight.error
    curve = [m[kind.name] for m in straight.metrics]
    assert len(curve) == 6
    if kind is toy_objectives.Value:
        assert curve[0] == pytest.approx(1.0) and curve[-1] < curve[0], "the head starts at 0 and learns"
    with monkeypatch.context() as patch:
        stop_at(3, patch)
        run = load().train(ROWS, **options)
    run.resume(load(), executor="thread").wait(timeout=60)
    assert [m[kind.name] for m in run.metrics] == curve, "the head's state is part of a checkpoint, too"


def test_nothing_is_computed_that_no_objective_named(load: Any) -> None:
    with pytest.raises(RunError, match=r"kept no entropy"):
        load().train(ROWS, **{**OPTIONS, "method": "toy_nothing"})


def test_streams_and_answers_are_one(load: Any) -> None:
    model = load()
    model.train(ROWS, **OPTIONS)
    whole = model.chat([{"role": "user", "content": "Number 3?"}], temperature=0.8, seed=5, max_new_tokens=6)
    batches = model.stream([{"role": "user", "content": "Number 3?"}], temperature=0.8, seed=5, max_new_tokens=6)
    assert "".join(batches) == whole.content
    assert batches.reply.usage == whole.usage


def test_each_token_has_its_log_probability_in_the_models_own_distribution(load: Any) -> None:
    """Whatever the sampling made of it: at a temperature near 0 every token would have the probability 1 there."""
    model = load()
    model.train(ROWS, **OPTIONS)
    asked, options = [{"role": "user", "content": "Number 3?"}], {"seed": 5, "max_new_tokens": 6}
    plain = model.chat(asked, temperature=1.5, **options)
    told = model.chat(asked, temperature=1.5, logprobs=True, **options)
    assert plain.logprobs is None and told.token_ids == plain.token_ids
    assert len(told.logprobs) == len(told.token_ids) and all(value <= 0 for value in told.logprobs)
    cold = model.chat(asked, temperature=1e-3, top_p=1.0, logprobs=True, **options)
    greedy = model.chat(asked, temperature=0.0, logprobs=True, **options)
    assert cold.token_ids == greedy.token_ids and cold.logprobs == pytest.approx(greedy.logprobs, abs=1e-5)
    stream = model.stream(asked, temperature=1.5, logprobs=True, **options)
    assert "".join(stream) == told.content and stream.reply.logprobs == told.logprobs


def test_given_tokens_are_as_likely_as_when_they_are_answered_or_lost(load: Any) -> None:
    """Of backends that tell it, of rows of any lengths, by any weights; what is not there yet is refused by name."""
    model = load()
    run = model.train(ROWS, **OPTIONS)
    asked = [model.renderer.render_prompt(row["messages"][:1]) for row in ROWS[:3]]
    if not isinstance(model.backend, TellsTokens):
        with pytest.raises(ModelError, match="tells no probabilities"):
            token_scores(model, [(asked[0], asked[1])], "tuned")
        return
    greedy = Sampling(temperature=0, max_new_tokens=5, logprobs=True)
    answers = model.generator.generate(asked, greedy)
    for scores, answer in zip(
        token_scores(model, [(a, b.token_ids) for a, b in zip(asked, answers, strict=True)], "tuned"),
        answers,
        strict=True,
    ):
        assert [log_prob for log_prob, _ in scores] == pytest.approx(answer.logprobs, abs=1e-4)
        assert all(likeliest for _, likeliest in scores)
    long = ([*asked[0], *asked[1]], asked[2])
    for use in ("tuned", "base", run.checkpoints()[0]):
        together = token_scores(model, [long, (asked[0][:1], asked[0][1:])], use)
        alone = [token_scores(model, [row], use)[0] for row in (long, (asked[0][:1], asked[0][1:]))]
        for one, other in zip(together, alone, strict=True):
            assert [each[0] for each in one] == pytest.approx([each[0] for each in other], abs=1e-4)
            assert [each[1] for each in one] == [each[1] for each in other] and not all(each[1] for each in one)


def test_whole_distributions_are_those_of_each_row_alone_and_in_order(load: Any) -> None:
    """Of rows that fill several passes, some with a common start, some of them long, one that asks for nothing."""
    model = load()
    if not isinstance(model.backend, TellsDistributions):
        pytest.skip("this backend tells no distributions")
    model.train(ROWS, **OPTIONS)
    shared = model.renderer.render_prompt(ROWS[0]["messages"][:1])
    own = [list(range(n, n + 3 + 40 * (n % 3))) for n in range(24)]
    rows = [Rendered([*shared, *ids], [*[NOT_TRAINED] * len(shared), *ids]) for ids in own]
    rows[5] = Rendered(shared, [NOT_TRAINED] * len(shared))
    rows[7] = Rendered(own[23] * 10, [NOT_TRAINED, *(own[23] * 10)[1:]])

    def told(asked: list[Rendered]) -> list[tuple[int, list[int], Any]]:
        """Pieces of a row as one."""
        found = groupby(model.backend.distributions(model, asked, "tuned"), key=lambda piece: piece[0])
        pieces = [(number, list(parts)) for number, parts in found]
        return [
            (number, [token for _, targets, _ in parts for token in targets], np.concatenate([p[2] for p in parts]))
            for number, parts in pieces
        ]

    together = told(rows)
    assert [number for number, _, _ in together] == [n for n in range(24) if n != 5]
    for number, targets, logs in together[::4]:
        ((_, alone, expected),) = told([rows[number]])
        assert targets == alone == [label for label in rows[number].labels[1:] if label != NOT_TRAINED]
        assert logs.shape == (len(targets), len(expected[0])) and np.exp(logs).sum(1) == pytest.approx(1, abs=1e-4)
        assert np.abs(logs - expected).max() < 2e-4


def test_a_panel_shows_its_runs_and_a_chat_answers_with_them(load: Any) -> None:
    model = load()
    run = model.train(ROWS, **OPTIONS)
    panel, chat = snb.RunPanel(run), snb.ChatPanel(model)
    try:
        assert panel.status["status"] == "succeeded" and panel.status["step"] == 6
        assert panel.charts is not None and panel.samples
        assert run.reach and run.trained_parameters
        assert chat.model_state["stage"] != "none"
    finally:
        panel.close()
        chat.close()


def test_a_paused_run_answers_with_its_step(load: Any) -> None:
    model = load()
    run = model.train(ROWS, **{**OPTIONS, "max_steps": 4000, "save_steps": 4000, "background": True})
    run.pause()
    until(run, lambda state: state.status == "paused")
    assert model.answering == f"live weights at step {run.step} of run {run.id}"
    assert ask(model) == ask(model)
    run.stop().wait(timeout=60)
    assert run.status == "stopped"
