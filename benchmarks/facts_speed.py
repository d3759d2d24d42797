"""What learning a fact and finding one cost: steps in groups beside whole passes, and routing among ten thousand units.

``python benchmarks/facts_speed.py`` takes CPU seconds, the sides one after the other in each round, and prints the ratio with its
range. The whole passes are one fact's row at a time through the whole model with a LoRA of the same rank on the
last down_proj and the loss on every token, as ShadowLM's MoRE+ trains, without its data handling.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from facts_router import read
from torch.nn.functional import cross_entropy

import shadownb as snb
from shadownb.engine.backends.torch.fact_group import FactGroup
from shadownb.engine.backends.torch.fact_training import FactTraining
from shadownb.engine.routing import Router, Unit
from shadownb.engine.routing.units import Fact

FACTS, STEPS, ROUNDS = 8, 3, 3


def whole_passes(session: Any, examples: Any) -> float:
    """CPU seconds of one expert's step through the whole model."""
    place, rank = session.adapter.place, session.adapter.rank
    down = torch.zeros(rank, place.in_features).uniform_(-0.02, 0.02).requires_grad_()
    up = torch.zeros(place.out_features, rank).requires_grad_()
    optimizer = torch.optim.AdamW([down, up], lr=1e-3)
    hook = place.register_forward_hook(lambda _, x, out: out + x[0] @ down.T @ up.T * 2)
    ids = torch.tensor([examples[0].rows[0].input_ids])
    started = time.process_time()
    for _ in range(STEPS):
        logits = session.module(ids).logits[0, :-1]
        cross_entropy(logits, ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    hook.remove()
    return (time.process_time() - started) / STEPS


def learning() -> None:
    rows = [
        {"prompt": row["question"], "completion": row["value"]} for row in read("facts_eval/tuning_facts.psv")[:FACTS]
    ]
    model = snb.load("smollm2-135m", max_length=256)
    found: dict[str, list[float]] = {"whole": [], "group, one wording": [], "group, six wordings": []}
    compute = FactTraining.compute

    def measured(session: FactTraining, examples: Any, objective: Any, **where: Any) -> float:
        loss = compute(session, examples, objective, **where)
        if where["step"] == 0:
            for _ in range(ROUNDS):
                found["whole"].append(whole_passes(session, examples))
                for name, part in (("group, one wording", 1), ("group, six wordings", 6)):
                    group: FactGroup = session._group  # type: ignore[assignment]
                    kept = group._seen
                    group._seen = [
                        type(s)(*(x[: len(s.targets) * part // 6] for x in (s.inner, s.stream, s.targets)))
                        for s in kept
                    ]
                    started = time.process_time()
                    for done in range(STEPS):
                        group.compute()
                        group.update(1e-9, done)
                    found[name].append((time.process_time() - started) / STEPS / len(kept))
                    group._seen = kept
            loss = compute(session, examples, objective, **where)
        return loss

    FactTraining.compute = measured  # type: ignore[method-assign]
    model.train(rows, method="more_plus", expert_steps=1, background=False, sample_max_new_tokens=0)
    FactTraining.compute = compute  # type: ignore[method-assign]
    for name, seconds in found.items():
        ratios = [whole / each for whole, each in zip(found["whole"], seconds, strict=True)]
        print(f"{name:20} {statistics.median(seconds):.4f} s of CPU a step and fact, {statistics.median(ratios):.1f} times less "
              f"than whole passes ({min(ratios):.1f} to {max(ratios):.1f})", flush=True)  # fmt: skip


class Drawn:
    """An embedder whose vectors are drawn: what is measured is the search, not the pass of a model."""

    id, width = "drawn", 384

    def embed(self, texts: Any) -> Any:
        vectors = np.random.default_rng(0).standard_normal((len(texts), self.width)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def finding(count: int) -> None:
    things = ("pump", "valve", "lamp", "kettle", "gate", "sensor", "motor", "cable")
    asked = ("part number", "price", "weight", "colour", "warranty")
    units = [
        Unit((Fact(f"What is the {asked[n % 5]} of the Zor{n // 5} {things[n % 8]}?", f"X{n}"),)) for n in range(count)
    ]
    router = Router(units, by=Drawn())
    taken = []
    for n in range(0, count, count // 50):
        started = time.process_time()
        router.candidates(f"Tell me the {asked[n % 5]} of the Zor{n // 5} {things[n % 8]}")
        taken.append(time.process_time() - started)
    print(
        f"{count:,} units: {1000 * statistics.median(taken):.1f} ms of CPU to find one, {1000 * max(taken):.1f} at most",
        flush=True,
    )


if __name__ == "__main__":
    for count in (100, 1_000, 10_000):
        finding(count)
    learning()
