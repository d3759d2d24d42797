"""MlxBackend: training and answers with MLX and mlx-lm's models; see :class:`shadownb.engine.ports.backend.Backend`.

Nothing of MLX is imported until something is asked that needs it.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.mlx import missing
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.ports.backend_facts import Choices, Costs, Device
from shadownb.engine.ports.decisions import Decision
from shadownb.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.backends.mlx.training import MlxTraining
    from shadownb.engine.backends.mlx.weights import MlxWeights
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.source import Source
    from shadownb.engine.methods import MethodSpec
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.training import TrainingServices
    from shadownb.engine.rendering import Rendered
    from shadownb.engine.rendering.examples import Example

_PIECE_TOKENS = 2048


class MlxBackend:
    """Apple's framework: on Apple silicon with its GPU, on Linux on the CPU."""

    packages = ("mlx", "mlx-lm")
    fields = frozenset(
        {
            "method", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
            "weight_decay", "max_grad_norm", "on_divergence", "optim", "per_device_train_batch_size",
            "gradient_accumulation_steps", "max_tokens_per_forward", "max_length", "seed", "logging_steps", "eval_steps",
            "sample_prompts", "sample_max_new_tokens", "early_stopping_patience", "early_stopping_threshold",
            "save_steps", "save_total_limit", "load_best_model_at_end", "resume_from_checkpoint", "gradient_checkpointing",
            "executor", "queue", "notify", "on_template_drop",
        }
    )  # fmt: skip

    # -- the machine ------------------------------------------------------------------------------------------------

    def preferred(self) -> str:
        """Return why MLX is what this machine computes best with; an empty string where it is not."""
        apple = platform.system() == "Darwin" and platform.machine() == "arm64"
        return "MLX is made for Apple silicon" if apple and not _missing() else ""

    def warm_up(self) -> None:
        """Import what loading and training need, in the thread that will compute."""
        missing = _missing()
        if missing:
            raise MissingDependencyError(
                f"backend='mlx' needs {' and '.join(missing)}.",
                why="It is an extra, because it runs on Apple silicon and Linux alone.",
                fix="pip install 'shadownb[mlx]', or use backend='torch'.",
            )
        from shadownb.engine.backends.mlx import worker

        worker.run(lambda: importlib.import_module("shadownb.engine.backends.mlx.training"))

    def devices(self) -> list[Device]:
        """Return the Apple GPU, where there is one."""
        self.warm_up()
        from shadownb.engine.backends.mlx import devices

        return devices.accelerators()

    def dtype(self, device: str) -> Decision | None:
        """Leave the number format to the engine: 32 bits, as on every machine whose 16 were not compared."""
        return None

    def free_memory_gb(self, device: str) -> float | None:
        """Return None: an Apple GPU has the machine's memory."""
        return None

    def choices(self) -> Choices:
        """Return what is always so here."""
        own = "backend mlx"
        return Choices(
            attention=("mlx", f"{own} has one kernel"),
            optimizer=("adamw", "MLX's AdamW"),
            kernels=(False, f"{own} fuses by itself"),
            own_kernels=(False, f"the layers are mlx-lm's on {own}"),
        )

    def describe(self) -> dict[str, Any]:
        """Return what MLX computes on."""
        self.warm_up()
        from shadownb.engine.backends.mlx import devices, worker

        return worker.run(devices.describe)

    def flops(self, dtype: str) -> float:
        """Return this machine's matrix product rate in a number format, in FLOP/s."""
        from shadownb.engine.backends.mlx import devices, worker

        return worker.run(lambda: devices.matmul_flops(dtype))

    def try_kernels(self) -> None:
        """Return nothing: MLX fuses by itself."""

    def empty_cache(self) -> None:
        """Give memory back that nobody uses."""
        import mlx.core as mx

        from shadownb.engine.backends.mlx import worker

        worker.run(mx.clear_cache)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that memory ran out."""
        from shadownb.engine.backends.mlx import memory

        return memory.is_out_of_memory(error)

    # -- models -----------------------------------------------------------------------------------------------------

    def load(self, source: Source, decisions: dict[str, Decision], gate: WeightsGate) -> tuple[MlxWeights, Any]:
        """Load a source's base; returns (weights, tokenizer)."""
        self.warm_up()
        from shadownb.engine.backends.mlx import devices, loading, worker
        from shadownb.engine.backends.mlx.weights import MlxWeights

        def there() -> MlxWeights:
            devices.use(str(decisions["device"][0]))
            module, files = loading.load_module(source, decisions)
            return MlxWeights(module, files, source, decisions, gate)

        weights = worker.run(there)
        return weights, loading.load_tokenizer(source.location)

    def tokenizer(self, location: str) -> Any:
        """Return the tokenizer of a folder or a hub id, without loading weights."""
        from shadownb.engine.loaded.backends import backend

        return backend().tokenizer(location)

    def convert(self, file: Path, target: Path) -> Path:
        """Make a folder that can be loaded of a GGUF file, as the torch backend does."""
        from shadownb.engine.loaded.backends import backend

        return backend().convert(file, target)

    def description_names(self) -> tuple[str, ...]:
        """Return the names of the files by which a folder is known to hold an adapter: those of the torch backend's kinds."""
        return ("adapter_config.json", "bitfit_config.json", "bottleneck_config.json")

    def generator(self, model: Loaded, *, separate_base: bool = False) -> Generator:
        """Return what answers with the model as it is now, or with a second model of its base."""
        from shadownb.engine.backends.mlx.generation import MlxGenerator

        weights: Any = model.weights
        more: dict[str, Any] = {
            "positions": weights.positions, "renderer": model.renderer, "renderer_of": model.renderer_of
        }  # fmt: skip
        if separate_base:  # nobody else's, so it need not wait for the training of the first
            copy = weights.base_copy()
            return MlxGenerator(lambda use: copy, model.tokenizer, WeightsGate(), **more)
        return MlxGenerator(weights.answering, model.tokenizer, model.gate, **more)

    def loss(self, model: Loaded, examples: Sequence[Example], use: Use) -> float:
        """Return the mean negative log-probability of the trained tokens, in nats."""
        from shadownb.engine.backends.mlx import passes, worker

        weights: Any = model.weights
        with model.gate.inference():
            module = weights.answering(use)
            return worker.run(lambda: passes.mean_loss(module, examples, _PIECE_TOKENS))

    def token_scores(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
        """Return of each row's trained tokens the log-probability in nats, and whether it is the likeliest in its place."""
        from shadownb.engine.backends.mlx import passes, worker

        weights: Any = model.weights
        with model.gate.inference():
            module = weights.answering(use)
            return worker.run(lambda: passes.token_scores(module, rows, _PIECE_TOKENS))

    def distributions(
        self, model: Loaded, rows: Sequence[Rendered], use: Use
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield the log-probabilities of all tokens where a marked one comes next, row by row."""
        from shadownb.engine.backends.mlx import passes, worker

        weights: Any = model.weights
        for number, row in enumerate(rows):
            if row.predicted_tokens:
                with model.gate.inference():
                    module = weights.answering(use)
                    targets, logs = worker.run(partial(passes.distribution, module, row))
                yield number, targets, logs

    # -- training ---------------------------------------------------------------------------------------------------

    @staticmethod
    def lacks(spec: MethodSpec) -> str | None:
        """Return why a method is not there on MLX; None where it is."""
        return missing.lacks(spec)

    def check_options(self, config: TrainConfig) -> None:
        """Raise ConfigError for an optimizer that is not here."""
        from shadownb.engine.backends.mlx.optimizers import check_optimizer

        check_optimizer(config.optim, config.weight_decay)

    def check_callbacks(self, callbacks: Sequence[Any]) -> None:
        """Raise ConfigError for any: they are called with transformers' objects, which a run on MLX has none of."""
        if callbacks:
            raise ConfigError(
                f"callbacks={list(callbacks)!r}: backend mlx calls none back.",
                why="A TrainerCallback of transformers is given torch's model and optimizer.",
                fix="Follow the run with run.subscribe(function), or load the model with backend='torch'.",
            )

    def check(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> None:
        """Raise MethodError where the method or its options do not fit the model, or what it carries."""
        from shadownb.engine.backends.mlx import adapters

        weights: Any = model.weights
        weights.check_format(config)
        adapters.check(weights.plain(own=False), None if from_base else weights.adapter, config)

    def costs(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> Costs:
        """Return what memory and time of a training on this model are counted from."""
        from shadownb.engine.backends.mlx.costs import costs

        weights: Any = model.weights
        return costs(weights, config, from_base=from_base)

    def train(
        self, model: Loaded, config: TrainConfig, rows: Sequence[Rendered], services: TrainingServices
    ) -> MlxTraining:
        """Put what is trained on the model; returns its session, not opened yet."""
        from shadownb.engine.backends.mlx.training import MlxTraining

        return MlxTraining(model, config, services)


def _missing() -> list[str]:
    return [name for name, module in (("mlx", "mlx"), ("mlx-lm", "mlx_lm")) if importlib.util.find_spec(module) is None]
