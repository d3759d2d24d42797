"""The port of a backend: what the engine asks of whatever computes models, and what an implementation has to do.

A backend is known by name (``registry.register("backend", "mlx", "my_package.mlx:MlxBackend")``); the class is made once in a
process, without arguments, and importing it must not import the framework: that happens when something is loaded. What it
says is in :mod:`.backend_facts`, what it loads in :mod:`.weights`, what it may do beyond this in :mod:`.abilities`.

Recipe: CONTRIBUTING.md, "A backend"; suite: tests/ports/test_backend.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shadownb.engine.ports.backend_facts import Choices, Costs, Device, KernelTrial
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.weights import Weights
from shadownb.engine.rendering import Rendered, Tokenizer
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.source import Source
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.training import TrainingServices, TrainingSession


class Backend(Protocol):
    """Something that loads, trains and asks models.

    Attributes
    ----------
    fields
        The options of ``TrainConfig`` that every training here honours, apart from those of a method and an objective.
    packages
        Whose versions decide what comes out.
    """

    fields: frozenset[str]
    packages: tuple[str, ...]

    def preferred(self) -> str:
        """Return why ``backend="auto"`` is to be this one on this machine; empty where it is not. It imports nothing heavy."""

    def choices(self) -> Choices:
        """Return what is always so here, so that nothing else is planned, told and kept."""

    def warm_up(self) -> None:
        """Import what loading and training need, so that other cells are answered meanwhile."""

    def devices(self) -> list[Device]:
        """Return the accelerators that are here; the CPU is not among them."""

    def dtype(self, device: str) -> Decision | None:
        """Return the number format to train in on an accelerator by default; None leaves it to the engine (on a CPU)."""

    def free_memory_gb(self, device: str) -> float | None:
        """Return the free memory of an accelerator, in units of 1e9 bytes; None where it is the machine's own."""

    def describe(self) -> dict[str, Any]:
        """Return what else decides the bits that come out here, for a run's record: threads, instruction sets."""

    def flops(self, dtype: str) -> float:
        """Return this machine's matrix product rate in a number format, in FLOP/s, measured once."""

    def try_kernels(self) -> KernelTrial | None:
        """Time the backend's own ways of computing on the CPU beside the plain ones, in about a second; None where it has none."""

    def load(self, source: Source, decisions: dict[str, Decision], gate: Any) -> tuple[Weights, Tokenizer]:
        """Load a source's base.

        Parameters
        ----------
        decisions
            ``device``, ``dtype``, ``attention`` and ``quantization``, each with its reason. Where the files themselves hold the
            weights in 4 or 8 bits, the backend puts that in.
        gate
            Guards the weights, for what takes it by itself.

        Raises
        ------
        ModelNotFoundError, ModelError, OutOfMemoryError, MissingDependencyError
            What is not there, cannot be read, or does not fit.
        """

    def tokenizer(self, location: str) -> Tokenizer:
        """Return the tokenizer of a folder or a hub id, without loading weights."""

    def convert(self, file: Path, target: Path) -> Path:
        """Make a folder that :meth:`load` reads of a GGUF file; returns it.

        Raises
        ------
        ModelError
            Its architecture or number format cannot be read.
        """

    def description_names(self) -> tuple[str, ...]:
        """Return the names of the files by which a folder is known to hold something trained."""

    def check_options(self, config: TrainConfig) -> None:
        """Raise ConfigError or MissingDependencyError for an optimizer or a tracker that is not here."""

    def check_callbacks(self, callbacks: Sequence[Any]) -> None:
        """Raise ConfigError for what cannot be called back during a training here."""

    def check(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> None:
        """Raise MethodError where the method or its options do not fit the model, or what it carries."""

    def costs(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> Costs:
        """Return what memory and time of a training on this model are counted from."""

    def generator(self, model: Loaded, *, separate_base: bool = False) -> Generator:
        """Return what answers with the model as it is now, and with adapters beside it.

        Answers end by the tokens of ``model.renderer``, those of an adapter by those of ``model.renderer_of``.

        With ``separate_base`` the base answers in a second copy, which nobody trains and no gate guards.
        """

    def loss(self, model: Loaded, examples: Sequence[Example], use: Use) -> float:
        """Return the mean negative log-probability of the trained tokens, of which there is at least one, in nats."""

    def train(
        self,
        model: Loaded,
        config: TrainConfig,
        rows: Sequence[Rendered],
        services: TrainingServices,
    ) -> TrainingSession:
        """Put what is trained on the model and return its session, not opened yet; called with the weights held.

        ``rows`` are the rendered training rows, for whatever starts from them.

        Raises
        ------
        MethodError
            As :meth:`check`; then the model is as it was.
        """

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that memory ran out, on the device or on the machine."""

    def empty_cache(self) -> None:
        """Give memory back that nobody uses: a device's, and what this process's allocator kept."""
