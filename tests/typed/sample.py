"""A user's script, as somebody writes it who checks types; read by mypy alone, never run (test_typed.py)."""

from __future__ import annotations

from typing import assert_type

import shadownb as snb


def length(output: str, expected: str) -> snb.Score:
    return snb.Score(1.0 if len(output) <= len(expected) else 0.0, "as short as the answer")


def main() -> None:
    data = snb.Dataset.sample("support-triage")
    model = snb.load("smollm2-135m", dtype="float32", max_length=512)
    run: snb.Run = model.train(data, method="lora", eval_dataset="auto", max_steps=10, lora_r=8)
    run.wait(timeout=60.0, raise_on_failure=True)

    newest: snb.Metric = run.metrics[-1]
    print(newest.loss, newest["loss"], run.eval_loss)
    checkpoint: snb.Checkpoint = run.checkpoint_at()

    assert_type(model.generate("One ticket"), str)
    assert_type(model.generate(["One ticket", "Another"], max_new_tokens=16, use="base"), list[str])
    question = [{"role": "user", "content": "One ticket"}]
    assert_type(model.chat(question, temperature=0.0), snb.Reply)
    assert_type(model.chat([question, question], use=[checkpoint, "base"]), list[snb.Reply])
    for call in model.chat(question).tool_calls:
        print(call["function"]["name"], call["function"]["arguments"])
    with model.stream(question) as stream:
        print("".join(stream))

    rented = snb.Endpoint("http://localhost:8000/v1", model="big")
    assert_type(rented.chat(question), snb.Reply)
    found: snb.Comparison = snb.compare(
        model, snb.Dataset.sample("support-triage", split="heldout"), length, against=rented
    )
    print(found.sides, len(found))
    folder = model.save("adapter", fmt="adapter")
    print(folder.name, [spec.name for spec in snb.methods.available()])


if __name__ == "__main__":
    main()
