"""Answers held to 200 JSON schemas: how many are taken, whether every finished answer validates, what a constraint costs.

    python benchmarks/schemas.py [--suite FOLDER/draft2020-12] [--model MODEL] [--count 100]

100 schemas are drawn as people write them (nested objects, arrays, enumerations, patterns, bounds, references), and 100 are those
of the JSON Schema test suite that some value satisfies, which ``pip download --no-binary jsonschema --no-deps jsonschema`` brings
in ``json/tests``. Without a model the tokens are drawn from all that are allowed, each as likely, but those that end a string or a
list more often; with one it is asked by the front, 16 questions at once. Those that are refused are listed by the reason.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np

Schema = dict[str, Any]
_WORDS = ("name", "city", "amount", "items", "state", "tags", "address", "code", "since", "notes")


def drawn(rng: random.Random, depth: int = 0) -> Schema:
    """Return a schema as people write them."""
    kinds = ["string", "integer", "number", "boolean", "enum", "pattern", "format", "null", "const", "any_of"]
    kinds += ["object", "array"] * (2 if depth < 2 else 0)
    kind = rng.choice(kinds) if depth else "object"
    low = rng.randint(0, 5)
    made: dict[str, Any] = {
        "string": lambda: {"type": "string", "minLength": low, "maxLength": low + rng.randint(1, 20)},
        "integer": lambda: {"type": "integer", "minimum": low, "maximum": low + rng.randint(1, 1000)},
        "number": lambda: {"type": "number", "exclusiveMinimum": 0, "maximum": 10 * (low + 1)},
        "boolean": lambda: {"type": "boolean"},
        "enum": lambda: {"enum": rng.sample(_WORDS, 3)},
        "pattern": lambda: {"type": "string", "pattern": rng.choice(["^[A-Z]{2}-[0-9]{3}$", "^a+b?$", "^(yes|no)$"])},
        "format": lambda: {
            "type": "string",
            "format": rng.choice(["date", "time", "uuid", "email", "ipv4", "date-time"]),
        },
        "null": lambda: {"type": ["string", "null"], "maxLength": 12},
        "const": lambda: {"const": rng.choice([1, "x", None, True, [1, 2]])},
        "any_of": lambda: {"anyOf": [drawn(rng, depth + 1), {"type": "null"}]},
        "array": lambda: {
            "type": "array",
            "items": drawn(rng, depth + 1),
            "minItems": low % 3,
            "maxItems": low % 3 + 2,
        },
    }
    if kind != "object":
        return dict(made[kind]())
    names = rng.sample(_WORDS, rng.randint(1, 4))
    found: Schema = {
        "type": "object",
        "properties": {name: drawn(rng, depth + 1) for name in names},
        "required": rng.sample(names, rng.randint(1, len(names))),
        "additionalProperties": False,
    }
    if depth == 0 and rng.random() < 0.3:
        found["$defs"] = {"part": drawn(rng, 2)}
        found["properties"]["part"] = {"$ref": "#/$defs/part"}
    return found


def of_suite(folder: Path, count: int) -> list[Any]:
    """Return schemas of the test suite that some value satisfies, drawn by their hash."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            schema = group["schema"]
            remote = "localhost:1234" in json.dumps(schema) or path.stem in ("refRemote", "vocabulary", "anchor")
            if isinstance(schema, dict) and not remote and any(test["valid"] for test in group["tests"]):
                plain = {key: value for key, value in schema.items() if key != "$schema"}
                found[hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()] = plain
    return [found[key] for key in sorted(found)[:count]]


def by_walk(tokenizer: Any, stops: list[int], most: int) -> Callable[[Any], tuple[str, str]]:
    """Return what writes an answer without a model."""
    from shadownb.engine.inference import Constraint
    from shadownb.engine.inference.constraining import Matcher

    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    ends = np.array([text.lstrip().startswith('"') for text in texts])

    def write(schema: Any) -> tuple[str, str]:
        rng = np.random.default_rng(int(hashlib.sha256(json.dumps(schema).encode()).hexdigest()[:8], 16))
        matcher, ids = Matcher(tokenizer, Constraint.schema(schema), stops), []
        while len(ids) < most and not matcher.complete:
            allowed = matcher.allowed(len(texts))
            if any(allowed[stop] for stop in stops) and rng.random() < 0.5:
                break
            allowed[stops] = False
            closing = allowed & ends
            choices = np.flatnonzero(closing if closing.any() and rng.random() < 0.6 else allowed)
            if not len(choices):
                break
            ids.append(int(rng.choice(choices)))
            matcher.take(ids[-1])
        return tokenizer.decode(ids), "length" if len(ids) >= most and not matcher.complete else "stop"

    return write


def by_model(server: Any, web: Any, most: int) -> Callable[[Any], tuple[str, str]]:
    """Return what asks a served model."""

    def write(schema: Any) -> tuple[str, str]:
        question = f"Give an example of JSON for this schema: {json.dumps(schema)[:1500]}"
        body = {
            "model": "it", "messages": [{"role": "user", "content": question}], "seed": 1, "temperature": 0.7,
            "max_tokens": most,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        }  # fmt: skip
        answer = web.post(f"{server.url}/chat/completions", json=body).json()
        choice = answer["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]

    return write


def outcome(schema: Any, write: Callable[[Any], tuple[str, str]]) -> tuple[str, str]:
    """Return how a schema fares, and why."""
    from shadownb.engine.inference import Constraint
    from shadownb.errors import ConfigError

    try:
        Constraint.schema(schema)
    except ConfigError as error:
        return "refused", error.what.partition("cannot be held: ")[2]
    text, ending = write(schema)
    if ending == "length":
        return "cut", f"{text[-50:]!r} of {json.dumps(schema)[:150]}"
    try:
        draft = jsonschema.Draft202012Validator
        draft(schema, format_checker=draft.FORMAT_CHECKER).validate(json.loads(text))
    except (jsonschema.ValidationError, ValueError) as error:
        return "invalid", f"{text[:120]!r} of {json.dumps(schema)[:200]}: {str(error)[:80]}"
    return "valid", ""


def main() -> None:
    """Ask, check and print."""
    import shadownb as snb

    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--suite", type=Path)
    options.add_argument("--model")
    options.add_argument("--engine", default="auto")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--max-tokens", type=int, default=400)
    asked = options.parse_args()
    rng = random.Random(0)
    sets: dict[str, list[Any]] = {"drawn": [drawn(rng) for _ in range(asked.count)]}
    if asked.suite is not None:
        sets["test suite"] = of_suite(asked.suite, asked.count)
    if asked.model is None:
        model = snb.load("smollm2-135m")
        tokenizer, stops = model.tokenizer, list(model.renderer.stop_token_ids)
        for name, schemas in sets.items():
            write = by_walk(tokenizer, stops, asked.max_tokens)
            tell(name, [outcome(schema, write) for schema in schemas])
        print_costs(tokenizer, stops, sets["drawn"])
        return
    with snb.serve(asked.model, engine=asked.engine, name="it", at_once=16, embeddings=False) as server:
        headers = {"authorization": f"Bearer {server.token}"}
        with httpx.Client(trust_env=False, timeout=None, headers=headers) as web, ThreadPoolExecutor(16) as threads:
            write = by_model(server, web, asked.max_tokens)
            for name, schemas in sets.items():
                tell(name, list(threads.map(lambda schema: outcome(schema, write), schemas)))


def tell(name: str, results: list[tuple[str, str]]) -> None:
    """Print how the schemas of a set fared."""
    counts = collections.Counter(kind for kind, _ in results)
    taken = len(results) - counts["refused"]
    print(f"{name}: {len(results)} schemas, taken {taken} ({taken / len(results):.0%}), {dict(counts)}", flush=True)
    reasons = collections.Counter(why[:70] for kind, why in results if kind == "refused")
    for why, count in reasons.most_common():
        print(f"   refused {count:3}  {why}")
    for kind, why in results:
        if kind in ("invalid", "cut"):
            print(f"   {kind}: {why}", flush=True)


def print_costs(tokenizer: Any, stops: list[int], schemas: list[Any]) -> None:
    """Print CPU seconds a token of a matcher, apart from the model: making it, and each token's mask."""
    from shadownb.engine.inference import Constraint
    from shadownb.engine.inference.constraining import Matcher

    making, masks = [], []
    rng = random.Random(1)
    for schema in schemas[:40]:
        began = time.process_time()
        matcher = Matcher(tokenizer, Constraint.schema(schema), stops)
        making.append(time.process_time() - began)
        for _ in range(40):
            began = time.process_time()
            allowed = matcher.allowed(len(tokenizer)).nonzero()[0].tolist()
            masks.append(time.process_time() - began)
            token = rng.choice(allowed)
            if token in stops or matcher.complete:
                break
            matcher.take(token)
    for name, values in (("making a matcher", making[1:]), ("a token's mask", masks[1:])):
        ordered = sorted(values)
        print(
            f"{name}: median {statistics.median(ordered) * 1e3:.2f} ms, 95th {ordered[len(ordered) * 95 // 100] * 1e3:.2f} ms"
        )


if __name__ == "__main__":
    main()
