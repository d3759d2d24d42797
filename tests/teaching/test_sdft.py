"""Self-distillation: the model with the demonstration beside the question teaches the one without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shadownb.engine.objectives.teaching.options import SdftOptions
from shadownb.engine.runs import Run
from shadownb.engine.runs.loop import Loop
from tests.engine.methods_data import stop_after
from tests.teaching.conftest import OPTIONS, ROWS

Load = Callable[..., Any]
TEMPLATE = SdftOptions.model_fields["teacher_prompt_template"].default


def trained(model: Any, rows: Any = None, **options: Any) -> Run:
    run: Run = model.train(
        ROWS if rows is None else rows, **{"method": "sdft", **OPTIONS, **options}, background=True
    ).wait(timeout=120)
    return run


def ended(run: Run) -> Run:
    assert run.status == "succeeded", run.error or run.traceback()
    return run


@pytest.mark.parametrize("kind", ["base", "live"])
def test_the_loss_is_how_far_the_model_is_from_itself_with_the_demonstration(
    load: Load, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    seen: list[list[Any]] = []
    compute = Loop.compute
    monkeypatch.setattr(
        Loop, "compute", lambda self, examples, step: seen.append(list(examples)) or compute(self, examples, step)
    )
    run = ended(trained(load(), max_steps=2, loss_top_k=0, teacher_model_kind=kind, learning_rate=2e-2))
    for step, examples in enumerate(seen):
        student = load() if not step else load(adapter=run.checkpoint_at(step).path)
        teacher = load() if kind == "base" else student
        total, count = 0.0, 0
        for example in examples:
            assert example.columns["on_policy"]
            said = [label for label in example.rows[0].labels if label >= 0]
            question, answer = (message["content"] for message in ROWS[int(example.id.split("/")[1])]["messages"])
            text = TEMPLATE.replace("{prompt}", question).replace("{privileged_context}", answer)
            shown = student.renderer.render_prompt([{"role": "user", "content": text}])
            plain = student.renderer.render_prompt([{"role": "user", "content": question}])
            assert example.rows[0].input_ids == [*plain, *said]
            with torch.no_grad():
                p, q = (
                    m.module.eval()(input_ids=torch.tensor([[*before, *said]])).logits[0, len(before) - 1 : -1].double()
                    for m, before in ((student, plain), (teacher, shown))
                )
            p, q = p.log_softmax(-1), q.log_softmax(-1)
            total, count = total + float((p.exp() * (p - q)).sum()), count + len(said)
        assert run.losses()[step] == pytest.approx(total / count, rel=1e-3), f"step {step}"


def test_it_goes_on_to_the_same_weights_with_the_model_as_the_run_found_it(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = ended(trained(load()))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = trained(load())
    assert (run.status, run.step) == ("stopped", 2)
    ended(run.resume(load(), executor="thread").wait(timeout=120))
    assert run.losses() == straight.losses()


def test_a_column_may_hold_what_the_teacher_reads_and_a_row_without_either_is_left_out(load: Load) -> None:
    rows = [{"prompt": f"Number {n}?", **({"privileged_context": "Say even."} if n else {})} for n in range(4)]
    run = ended(trained(load(), rows, max_steps=2))
    told = [event for event in run.events() if event["type"] == "warning"]
    assert [event["code"] for event in told] == ["rows-skipped"] and "no demonstration" in told[0]["why"]


def test_a_template_without_its_places_is_refused(load: Load) -> None:
    with pytest.raises(Exception, match=r"teacher_prompt_template=.*lacks \{privileged_context\}"):
        load().train(ROWS, **OPTIONS, method="sdft", teacher_prompt_template="{prompt}")
