"""LlamaCppBackend: GGUF files as models that answer and are not trained; see :class:`shadownb.engine.ports.backend.Backend`.

``shadownb.load("model.gguf", backend="llamacpp")`` is a model like any other: it chats, streams, tells log-probabilities, stands in
``compare`` and ``evaluate``, and takes LoRA adapters by ``adapter=`` and ``use=``. Only training, saving and merging are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.ports.backend_facts import Choices, Device
from shadownb.engine.ports.decisions import Decision
from shadownb.errors import ConfigError, MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.backends.llamacpp.generation import LlamaCppGenerator
    from shadownb.engine.backends.llamacpp.weights import GgufWeights
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.source import Source
    from shadownb.engine.methods import MethodSpec
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.speaker import Speaker
    from shadownb.engine.ports.training import TrainingServices
    from shadownb.engine.rendering import Rendered
    from shadownb.engine.rendering.examples import Example


class LlamaCppBackend:
    """llama.cpp, for files in GGUF."""

    packages = ("xllamacpp",)
    fields: frozenset[str] = frozenset()
    files = (".gguf",)
    trains = False  # so that tables of methods leave it out

    def preferred(self) -> str:
        """Return nothing: it is asked for by name, because it trains nothing."""
        return ""

    def choices(self) -> Choices:
        """Return what is always so here."""
        own = "backend llamacpp"
        return Choices(
            attention=("llama.cpp", f"{own} has one kernel"),
            optimizer=("none", f"{own} trains nothing"),
            kernels=(False, f"{own} fuses by itself"),
            own_kernels=(False, f"the layers are llama.cpp's on {own}"),
        )

    def warm_up(self) -> None:
        """Load the library."""
        from shadownb.engine.backends.llamacpp.bindings import library

        library()

    def devices(self) -> list[Device]:
        """Return nothing: the wheels that pip finds compute on the CPU."""
        return []

    def dtype(self, device: str) -> Decision | None:
        """Return that the file decides."""
        return "gguf", "the file holds the weights in its own formats"

    def free_memory_gb(self, device: str) -> float | None:
        """Return None: it is the machine's own memory."""
        return None

    def describe(self) -> dict[str, Any]:
        """Return what computes here."""
        from shadownb.engine.backends.llamacpp.bindings import library
        from shadownb.engine.backends.llamacpp.sequences import cores

        return {"library": library().version, "threads": cores()}

    def flops(self, dtype: str) -> float:
        """Raise MethodError: what is planned from it is a training."""
        _refuse()

    def try_kernels(self) -> None:
        """Return nothing: it fuses by itself."""

    def empty_cache(self) -> None:
        """Do nothing: memory goes back with what needed it."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that memory ran out."""
        return isinstance(error, MemoryError)

    # -- models -----------------------------------------------------------------------------------------------------

    def load(self, source: Source, decisions: dict[str, Decision], gate: WeightsGate) -> tuple[GgufWeights, Any]:
        """Open a GGUF file; returns (weights, tokenizer)."""
        from shadownb.engine.backends.llamacpp import tokenizer
        from shadownb.engine.backends.llamacpp.file import GgufFile
        from shadownb.engine.backends.llamacpp.weights import GgufWeights
        from shadownb.engine.gguf.types import file_type

        path = Path(source.location)
        if not (path.is_file() and path.suffix in self.files):
            raise ModelError(
                f"backend='llamacpp' computes GGUF files, and {source.name!r} is none.",
                fix="Make one: shadownb.load(name).export(folder, format='gguf'); then load that folder.",
            )
        if decisions["quantization"][0]:
            raise ConfigError(
                f"quantize={decisions['quantization'][0]!r}: the file of {source.name!r} has its formats already.",
                fix="Leave quantize out, or export another one.",
            )
        words = tokenizer.of(path)
        file = GgufFile(path)
        decisions["dtype"] = file_type(file.said("general.file_type")), "the file holds the weights so"
        return GgufWeights(file), words

    def tokenizer(self, location: str) -> Any:
        """Return the tokenizer of a GGUF file, or of a folder or a hub id as the torch backend has it."""
        if Path(location).suffix in self.files:
            from shadownb.engine.backends.llamacpp import tokenizer

            return tokenizer.of(Path(location))
        from shadownb.engine.loaded.backends import backend

        return backend().tokenizer(location)

    def convert(self, file: Path, target: Path) -> Path:
        """Return the file: it is computed as it is."""
        return file

    def description_names(self) -> tuple[str, ...]:
        """Return the name of the file by which a folder is known to hold an adapter: peft's."""
        return ("adapter_config.json",)

    def speaker(self, model: Loaded) -> Speaker:
        """Return what answers many callers of a server at once."""
        from shadownb.engine.backends.llamacpp.speaker import LlamaCppSpeaker

        return LlamaCppSpeaker(lambda: cast("LlamaCppGenerator", self.generator(model)))

    def generator(self, model: Loaded, *, separate_base: bool = False) -> Generator:
        """Return what answers with the file as it is now."""
        from shadownb.engine.backends.llamacpp.generation import LlamaCppGenerator

        weights: Any = model.weights
        return LlamaCppGenerator(
            weights.file,
            model.tokenizer,
            model.gate,
            adapter_of=weights.adapter_of,
            renderer=model.renderer,
            renderer_of=model.renderer_of,
        )

    def loss(self, model: Loaded, examples: Sequence[Example], use: Use) -> float:
        """Return the mean negative log-probability of the trained tokens, in nats."""
        from shadownb.engine.backends.llamacpp.likelihood import mean_loss

        weights: Any = model.weights
        with model.gate.inference():
            rows = [row for example in examples for row in example.rows]
            return mean_loss(weights.file, rows, weights.adapter_of(use))

    def token_scores(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
        """Return of each row's marked tokens the log-probability in nats, and whether it is the likeliest."""
        from shadownb.engine.backends.llamacpp.likelihood import token_scores

        weights: Any = model.weights
        with model.gate.inference():
            return token_scores(weights.file, rows, weights.adapter_of(use))

    def distributions(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> Iterator[tuple[int, list[int], Any]]:
        """Yield the log-probabilities of all tokens where a marked one comes next; see :class:`TellsDistributions`."""
        from shadownb.engine.backends.llamacpp.likelihood import distributions

        weights: Any = model.weights
        with model.gate.inference():
            yield from distributions(weights.file, rows, weights.adapter_of(use))

    # -- files ------------------------------------------------------------------------------------------------------

    def missing(self) -> bool:
        """Return whether there is no library here, without loading one."""
        from shadownb.engine.backends.llamacpp.bindings import missing

        return missing()

    def packed(self, rows: Any, kind: int, importance: Any | None = None) -> Any:
        """Return numbers in one of ggml's formats; see :class:`shadownb.engine.ports.model_files.ComputesGguf`."""
        from shadownb.engine.backends.llamacpp.packing import packed

        return packed(rows, kind, importance)

    def reads_otherwise(self, file: Path, tokenizer: Any) -> str:
        """Return where llama.cpp reads a test text otherwise than the tokenizer does, in words; empty where both agree."""
        from shadownb.engine.backends.llamacpp.file import GgufFile
        from shadownb.engine.backends.llamacpp.tokenizer import difference

        opened = GgufFile(file)
        try:
            return difference(opened, tokenizer)
        finally:
            opened.close()

    # -- training ---------------------------------------------------------------------------------------------------

    @staticmethod
    def lacks(spec: MethodSpec) -> str:
        """Return why no method is there."""
        return "llama.cpp only answers"

    def check_options(self, config: TrainConfig) -> None:
        """Accept any: :meth:`check` refuses the training itself."""

    def check_callbacks(self, callbacks: Sequence[Any]) -> None:
        """Accept any: :meth:`check` refuses the training itself."""

    def check(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> None:
        """Raise MethodError: llama.cpp answers."""
        _refuse()

    def costs(self, model: Loaded, config: TrainConfig, *, from_base: bool = False) -> NoReturn:
        """Raise MethodError, as :meth:`check`."""
        _refuse()

    def train(
        self, model: Loaded, config: TrainConfig, rows: Sequence[Rendered], services: TrainingServices
    ) -> NoReturn:
        """Raise MethodError, as :meth:`check`."""
        _refuse()


def _refuse() -> NoReturn:
    raise MethodError(
        "A GGUF file is not trained: backend='llamacpp' only answers.",
        fix="Train the model that it was made of, and export it again.",
    )
