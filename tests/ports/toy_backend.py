"""A backend in numpy that trains a bigram model: in one file outside of the package, and through the whole machine.

The base is a table of logits, one row for each token that may come before; what is trained is a table that is added to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from shadownb.engine.inference import AdapterSource, Completion, Rollout, Sampling, TokenStream, WeightsGate
from shadownb.engine.inference.draws import row_draws, seed_of
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.objectives import Objective
from shadownb.engine.ports.backend_facts import Choices, Costs
from shadownb.engine.ports.reach import Reach
from shadownb.engine.ports.training import Listener
from shadownb.engine.ports.weights import ResidentAdapter
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import ConfigError, MethodError, ModelError, NonFiniteLossError
from tests.ports.toy_arrays import Array, ToyOps
from tests.ports.toy_tokenizer import CharacterTokenizer

BASE, DELTA, STATE = "model.safetensors", "delta.safetensors", "momentum.safetensors"


class Tokenizer(CharacterTokenizer):
    """The characters' tokenizer, in a folder."""

    chat_template: str

    def save_pretrained(self, folder: str) -> None:
        (Path(folder) / "chat_template.jinja").write_text(self.chat_template, encoding="utf-8")


def write_base(folder: Path) -> Path:
    """Write a base that prefers nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    size = len(Tokenizer().get_vocab())
    save_file({"table": np.random.default_rng(7).normal(0, 0.1, (size, size)).astype(np.float64)}, folder / BASE)
    (folder / "config.json").write_text('{"model_type": "bigram"}', encoding="utf-8")
    return folder


class Place:
    type = "cpu"

    def __str__(self) -> str:
        return "cpu"


class ToyWeights:
    def __init__(self, folder: Path) -> None:
        self._file = folder / BASE
        self.base: np.ndarray = load_file(self._file)["table"]
        self.delta: np.ndarray | None = None
        self.resident: list[ResidentAdapter] = []
        self._loaded = True

    module = property(lambda self: self if self._loaded else None)
    carried = property(lambda self: self.delta)
    kind = property(lambda self: None if self.delta is None else "lora")
    separate = property(lambda self: self.delta is not None)
    replaces_base = False
    virtual_tokens = property(lambda self: None if self.delta is None else 0)
    device = Place()
    positions = 512
    parameters_total = property(lambda self: int(self.base.size))
    base_bytes = property(lambda self: int(self.base.nbytes))
    unread_bytes = 0
    merges_dense = True

    def table(self, use: Any = "tuned") -> np.ndarray:
        if isinstance(use, AdapterSource):
            self.check_beside(use)
            found = load_file(use.folder / DELTA) if use.folder is not None else dict(use.tensors or {})
            self.resident = [ResidentAdapter(use.id, use.name, found["delta"].nbytes)]  # the newest alone
            return self.base + found["delta"]
        return self.base if self.delta is None or use == "base" else self.base + self.delta

    def check_beside(self, source: AdapterSource) -> None:
        if source.folder is not None and not (source.folder / DELTA).is_file():
            raise ModelError(f"use={source.name!r} holds no table to add.", fix="Load it as a model of its own.")

    def free_resident(self) -> None:
        self.resident = []

    def load_adapter(self, folder: Path) -> None:
        self.delta = load_file(folder / DELTA)["delta"]

    def detach_adapter(self) -> None:
        self.delta = None

    def save(self, folder: Path) -> None:
        save_file({"delta": self.delta}, folder / DELTA)

    def save_whole(self, folder: Path) -> None:
        save_file({"table": self.table()}, folder / BASE)
        (folder / "config.json").write_text('{"model_type": "bigram"}', encoding="utf-8")

    def identity(self) -> list[Any] | None:
        return None if self.delta is None else [hashlib.sha256(self.delta.tobytes()).hexdigest()]

    def verify_base(self) -> tuple[bool, str]:
        return bool((load_file(self._file)["table"] == self.base).all()), "the table"

    def unload(self) -> None:
        self._loaded, self.resident = False, []


class ToyTokens:
    """Log-probabilities of the trained tokens of rows, and whatever else an objective needs."""

    def __init__(self, table: np.ndarray, rows: Sequence[Any], needs: frozenset[str], head: Array | None) -> None:
        self._before, targets, self._owners = [], [], []
        for number, row in enumerate(rows):
            for place in range(len(row.input_ids) - 1):
                if row.labels[place + 1] != NOT_TRAINED:
                    self._before.append(row.input_ids[place])
                    targets.append(row.labels[place + 1])
                    self._owners.append(number)
        self.rows = len(rows)
        self.weights = Array(table[self._before])  # (N, V): whose gradient is that of the table's rows
        logits = self.weights.value
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        places, chances = np.arange(len(targets)), np.exp(logs)

        def back(grad: np.ndarray) -> list[tuple[Array, np.ndarray]]:
            slope = -chances * grad[:, None]
            slope[places, targets] += grad
            return [(self.weights, slope)]

        self.logp = Array(logs[places, targets], back)
        self._logs, self._needs, self._head = logs, needs, head

    def by_row(self, values: Array) -> Array:
        owners = np.asarray(self._owners)
        return Array(
            np.bincount(owners, values.value, self.rows) if len(owners) else np.zeros(self.rows),
            lambda grad: [(values, grad[owners])],
        )

    def over(self, values: Sequence[float]) -> Array:
        return Array([values[owner] for owner in self._owners])

    def spread(self, values: Sequence[Sequence[float]]) -> Array:
        return Array([number for row in values for number in row])

    def listed(self, values: Array) -> list[list[float]]:
        return [
            [float(v) for v, owner in zip(values.value, self._owners, strict=True) if owner == row]
            for row in range(self.rows)
        ]

    @property
    def entropy(self) -> Array:
        self._asked("entropy")
        chances, logs = np.exp(self._logs), self._logs
        found = -(chances * logs).sum(axis=1)
        return Array(found, lambda grad: [(self.weights, -grad[:, None] * chances * (logs + found[:, None]))])

    def top_k(self, k: int) -> tuple[Array, Array]:
        self._asked("top_k")
        order = np.argsort(-self._logs, axis=1)[:, :k]
        return Array(order), Array(np.take_along_axis(self._logs, order, axis=1))

    def logp_of(self, ids: Sequence[Sequence[Sequence[int]]]) -> Array:
        self._asked("logits" if "logits" in self._needs else "top_k")
        wanted = np.asarray([k for row in ids for k in row])
        places, chances = np.arange(len(wanted))[:, None], np.exp(self._logs)

        def back(grad: np.ndarray) -> list[tuple[Array, np.ndarray]]:
            slope = -chances * grad.sum(axis=1, keepdims=True)
            np.add.at(slope, (places, wanted), grad)
            return [(self.weights, slope)]

        return Array(self._logs[places, wanted], back)

    @property
    def logits(self) -> Array:
        self._asked("logits")
        return self.weights

    @property
    def hidden(self) -> Array:
        self._asked("hidden")
        return Array(np.eye(len(self._logs[0]))[self._before])

    @property
    def value(self) -> Array:
        self._asked("value")
        assert self._head is not None
        return self._head[np.asarray(self._before)]

    def _asked(self, need: str) -> None:
        if need not in self._needs:
            raise AttributeError(f"The forward pass kept no {need}.")


class ToyTraining:
    """Plain gradient descent with momentum on the added table."""

    separate, may_skip, peak_memory_gb = True, False, 0.001

    def __init__(self, weights: ToyWeights, config: Any, services: Any) -> None:
        self.continues = weights.delta is not None
        if weights.delta is None:
            weights.delta = np.zeros_like(weights.base)
        self.weights, self.config, self.services, self.ops = weights, config, services, ToyOps()
        self.momentum = np.zeros_like(weights.base)
        self._needs: frozenset[str] = frozenset()
        self._temperature = 1.0
        self.head: Array | None = None

    trained_parameters = property(lambda self: int(self.weights.base.size))

    @contextlib.contextmanager
    def opened(self, plan: Any, objective: Objective) -> Iterator[None]:
        self._needs, self._temperature = objective.needs, objective.temperature
        self.head = Array(np.zeros(len(self.weights.base))) if "value" in objective.needs else None
        self._head_rate = objective.head.rate
        self.forget_gradients()
        yield

    @contextlib.contextmanager
    def listening(self, callbacks: Any, folder: Path, total_steps: int, step: int) -> Iterator[Listener]:
        yield Listener()

    def remarks(self) -> Iterator[Any]:
        yield from ()

    def decisions(self) -> dict[str, Any]:
        return {"packing": ("none", "a bigram looks one token back")}

    def snapshot(self) -> np.ndarray:
        return self._delta.copy()

    def restore(self, kept: np.ndarray) -> None:
        self.weights.delta = kept.copy()

    @property
    def _delta(self) -> np.ndarray:
        assert self.weights.delta is not None
        return self.weights.delta

    def forget_gradients(self) -> None:
        self._grad = np.zeros_like(self.weights.base)

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        self.forget_gradients()
        loss_sum = 0.0
        try:
            for example in examples:
                self.services.check()
                tokens = self._tokens(example.rows)
                loss = objective.loss(self.ops, tokens, [example], held_out=False) / total
                loss.backward()
                np.add.at(self._grad, tokens._before, tokens.weights.grad / self._temperature)
                loss_sum += float(loss.value)
        except BaseException:
            self.forget_gradients()
            raise
        if objective.head_alone:
            self._grad[:] = 0.0
        if not np.isfinite(loss_sum):
            self.forget_gradients()
            raise NonFiniteLossError(f"The loss became {loss_sum} after step {step}.", fix="Lower learning_rate.")
        return loss_sum

    def update(self, rate: float) -> float | None:
        norm = float(np.linalg.norm(self._grad))
        self.momentum = 0.9 * self.momentum + self._grad
        self.weights.delta = self._delta - rate * 1000 * self.momentum
        if self.head is not None:
            self.head = Array(self.head.value - self._head_rate * rate * 1000 * self.head.grad)
        self.forget_gradients()
        return norm

    def _tokens(self, rows: Sequence[Any]) -> ToyTokens:
        return ToyTokens(self.weights.table() / self._temperature, rows, self._needs, self.head)

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        for example in examples:
            self.services.check()
            with self.services.weights():
                tokens = self._tokens(example.rows)
                loss = objective.loss(self.ops, tokens, [example], held_out=True)
            yield float(loss.value), 1

    def score(self, bundles: Sequence[Any]) -> Iterator[tuple[list[int], ToyTokens]]:
        for number, rows in enumerate(bundles):
            self.services.check()
            with self.services.weights():
                tokens = self._tokens(rows)
            yield [number], tokens

    def save(self, folder: Path) -> None:
        save_file(
            {"momentum": self.momentum, **({} if self.head is None else {"head": self.head.value})}, folder / STATE
        )

    def load(self, folder: Path, *, own: bool) -> None:
        kept = load_file(folder / STATE)
        self.momentum = kept["momentum"]
        if self.head is not None:
            self.head = Array(kept["head"])

    def save_weights(self, folder: Path) -> None:
        self.weights.save(folder)

    def load_weights(self, folder: Path) -> None:
        self.weights.load_adapter(folder)

    def check_finite(self) -> None:
        assert np.isfinite(self._delta).all()

    def checkpoint_bytes(self) -> int:
        return 2 * int(self.momentum.nbytes)

    def digest(self) -> str:
        return hashlib.sha256(self._delta.tobytes()).hexdigest()

    def actual_setup(self) -> dict[str, Any]:
        return {"optimizer": "numpy.momentum", "trained_parameters": self.trained_parameters}


class ToyGenerator:
    def __init__(self, model: Any) -> None:
        self._model, self._weights, self._gate = model, model.weights, model.gate

    def generate(
        self, prompts: Any, sampling: Sampling, *, use: Any = "tuned", should_stop: Callable[[], bool] | None = None
    ) -> list[Completion]:
        uses = use if isinstance(use, list) else [use] * len(prompts)
        with self._gate.inference():
            return [
                self._one(list(prompt), sampling, each, should_stop, lambda _: None, (number,))
                for number, (prompt, each) in enumerate(zip(prompts, uses, strict=True))
            ]

    def stream(self, prompt: Any, sampling: Sampling, *, use: Any = "tuned", should_stop: Any = None) -> TokenStream:
        def produce(emit: Callable[[str], None], closed: Callable[[], bool]) -> Completion:
            with self._gate.inference():
                return self._one(
                    list(prompt), sampling, use, lambda: closed() or bool(should_stop and should_stop()), emit
                )

        return TokenStream(produce)

    def rollouts(
        self, prompts: Any, n: int, sampling: Sampling, *, use: Any = "tuned", skip: Any = (), should_stop: Any = None
    ) -> Iterator[Rollout]:
        if n < 1:
            raise ConfigError(f"n={n}: each prompt needs a completion.", fix="Give n from 1 on.")
        for number, prompt in enumerate(prompts):
            if not prompt:
                raise ModelError(f"Prompt {number} has no tokens.", fix="Give some text or a message.")
        asked = dataclasses.replace(sampling, logprobs=True, seed=seed_of(sampling))
        return self._rollouts([list(prompt) for prompt in prompts], n, asked, use, skip, should_stop)

    def _rollouts(self, prompts: Any, n: int, sampling: Sampling, use: Any, skip: Any, stop: Any) -> Iterator[Rollout]:
        known = self._weights.table(use).copy()
        for number, prompt in enumerate(prompts):
            for sample in sorted(set(range(n)) - {s for p, s in skip if p == number}):
                with self._gate.inference():
                    if not np.array_equal(known, self._weights.table(use)):
                        raise ModelError("The weights were changed between two completions of a batch of rollouts.")
                    found = self._one(prompt, sampling, use, stop, lambda _: None, (number, sample))
                if found.finish_reason == "cancelled":
                    return
                yield Rollout(number, sample, found)

    def _one(
        self,
        prompt: list[int],
        sampling: Sampling,
        use: Any,
        stop: Any,
        emit: Callable[[str], None],
        row: tuple[int, ...] = (0,),
    ) -> Completion:
        renderer = self._model.renderer_of(use) if isinstance(use, AdapterSource) else self._model.renderer
        table, made, ends = self._weights.table(use), [], set(renderer.stop_token_ids)
        text = AnswerText(self._model.tokenizer, sampling.stop, dropped=renderer.dropped_token_ids)
        draw, reason, known = row_draws(seed_of(sampling), *row), "length", []
        while len(made) < sampling.max_new_tokens:
            if stop is not None and stop():
                reason = "cancelled"
                break
            logits = table[(prompt + made)[-1]]
            chances = np.exp((logits - logits.max()) / max(sampling.temperature, 1e-3))
            made.append(
                int(
                    np.argmax(logits)
                    if sampling.temperature == 0
                    else np.searchsorted(chances.cumsum(), draw.random() * chances.sum(), side="right")
                )
            )
            known.append(float(logits[made[-1]] - np.logaddexp.reduce(logits)))
            emit(text.push(made[-1]))
            if made[-1] in ends or text.stopped:
                reason = "stop"
                break
        emit(text.finish())
        return Completion(
            text.text,
            made,
            reason,
            len(prompt),
            len(made),
            text.stop_string,
            known if sampling.logprobs else None,  # type: ignore[arg-type]
        )


class ToyBackend:
    """The port of :class:`shadownb.engine.ports.backend.Backend`."""

    packages = ("numpy",)
    fields = frozenset(
        {
            "method", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
            "on_divergence", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "seed",
            "logging_steps", "eval_steps", "sample_prompts", "sample_max_new_tokens", "early_stopping_patience",
            "early_stopping_threshold", "save_steps", "save_total_limit", "load_best_model_at_end", "resume_from_checkpoint",
            "executor", "on_template_drop",
        }
    )  # fmt: skip

    def preferred(self) -> str:
        return ""

    def choices(self) -> Choices:
        return Choices(optimizer=("momentum", "it has no other"))

    def warm_up(self) -> None: ...
    def empty_cache(self) -> None: ...
    def check_options(self, config: Any) -> None: ...

    def check_callbacks(self, callbacks: Sequence[Any]) -> None:
        if callbacks:
            raise ConfigError("callbacks cannot be used here: nobody calls them.", fix="Leave callbacks out.")

    def devices(self) -> list[Any]:
        return []

    def dtype(self, device: str) -> None:
        return None

    def free_memory_gb(self, device: str) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        return {"numpy": np.__version__}

    def flops(self, dtype: str) -> float:
        return 1e9

    def try_kernels(self) -> None:
        return None

    def load(self, source: Any, decisions: Any, gate: WeightsGate) -> tuple[ToyWeights, Tokenizer]:
        return ToyWeights(Path(source.location)), Tokenizer()

    def tokenizer(self, location: str) -> Tokenizer:
        return Tokenizer()

    def convert(self, file: Path, target: Path) -> Path:
        raise NotImplementedError

    def description_names(self) -> tuple[str, ...]:
        return (DELTA,)

    def check(self, model: Any, config: Any, *, from_base: bool = False) -> None:
        if config.spec.adapter != "lora":
            raise MethodError(f"method={config.method!r}: a bigram has one table to add to.", fix="Use method='lora'.")

    def costs(self, model: Any, config: Any, *, from_base: bool = False) -> Costs:
        size = len(model.weights.base)
        return Costs(size * size, Reach("a table"), 0, 0, 1, size, size, size * size)

    def generator(self, model: Any, *, separate_base: bool = False) -> ToyGenerator:
        return ToyGenerator(model)

    def loss(self, model: Any, examples: Sequence[Example], use: Any) -> float:
        found = [ToyTokens(model.weights.table(use), e.rows, frozenset(), None).logp.value for e in examples]
        return -float(np.concatenate(found).mean())

    def train(self, model: Any, config: Any, rows: Any, services: Any) -> ToyTraining:
        self.check(model, config)
        return ToyTraining(model.weights, config, services)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)
