"""TorchBackend: training with torch, transformers' models and peft's adapters; see :class:`shadownb.engine.ports.backend.Backend`.

Nothing heavy is imported until something is asked that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.ports.backend_facts import Choices, Costs, Device, KernelTrial
from shadownb.engine.ports.decisions import Decision

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
    from shadownb.engine.backends.torch.training import TorchTraining
    from shadownb.engine.backends.torch.weights import TorchWeights
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.source import Source
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.model_files import Mix
    from shadownb.engine.ports.speaker import Speaker
    from shadownb.engine.ports.training import TrainingServices
    from shadownb.engine.rendering import Rendered
    from shadownb.engine.rendering.examples import Example


class TorchBackend:
    """The backend that every installation has."""

    packages = ("torch", "transformers")
    fields = frozenset(
        {
            "method", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
            "weight_decay", "max_grad_norm", "on_divergence", "optim", "per_device_train_batch_size",
            "gradient_accumulation_steps", "max_tokens_per_forward", "max_length", "seed", "logging_steps", "eval_steps",
            "sample_prompts", "sample_max_new_tokens", "early_stopping_patience", "early_stopping_threshold",
            "save_steps", "save_total_limit", "load_best_model_at_end", "resume_from_checkpoint", "gradient_checkpointing",
            "executor", "queue", "notify", "report_to", "on_template_drop", "shards",
        }
    )  # fmt: skip

    adapter_ways = (
        "linear",
        "svd",
        "cat",
        "ties",
        "ties_svd",
        "dare_linear",
        "dare_ties",
        "dare_linear_svd",
        "dare_ties_svd",
    )
    whole_ways = ("linear", "slerp", "ties", "dare_linear", "dare_ties")

    # -- the machine ------------------------------------------------------------------------------------------------

    def preferred(self) -> str:
        """Return nothing: it is the one that every machine can use, where none is preferred."""
        return ""

    def choices(self) -> Choices:
        """Leave all to the engine."""
        return Choices()

    def warm_up(self) -> None:
        """Import what loading and training need, so that other cells are answered meanwhile."""
        from shadownb.engine.backends.torch.preload import import_gently

        import_gently()

    def devices(self) -> list[Device]:
        """Return the accelerators that are here."""
        from shadownb.engine.backends.torch import devices

        return devices.accelerators()

    def dtype(self, device: str) -> Decision | None:
        """Return the number format to train in on an accelerator by default."""
        from shadownb.engine.backends.torch import devices

        return devices.default_dtype(device)

    def free_memory_gb(self, device: str) -> float | None:
        """Return the free memory of a GPU."""
        from shadownb.engine.backends.torch import devices

        return devices.free_memory_gb(device)

    def describe(self) -> dict[str, Any]:
        """Return the threads and the instruction set that torch computes with."""
        import torch

        return {"threads": torch.get_num_threads(), "cpu_capability": torch.backends.cpu.get_cpu_capability()}

    def flops(self, dtype: str) -> float:
        """Return this machine's matrix product rate in a number format, in FLOP/s."""
        from shadownb.engine.backends.torch import devices

        return devices.matmul_flops(dtype)

    def try_kernels(self) -> KernelTrial:
        """Time the kernels of a step in fp32 on the CPU, at the widths of a small model."""
        from shadownb.engine.backends.torch.kernels import trial

        return trial.on_this_machine()

    def empty_cache(self) -> None:
        """Give memory back that nobody uses: the GPU's, and what the allocator of this process kept."""
        from shadownb.engine.backends.torch import devices

        devices.empty_cache()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that memory ran out."""
        from shadownb.engine.backends.torch import memory

        return memory.is_out_of_memory(error)

    # -- models -----------------------------------------------------------------------------------------------------

    def load(self, source: Source, decisions: dict[str, Decision], gate: WeightsGate) -> tuple[TorchWeights, Any]:
        """Load a source's base; returns (weights, tokenizer)."""
        from shadownb.engine.backends.torch.loading import load_module
        from shadownb.engine.backends.torch.weights import TorchWeights

        module, tokenizer = load_module(source, decisions)
        return TorchWeights(module, source, decisions, gate), tokenizer

    def tokenizer(self, location: str) -> Any:
        """Return the tokenizer of a folder or a hub id, without loading weights."""
        from shadownb.engine.backends.torch.loading import load_tokenizer

        return load_tokenizer(location)

    def convert(self, file: Path, target: Path) -> Path:
        """Make a folder that can be loaded of a GGUF file."""
        from shadownb.engine.backends.torch.gguf import convert_gguf

        return convert_gguf(file, target)

    def description_names(self) -> tuple[str, ...]:
        """Return the names of the files by which a folder is known to hold an adapter."""
        from shadownb.engine.backends.torch import adapters

        return adapters.description_names()

    def generator(self, model: Loaded, *, separate_base: bool = False) -> Generator:
        """Return what answers with the model as it is now, or with a second copy of its base."""
        from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
        from shadownb.engine.rendering.last_turn import LastTurn

        weights: Any = model.weights
        ends: dict[str, Any] = {
            "stop_token_ids": model.renderer.stop_token_ids,
            "dropped_token_ids": model.renderer.dropped_token_ids,
        }
        if separate_base:  # nobody else's, so it need not wait for the training of the first
            return TransformersGenerator(weights.base_copy(), model.tokenizer, WeightsGate(), **ends)
        return TransformersGenerator(
            weights.module,
            model.tokenizer,
            model.gate,
            view=weights.view,
            reserved=weights.virtual_tokens or 0,
            renderer_of=model.renderer_of,
            last_turn=lambda: LastTurn.by(model.renderer),
            **ends,
        )

    def speaker(self, model: Loaded) -> Speaker:
        """Return what answers many callers of a server at once."""
        from shadownb.engine.inference.batcher import Batcher

        return Batcher(lambda: cast("TransformersGenerator", self.generator(model)))

    def loss(self, model: Loaded, examples: Sequence[Example], use: Use) -> float:
        """Return the mean negative log-probability of the trained tokens, in nats."""
        from shadownb.engine.backends.torch.likelihood import mean_loss

        return mean_loss(model, examples, use)

    def token_scores(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
        """Return of each row's marked tokens the log-probability in nats, and whether it is the likeliest."""
        from shadownb.engine.backends.torch.likelihood import token_scores

        return token_scores(model, rows, use)

    def values(self, model: Loaded, rows: Sequence[Rendered]) -> list[list[float]]:
        """Return what a reward model's head says where each row's marked tokens come next."""
        from shadownb.engine.backends.torch.likelihood import values

        return values(model, rows)

    def distributions(
        self, model: Loaded, rows: Sequence[Rendered], use: Use
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield the log-probabilities of all tokens where a marked one comes next."""
        from shadownb.engine.backends.torch.likelihood import distributions

        return distributions(model, rows, use)

    def activations(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> dict[str, Any]:
        """Return the mean square of each input of each linear layer on rows."""
        from shadownb.engine.backends.torch.likelihood import activations

        return activations(model, rows, use)

    # -- training ---------------------------------------------------------------------------------------------------

    def check_options(self, config: TrainConfig) -> None:
        """Raise ConfigError or MissingDependencyError for an optimizer or a tracker that is not here."""
        from shadownb.engine.backends.torch.optimizers import check_optimizer
        from shadownb.engine.backends.torch.trackers import check_trackers

        check_optimizer(config.optim)
        check_trackers(config.report_to)

    def check_callbacks(self, callbacks: Sequence[Any]) -> None:
        """Raise ConfigError for what is no ``TrainerCallback`` of transformers."""
        from shadownb.engine.backends.torch.trackers import check_callbacks

        check_callbacks(callbacks)

    def check(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> None:
        """Raise MethodError where the method or its options do not fit the model, or what it carries."""
        from shadownb.engine.backends.torch import adapters

        weights: Any = model.weights
        module, adapter = weights.at_start(from_base=from_base)
        adapters.check(module, adapter, config)

    def costs(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> Costs:
        """Return what memory and time of a training on this model are counted from."""
        from shadownb.engine.backends.torch.costs import costs

        weights: Any = model.weights
        return costs(weights, config, from_base=from_base)

    def train(
        self, model: Loaded, config: TrainConfig, rows: Sequence[Rendered], services: TrainingServices
    ) -> TorchTraining:
        """Put what is trained on the model; returns its session, not opened yet."""
        if config.spec.adapter == "facts":
            from shadownb.engine.backends.torch.fact_training import FactTraining

            return FactTraining(model, config, rows, services)
        if config.spec.adapter == "reader":
            from shadownb.engine.backends.torch.reader_training import ReaderTraining

            return ReaderTraining(model, config, rows, services)
        from shadownb.engine.backends.torch.training import TorchTraining

        return TorchTraining(model, config, rows, services)

    # -- several models in one --------------------------------------------------------------------------------------

    def combine_adapters(
        self,
        model: Loaded,
        folders: Sequence[Path],
        target: Path,
        mix: Mix,
    ) -> None:
        """Write one adapter made of several; see :class:`shadownb.engine.ports.model_files.Combines`."""
        from shadownb.engine.backends.torch.combining import adapters

        adapters(model.weights.module, folders, target, mix)

    def combine_whole(
        self,
        folders: Sequence[Path],
        base: Path | None,
        target: Path,
        mix: Mix,
    ) -> None:
        """Write one whole model made of several; see :class:`shadownb.engine.ports.model_files.Combines`."""
        from shadownb.engine.backends.torch.combining import whole

        whole(folders, base, target, mix)
