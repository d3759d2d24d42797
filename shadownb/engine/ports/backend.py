"""The port of a backend: what the engine asks of whatever computes models, and what an implementation has to do.

A backend is known by name (``registry.register("backend", "mlx", "my_package.mlx:MlxBackend")``); the class is made once in a
process, without arguments, and importing it must not import the framework: that happens when something is loaded.

Recipe: CONTRIBUTING.md, "A backend"; suite: tests/ports/test_backend.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shadownb.engine.inference.adapters import AdapterId, AdapterSource
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.reach import Reach
from shadownb.engine.rendering import Rendered, Tokenizer
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.source import Source
    from shadownb.engine.methods import MethodSpec
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.speaker import Speaker
    from shadownb.engine.ports.training import TrainingServices, TrainingSession


@dataclass(frozen=True)
class Device:
    """One place where a model can be trained."""

    kind: str
    name: str
    memory_gb: float
    free_memory_gb: float
    usable: bool
    reason: str


@dataclass(frozen=True)
class Choices:
    """What a backend has no choice in, each with its reason; None leaves it to the engine, which decides from facts.

    Attributes
    ----------
    attention
        The attention kernel.
    optimizer
        What ``optim="auto"`` is.
    kernels
        Whether norms and activations are fused by kernels of another package.
    own_kernels
        Whether the backend may compute parts of a model in faster ways of its own.
    """

    attention: tuple[str, str] | None = None
    optimizer: tuple[str, str] | None = None
    kernels: tuple[bool, str] | None = None
    own_kernels: tuple[bool, str] | None = None


@dataclass(frozen=True)
class KernelTrial:
    """How fast a backend's own ways of computing are on this machine.

    Attributes
    ----------
    where
        The kind of processor and number format, in words.
    on
        Those that training takes here.
    speeds
        How many times as fast as the plain way each is.
    slower
        Those that are on and lose.
    """

    where: str
    on: tuple[str, ...]
    speeds: Mapping[str, float]
    slower: tuple[str, ...]


@dataclass(frozen=True)
class Costs:
    """What memory and time of a training are counted from.

    Attributes
    ----------
    trainable
        How many numbers are trained.
    reach
        What is trained, and what stays frozen and why.
    kept_per_token
        Numbers that a block keeps of each token for the backward pass.
    kept_fixed
        Numbers kept as often as there are layers to adapt, whatever the rows.
    layers, hidden, vocabulary
        Sizes of the model.
    computed
        How many weights every token meets: not the experts that others read, nor embeddings that are looked up.
    kept_bytes
        Bytes that a kept number takes, in the mean of all of them.
    logits_at_once
        For how many trained tokens logits stand at the same time where the accelerator may be used; None is all of a pass.
    logits_copies
        How often they stand there, in 32 bits, where the accelerator may be used; None is as often as plain operations have them.
    speedup
        How many times as fast as with plain operations a step is where the accelerator may be used.
    """

    trainable: int
    reach: Reach
    kept_per_token: int
    kept_fixed: int
    layers: int
    hidden: int
    vocabulary: int
    computed: int
    kept_bytes: float = 4.0
    logits_at_once: int | None = None
    logits_copies: int | None = None
    speedup: float = 1.0


@dataclass(frozen=True)
class ResidentAdapter:
    """An adapter in memory that is not on the model.

    Attributes
    ----------
    name
        What it was asked for by.
    bytes
        How much memory it takes beside the base.
    """

    id: AdapterId
    name: str
    bytes: int


class Weights(Protocol):
    """Loaded weights: a base, at most one trained state on it, and adapters beside that which only answer.

    Whoever changes or reads them holds the model's gate; these methods take none. Which run and step the trained state is of
    is not known here: whoever keeps the model keeps that.

    An adapter beside it (:class:`~shadownb.engine.inference.AdapterSource`) is never trained, saved or merged, and belongs to no
    run. It is told from others by its identity alone, may come as files or as tensors, and is read when it is first asked. A
    backend keeps as many as is good for it, tells which and how large they are, and may keep none: then :meth:`check_beside`
    refuses, with the reason.

    Attributes
    ----------
    module
        The backend's own object, with what it carries; None once unloaded.
    adapter
        The backend's own object of the trained state; None for the bare base.
    """

    @property
    def module(self) -> Any: ...

    @property
    def adapter(self) -> Any: ...

    @property
    def kind(self) -> str | None:
        """What is trained on it (a method's ``adapter``); None for the bare base."""

    @property
    def separate(self) -> bool:
        """Whether what was trained exists apart from the whole model."""

    @property
    def replaces_base(self) -> bool:
        """Whether the base is no longer there to answer for itself."""

    @property
    def virtual_tokens(self) -> int | None:
        """How many learned embeddings stand before every row; None for the bare base."""

    @property
    def device(self) -> Any:
        """Where the weights are; ``str()`` of it names the place, ``type`` its kind."""

    @property
    def positions(self) -> int | None:
        """How many positions the architecture has; None where it sets no limit."""

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""

    @property
    def base_bytes(self) -> int:
        """Bytes of the base's weights in memory."""

    @property
    def unread_bytes(self) -> int:
        """Bytes of the base's weights that are mapped from their files and were not read into memory yet."""

    @property
    def merges_dense(self) -> bool:
        """Whether :meth:`save_whole` writes 16 or 32 bits for what the base holds in fewer, so that no adapter is rounded away."""

    def load_adapter(self, folder: Path) -> None:
        """Put the trained state that a folder holds on the base, in the place of whatever is there, trainable."""

    def detach_adapter(self) -> None:
        """Take off what was trained, so that the bare base is there again."""

    def save(self, folder: Path) -> None:
        """Write what was trained, apart from the base."""

    def save_whole(self, folder: Path) -> None:
        """Write a whole model with what was trained in its weights; this one stays as it is.

        Raises
        ------
        ExportError
            It cannot be merged.
        """

    def identity(self) -> list[Any] | None:
        """Return what tells the trained state from all others, from its tensors themselves; None for the bare base."""

    @property
    def resident(self) -> Sequence[ResidentAdapter]:
        """The adapters beside the trained state that are in memory; may be asked without the gate."""

    def check_beside(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer beside what is here, with the reason and the next step.

        What its tensors alone can tell, as that they are of another shape, is found when it is first asked.
        """

    def free_resident(self) -> None:
        """Free the adapters beside the trained state."""

    def verify_base(self) -> tuple[bool, str]:
        """Compare the base in memory with its files; returns (whether all are equal, what was compared).

        Loads the base a second time, so it takes the gate by itself where it needs it.
        """

    def unload(self) -> None:
        """Free the weights, and the adapters beside them."""


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


@runtime_checkable
class TellsTokens(Protocol):
    """A backend that can tell, too, how likely a model finds each of given tokens."""

    def token_scores(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
        """Return of each row's trained tokens the log-probability in nats, and whether it is the likeliest in its place."""


@runtime_checkable
class TellsValues(Protocol):
    """A backend that can ask a reward model."""

    def values(self, model: Loaded, rows: Sequence[Rendered]) -> list[list[float]]:
        """Return what its head says where each row's marked tokens come next, so of all that stands before them."""


@runtime_checkable
class LacksMethods(Protocol):
    """A backend that does not have every method; one that is not such is taken to have them all.

    One that trains nothing says so by ``trains = False``, too: tables of methods leave it out.
    """

    @staticmethod
    def lacks(spec: MethodSpec) -> str | None:
        """Return why a method is not there, on whatever model: a clause that follows "because"; None where it is.

        It is asked of the class, for tables and menus, before any model is loaded: nothing of the framework is imported for it.
        """


@runtime_checkable
class Speaks(Protocol):
    """A backend that can answer many callers of a server together; one without is asked by threads that take turns."""

    def speaker(self, model: Loaded) -> Speaker:
        """Return what answers them; whoever asks for it closes it."""


@runtime_checkable
class SavesExact(Protocol):
    """Weights that can be written in 32 bits with what was trained in them, whatever format they are held in."""

    def save_exact(self, folder: Path) -> None:
        """Write as :meth:`Weights.save_whole` does, with nothing rounded into 16 bits."""


@runtime_checkable
class TellsActivations(Protocol):
    """A backend that can tell how much each input of a linear layer is used on given rows."""

    def activations(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> dict[str, Any]:
        """Return of each linear layer, by its name in the model, the mean square of each input: float32, shape (inputs,)."""


@runtime_checkable
class TellsDistributions(Protocol):
    """A backend that can tell the whole distribution where a marked token comes next, so that two models can be compared."""

    def distributions(
        self, model: Loaded, rows: Sequence[Rendered], use: Use
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield pieces of rows, in order: (number of the row, its next marked tokens, log-probabilities at their places).

        The log-probabilities are natural logarithms, a numpy array of shape (tokens, vocabulary).
        """
