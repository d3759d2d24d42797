"""What learning a fact and finding one cost: steps in groups beside whole passes, and routing among ten thousand units.

``python benchmarks/facts_speed.py [finding mapped growing answering learning]`` takes CPU
seconds, the sides one after the other in each round, and prints the ratio with its
range. The whole passes are one fact's row at a time through the whole model with a LoRA of the same rank on the
last down_proj and the loss on every token, as ShadowLM's MoRE+ trains, without its data handling.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from facts_router import read
from torch.nn.functional import cross_entropy

import shadownb as snb
from shadownb.engine.backends.torch.fact_group import FactGroup, Seen, Tail
from shadownb.engine.backends.torch.fact_training import FactTraining
from shadownb.engine.routing import Router, Unit
from shadownb.engine.routing.keys import VECTORS
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

    asked = embed

    def knows(self, word: str) -> bool:
        return True


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


def growing() -> None:
    """A fact's cost beside how many are learned: steps of groups, of a tiny model so that thousands fit into a minute."""
    hidden, inner, rank, vocabulary, positions = 64, 256, 8, 512, 12
    drawn = torch.Generator().manual_seed(0)
    head, norm = torch.nn.Linear(hidden, vocabulary, bias=False), torch.nn.LayerNorm(hidden)
    seen = [
        Seen(
            torch.randn(positions, inner, generator=drawn),
            torch.randn(positions, hidden, generator=drawn),
            torch.randint(vocabulary, (positions,), generator=drawn),
        )
        for _ in range(16)
    ]
    found: dict[int, list[float]] = {50: [], 500: [], 5_000: []}
    for _ in range(ROUNDS):
        for count, taken in found.items():
            started = time.process_time()
            for _ in range(count // 16 or 1):
                start = torch.randn(16, rank, inner, generator=drawn) / 16
                group = FactGroup(seen, Tail(norm, head), start, torch.zeros(16, hidden, rank), 2.0)
                group.compute()
                group.update(1e-3, 0)
            taken.append((time.process_time() - started) / (16 * (count // 16 or 1)))
    for count, taken in found.items():
        middle, low, high = (1e3 * each(taken) for each in (statistics.median, min, max))
        print(f"{count:,} facts: {middle:.3f} ms of CPU a step and fact ({low:.3f} to {high:.3f})", flush=True)


LONG = "the blue crate stands on the third shelf behind the north door of hall seven beside the ladder and the two red barrels"


def answering(method: str, count: int) -> None:
    """Tokens a second of a question that the memory answers, beside the base's on the same prompt."""
    model: Any = snb.load("smollm2-135m", dtype="float32", max_length=256)
    asked = "Where is the Zubrin crate?"
    options: dict[str, Any] = {"expert_steps": 40} if method == "more_plus" else {"reader_steps": 4}
    model.train(
        [{"prompt": asked, "completion": LONG}], method=method, background=False, sample_max_new_tokens=0, **options
    )
    memory = model.adapter
    (unit,) = memory.units
    vectors = np.random.default_rng(0).standard_normal((count, VECTORS, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    for number in range(count - 1):
        fact = Fact(f"What is the colour of the Vex{number} lamp?", f"X{number}")
        other = Unit((fact,))
        memory._units[other.id], memory._tensors_of[other.id] = other, memory._tensors_of[unit.id]
        memory._vectors[fact] = vectors[number]
    memory._router = None
    assert memory.route(asked).units == (0,)
    question: Any = [{"role": "user", "content": asked}]
    found: dict[str, list[float]] = {"base": [], "tuned": []}
    for number in range(2 * ROUNDS + 1):
        for use, rates in found.items():
            memory.router._routes.clear()  # a question is new to whoever asks it
            started = time.process_time()
            reply = model.chat(question, use=use, max_new_tokens=24, temperature=0.0)
            if number:  # the first builds the index
                rates.append(len(reply.token_ids) / (time.process_time() - started))
    ratios = [tuned / base for tuned, base in zip(found["tuned"], found["base"], strict=True)]
    rate, ratio = statistics.median(found["tuned"]), statistics.median(ratios)
    told = f"{rate:.1f} tokens a CPU second, {ratio:.2f} of the base's ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"{method}, {count:,} facts: {told}, finding the fact included", flush=True)


def mapped(count: int) -> None:
    """What ten thousand experts of SmolLM2's shapes take in memory when they are loaded and one is asked."""
    import os
    import tempfile
    from pathlib import Path

    from safetensors.torch import load_file, save_file

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1]) - int(
            Path("/proc/self/statm").read_text().split()[2]
        )
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6  # without what is shared with the file

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "facts.safetensors"
        save_file({"down": torch.zeros(count, 8, 1536), "up": torch.zeros(count, 576, 8)}, file)
        before = resident()
        tensors = load_file(file)
        pairs = list(zip(tensors["down"], tensors["up"], strict=True))
        float(pairs[7][0].sum() + pairs[7][1].sum())
        print(
            f"{count:,} experts, {file.stat().st_size / 1e6:.0f} MB on the disk: {resident() - before:.0f} MB more in memory",
            flush=True,
        )


if __name__ == "__main__":
    parts = sys.argv[1:] or ["finding", "mapped", "growing", "answering", "learning"]
    if "finding" in parts:
        for count in (100, 1_000, 10_000, 50_000):
            finding(count)
    if "mapped" in parts:
        mapped(10_000)
    if "growing" in parts:
        growing()
    if "answering" in parts:
        for method, count in (("more", 50), ("more", 5_000), ("more", 50_000), ("more_plus", 10_000)):
            answering(method, count)
    if "learning" in parts:
        learning()
