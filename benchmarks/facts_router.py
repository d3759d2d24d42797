"""Fits the weights and the threshold by which facts are routed, on facts that no figure is reported of.

``python benchmarks/facts_router.py`` fits on four of five sets of tuning facts and reports on the fifth, then fits on all; ``-v``
shows what goes wrong.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from shadownb.engine.routing import Router, Unit
from shadownb.engine.routing import router as routing
from shadownb.engine.routing.units import Fact

HERE = Path(__file__).parent
_AT_LEAST = {
    "strange_code": 8.0,
    "nameless": 8.0,
    "unread": 8.0,
    "contrary": 3.0,
    "swapped": 7.5,
}  # whatever is fitted, see router.py


def read(name: str) -> list[dict[str, str]]:
    with open(HERE / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE))


def lines(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def questions(rows: list[dict[str, str]], off_topic: list[str]) -> dict[str, list[tuple[str, int | None]]]:
    return {
        "verbatim": [(row["question"], n) for n, row in enumerate(rows)],
        "paraphrase": [(row[f"paraphrase {k}"], n) for n, row in enumerate(rows) for k in (1, 2)],
        "near miss": [(row["near miss"], None) for row in rows],
        "off topic": [(text, None) for text in off_topic],
    }


def router_of(rows: list[dict[str, str]]) -> Router:
    return Router([Unit((Fact(row["question"], row["value"]),)) for row in rows])


def joined(sets: list[dict[str, Any]]) -> dict[str, Any]:
    return {kind: [one for each in sets for one in each[kind]] for kind in sets[0]}


def tuning(facts: str, off_topic: str) -> dict[str, list[tuple[str, int | None, Any]]]:
    """What is seen of a tuning set."""
    rows = read(facts)
    return looked_at(router_of(rows), questions(rows, lines(off_topic)))


def looked_at(
    router: Router, asked: dict[str, list[tuple[str, int | None]]]
) -> dict[str, list[tuple[str, int | None, Any]]]:
    return {kind: [(q, n, router.candidates(q)) for q, n in each] for kind, each in asked.items()}


def fit(seen: dict[str, list[tuple[str, int | None, Any]]]) -> tuple[Any, float]:
    """Logistic regression with a ridge and signs that make sense: for the right fact against every other candidate."""
    data, truth, importance = [], [], []
    for kind, each in seen.items():
        for _, right, candidates in each:
            for candidate in candidates:
                data.append(astuple(candidate.signals))
                truth.append(float(candidate.unit == right))
                importance.append(4.0 if kind == "near miss" else 1.0)
    x, y, w = (np.asarray(each, dtype=float) for each in (data, truth, importance))
    w /= w.sum()
    weights, bias = np.zeros(x.shape[1]), 0.0
    signs = np.array([0, 1, 1, *[-1] * (len(routing.SIGNALS) - 3)])
    at_least = [_AT_LEAST.get(name, 0.0) for name in routing.SIGNALS]
    for _ in range(6000):
        p = 1 / (1 + np.exp(-(x @ weights + bias)))
        error = w * (p - y)
        weights -= 2.0 * (x.T @ error + 2e-4 * weights)
        weights = signs * np.maximum(signs * weights, at_least)
        bias -= 2.0 * error.sum()
    return weights, bias


def report(
    seen: dict[str, list[tuple[str, int | None, Any]]], weights: Any, bias: float, threshold: float, show: bool
) -> None:
    for kind, each in seen.items():
        right = wrong = 0
        for question, expected, candidates in each:
            best = max(candidates, key=lambda c: np.dot(weights, astuple(c.signals)), default=None)
            score = bias + np.dot(weights, astuple(best.signals)) if best else -9
            taken = best.unit if best is not None and score > threshold else None
            right += taken == expected
            wrong += taken is not None and taken != expected
            if show and taken != expected:
                signals = [round(v, 2) for v in astuple(best.signals)] if best else []
                print(f"   {kind}: {question!r} -> {best and best.fact.question!r} {score:.2f} {signals}")
        print(f"{kind:12} right {right}/{len(each)}, wrongly routed {wrong}")


def cost(seen: dict[str, list[tuple[str, int | None, Any]]], weights: Any, bias: float, threshold: float) -> float:
    """Questions that go wrong, where a false value counts as much as three that are left to the model."""
    total = 0.0
    for each in seen.values():
        for (_, right, found), score in zip(each, best_scores(each, weights, bias), strict=True):
            if score > threshold:
                best = max(found, key=lambda c: np.dot(weights, astuple(c.signals)))
                total += 3.0 * (best.unit != right)
            else:
                total += right is not None
    return total


def best_scores(each: list[tuple[str, int | None, Any]], weights: Any, bias: float) -> list[float]:
    return [max((bias + np.dot(weights, astuple(c.signals)) for c in found), default=-9.0) for _, _, found in each]


def chosen(seen: dict[str, list[tuple[str, int | None, Any]]]) -> tuple[Any, float, float]:
    weights, bias = fit(seen)
    costs = {t: cost(seen, weights, bias, t) for t in np.arange(-4, 2, 0.05)}
    return weights, bias, min(costs, key=lambda t: costs[t])


if __name__ == "__main__":
    sets = [
        tuning("facts_eval/tuning_facts.psv", "facts_eval/tuning_off_topic.txt"),
        tuning("facts_tune/facts.psv", "facts_tune/off_topic.txt"),
        *(tuning(f"facts_tune{n}/facts.psv", f"facts_tune{n}/off_topic.txt") for n in (2, 3, 4)),
    ]
    for left_out in (*range(len(sets)), None):
        learned = joined([each for number, each in enumerate(sets) if number != left_out])
        weights, bias, threshold = chosen(learned)
        judged = learned if left_out is None else sets[left_out]
        told = "all, on themselves" if left_out is None else f"without set {left_out + 1}, on it"
        print(f"{told}: threshold {threshold:.2f}")
        report(judged, weights, bias, threshold, show="-v" in sys.argv and left_out is not None)
    print(dict(zip(routing.SIGNALS, weights.round(2).tolist(), strict=True)), "bias", round(bias, 2))
