"""A whole model, or a LoRA adapter, as one file that llama.cpp, Ollama and LM Studio read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import live
from shadownb.engine.exporters.whole import check_mergeable, config_of, sampling_of, save_exact, slug
from shadownb.engine.gguf import adapter
from shadownb.engine.gguf import model as written
from shadownb.engine.gguf.computing import computing
from shadownb.engine.gguf.layout import Layout
from shadownb.engine.gguf.types import kind_of
from shadownb.engine.ports.abilities import TellsActivations
from shadownb.errors import ConfigError, ExportError, MissingDependencyError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_NEED_WEIGHTS = ("iq3_s", "iq3_m")  # of these ggml makes little without an importance matrix


class GgufExporter:
    """``NAME-QUANT.gguf``, with the tokenizer, the chat template and the tokens that end an answer inside.

    Parameters
    ----------
    quant
        llama.cpp's name of the format: ``f32``, ``f16``, ``bf16``, ``q8_0``, ``q6_k``, ``q5_k_m``, ``q4_k_m``, ...
    importance
        Rows by whose activations errors are weighed (an importance matrix), or None.
    converter
        ``auto`` writes the architectures that ShadowNB knows itself and hands others to llama.cpp's own converter where that was
        prepared; ``own`` and ``official`` ask for one of them.
    """

    def __init__(self, quant: str = "q8_0", importance: Any = None, converter: str = "auto") -> None:
        kind_of(quant)
        if converter not in ("auto", "own", "official"):
            raise ConfigError(f"converter={converter!r} is not known.", fix="Use 'auto', 'own' or 'official'.")
        self.quant = str(quant).lower().replace("-", "_")
        self._importance, self._converter = importance, converter
        self.types: dict[str, int] = {}

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where the model cannot be merged, or llama.cpp has no place for it."""
        check_mergeable(model, "gguf")
        if self._official(model):
            from shadownb.engine.exporters import official

            official.check()
        else:
            written.check(config_of(model), self.quant)
        if self.quant.startswith(("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq")) and computing() is None:
            raise MissingDependencyError(
                f"quant={self.quant!r} is written by llama.cpp, which is not installed.",
                why="f32, f16, bf16, q8_0, q5_0, q5_1, q4_0 and q4_1 need nothing.",
                fix="pip install 'shadownb[gguf]'",
            )
        if self._importance is not None and not isinstance(model.backend, TellsActivations):
            raise ExportError(
                f"importance=: backend {model.backend_name!r} tells no activations.",
                fix="Load it with backend='torch'.",
            )

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write the file, and look whether llama.cpp reads texts as the model does."""
        target = folder / f"{slug(model.name)}-{self.quant}.gguf"
        weights = self._weights(model)
        with tempfile.TemporaryDirectory(prefix=".exact-", dir=folder) as place:
            exact = Path(place)
            live.tell("merging in 32 bits")
            save_exact(model, exact)
            live.tell(f"writing {target.name}")
            facts = written.Facts(
                name=model.public_name.rsplit("/", 1)[-1],
                stops=model.renderer.stop_token_ids,
                chat_template=_template(exact) or model.renderer.chat_template,
                sampling=sampling_of(exact),
            )
            if self._official(model):
                from shadownb.engine.exporters import official

                official.convert(exact, target, self.quant)
            else:
                self.types = written.write_model(exact, target, self.quant, facts, weights)
        _compare_words(model, target)

    def _official(self, model: LoadedModel) -> bool:
        if self._converter != "auto":
            return self._converter == "official"
        from shadownb.engine.exporters import official
        from shadownb.engine.gguf.architectures import KNOWN

        name = next(iter(config_of(model).get("architectures") or ["?"]))
        return name not in KNOWN and official.is_prepared()

    def _weights(self, model: LoadedModel) -> Mapping[str, Any] | None:
        if self._importance is None:
            return None
        from shadownb.engine.exporters.calibration import rendered

        live.tell("measuring activations")
        backend: Any = model.backend
        found: dict[str, Any] = backend.activations(model, rendered(model, self._importance, marked=True), "tuned")
        if not found or any(not values.any() for values in found.values()):
            raise ExportError(
                "importance=: some layers saw nothing on these rows, so their errors could not be weighed.",
                fix="Give more rows, or leave importance out.",
            )
        return found


class GgufLoraExporter:
    """``NAME-lora.gguf``: the adapter alone, for ``llama-server --lora`` and Ollama's ``ADAPTER`` on a GGUF of the base."""

    def check(self, model: LoadedModel) -> None:
        """Raise ExportError where the model carries no LoRA that GGUF has a place for."""
        check_mergeable(model, "gguf-lora")
        if model.weights.kind != "lora":
            have = "It has not been trained." if model.weights.kind is None else f"It is {model.weights.kind}."
            raise ExportError(
                "format='gguf-lora' writes LoRA adapters, and this model carries none.",
                why=have,
                fix="Use format='gguf', which writes the whole model.",
            )
        written.check(config_of(model), "f16")

    def write(self, model: LoadedModel, folder: Path) -> None:
        """Write the adapter by way of peft's files, which every backend writes."""
        config = config_of(model)
        heads = config["num_attention_heads"]
        name = written.architectures.of(config).name
        layout = Layout(name, config["num_hidden_layers"], heads, config.get("num_key_value_heads") or heads)
        with tempfile.TemporaryDirectory(prefix="shadownb-lora-") as place:
            model.weights.save(Path(place))
            adapter.write_adapter(Path(place), layout, folder / f"{slug(model.name)}-lora.gguf")


def _template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _compare_words(model: LoadedModel, target: Path) -> None:
    """Raise ExportError where llama.cpp makes other tokens of a text than the model was trained with."""
    engine = computing()
    found = "" if engine is None else engine.reads_otherwise(target, model.tokenizer)
    if found:
        raise ExportError(
            f"format='gguf': llama.cpp reads text otherwise than {model.name} was trained to: {found}.",
            why="It would answer other questions than those that it is asked.",
            fix="converter='official' uses llama.cpp's own converter; format='merged' keeps the tokenizer as it is.",
        )
