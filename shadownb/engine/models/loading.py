"""``load()``: from a name to a :class:`Model`.

A name is a short name, a hub id, a folder, a GGUF file, or a run's id (which gives the tuned model, trainable further).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine import acceleration, hardware
from shadownb.engine.acceleration import Accelerator
from shadownb.engine.home import subfolder
from shadownb.engine.models.catalog import ModelInfo, catalog, find
from shadownb.engine.models.packaged import convert_gguf
from shadownb.engine.models.preload import import_gently
from shadownb.engine.models.quiet import quiet_progress_bars
from shadownb.errors import (
    ConfigError,
    MissingDependencyError,
    ModelError,
    ModelNotFoundError,
    OutOfMemoryError,
    RunNotFoundError,
    did_you_mean,
)

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

Quantize = Literal["4bit", "8bit"]
BACKENDS = ("auto", "torch")


@dataclass(frozen=True)
class Source:
    """Where weights come from: a folder or a hub id of the base, and a folder with what was trained on it."""

    name: str
    location: str
    trained_at: Path | None = None
    trained: tuple[str, int] | None = None  # (run id, step)
    quantize: Quantize | None = None  # of the base that was trained on


def load(
    name: str,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    quantize: Quantize | None = None,
    adapter: str | Path | None = None,
    max_seq_length: int = 2048,
    accelerator: Accelerator = "auto",
) -> Model:
    """Load a model.

    Parameters
    ----------
    name
        A short name (``smollm2-135m``), a hub id, a folder, a GGUF file, or the id of a run.
    backend
        ``auto`` or ``torch``.
    device
        ``auto``, ``cpu``, ``cuda``, ``mps`` or ``xpu``.
    dtype
        ``auto`` (by what the device computes fast), ``float32``, ``bfloat16`` or ``float16``.
    quantize
        ``"4bit"`` (nf4) or ``"8bit"`` through bitsandbytes, for ``qlora``; None keeps the weights (of a run's id: loads the
        base as the run did; ``load(base, adapter=run_id)`` puts the adapter on the unquantised base).
    adapter
        Folder of a saved adapter, or a run's id, to put on the base.
    max_seq_length
        Most tokens of a row in training, unless the run's configuration says otherwise.
    accelerator
        ``auto``: what only makes it faster; ``shadow``: also what saves memory (4-bit base, 8-bit optimizer, fused
        kernels) where it helps on this hardware; ``none``: plain torch. Each decision is kept with its reason.

    Raises
    ------
    ModelNotFoundError
        Nothing goes by this name, with the closest one that does.
    ConfigError
        An option has a value that is not allowed, or that this machine cannot fulfil.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            f"backend={backend!r} is not available.{did_you_mean(backend, BACKENDS)}",
            fix=f"Use one of {', '.join(BACKENDS)}.",
        )
    if quantize not in (None, "4bit", "8bit"):
        raise ConfigError(f"quantize={quantize!r} is not known.", fix="Use '4bit', '8bit' or None.")
    if isinstance(max_seq_length, bool) or not isinstance(max_seq_length, int) or max_seq_length < 8:
        raise ConfigError(f"max_seq_length={max_seq_length!r} must be a whole number of at least 8 tokens.")
    acceleration.check(accelerator)
    import_gently()
    chosen_device = hardware.choose_device(device)
    chosen_dtype = hardware.choose_dtype(dtype, chosen_device[0])
    source = resolve(str(name))
    if adapter is not None:
        source = _with_adapter(source, adapter)
    elif quantize is None:
        quantize = source.quantize  # a run's result answers as it was trained

    known = acceleration.facts(chosen_device[0], chosen_dtype[0])
    attention = acceleration.choose_attention(accelerator, known)
    quantization = acceleration.choose_quantization(accelerator, quantize, _size_gb(source), known)
    decisions = {"device": chosen_device, "dtype": chosen_dtype, "attention": attention, "quantization": quantization}
    model = _open(source, decisions, max_seq_length, accelerator)
    if source.trained_at is not None:
        model.weights.take(source.trained_at, source.trained)
    return model


def resolve(name: str) -> Source:
    """Return where a name's weights are; nothing is downloaded yet."""
    info = find(name)
    if info is not None:
        return Source(info.name, str(_local_or_hub(info)))
    path = Path(name or os.devnull).expanduser()
    # os.path rather than Path: a name that no file system takes is no error here.
    if path.suffix == ".gguf" and os.path.isfile(path):
        digest = hashlib.sha256(str(path.resolve()).encode() + str(path.stat().st_mtime_ns).encode()).hexdigest()[:8]
        return Source(path.stem, str(convert_gguf(path, subfolder("models") / f"{path.stem}-{digest}")))
    if os.path.isdir(path):
        return _folder(path)
    with contextlib.suppress(RunNotFoundError):
        return _run(name)
    if name.count("/") == 1 and not path.is_absolute() and not name.startswith("."):
        return Source(name, name)
    known = [info.name for info in catalog()]
    raise ModelNotFoundError(
        f"There is no model {name!r}.{did_you_mean(name, known)}",
        why="It is no short name, folder, GGUF file, or run id here, and no hub id (owner/name).",
        fix=f"Short names: {', '.join(known)}.",
    )


def _local_or_hub(info: ModelInfo) -> str:
    if info.is_converted():
        return str(info.converted)
    packaged = info.packaged_file()
    if packaged is not None:
        return str(convert_gguf(packaged, info.converted))
    return info.hub_id


def _folder(path: Path) -> Source:
    if (path / "config.json").is_file():
        return Source(path.name, str(path.resolve()))
    description = _adapter_description(path)
    if description is not None:
        try:
            content = json.loads(description.read_text(encoding="utf-8"))
            base = str(content.get("base_model_name_or_path") or content["base_model"])
        except (ValueError, KeyError) as error:
            raise ModelError(f"{description} does not name its base model ({error}).") from None
        found = resolve(base)
        return Source(found.name, found.location, trained_at=path)
    ggufs = sorted(path.glob("*.gguf"))
    if ggufs:
        return resolve(str(ggufs[0]))
    raise ModelNotFoundError(
        f"The folder {str(path)!r} holds no model.",
        why="It has neither config.json, adapter_config.json nor a .gguf file.",
        fix="Give the folder that save_pretrained or model.save wrote.",
    )


def _run(run_id: str) -> Source:
    from shadownb.engine.runs.folder import RunFolder
    from shadownb.engine.runs.results import result_of

    folder = RunFolder.find(run_id)
    spec = folder.spec["model"]
    checkpoint = result_of(folder)
    base = resolve(spec["source"])
    return Source(spec["name"], base.location, checkpoint.path, (folder.id, checkpoint.step), spec.get("quantization"))


def _with_adapter(source: Source, adapter: str | Path) -> Source:
    path = Path(adapter).expanduser()
    if _adapter_description(path) is not None:
        return Source(source.name, source.location, trained_at=path)
    with contextlib.suppress(RunNotFoundError):
        run = _run(str(adapter))
        if run.trained_at is not None and _adapter_description(run.trained_at) is not None:
            return Source(source.name, source.location, run.trained_at, run.trained)
    raise ModelError(
        f"adapter={str(adapter)!r} is neither a folder with a saved adapter nor a run with one.",
        fix="Give the folder that model.save(path) wrote, or a run id from shadownb.runs.list().",
    )


def _adapter_description(folder: Path) -> Path | None:
    """Return the file that says what a folder's adapter is and what base it belongs to."""
    names = ("adapter_config.json", "bitfit_config.json", "bottleneck_config.json")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _open(source: Source, decisions: dict[str, tuple[Any, str]], max_seq_length: int, accelerator: str) -> Model:
    from shadownb.engine.models.model import Model

    quantize = decisions["quantization"][0] or None
    module, tokenizer = load_base(
        source,
        device=decisions["device"][0],
        dtype=decisions["dtype"][0],
        quantize=quantize,
        attention=decisions["attention"][0],
    )
    return Model(
        module,
        tokenizer,
        name=source.name,
        source=source.location,
        quantization=quantize,
        max_seq_length=max_seq_length,
        accelerator=accelerator,
        decisions=decisions,
    )


def _size_gb(source: Source) -> float | None:
    """Return the size of a source's weights in 16 bits; None for what is not on this machine yet."""
    files = list(Path(source.location).glob("*.safetensors")) if Path(source.location).is_dir() else []
    return sum(file.stat().st_size for file in files) / 1e9 if files else None


def load_base(
    source: Source, *, device: str, dtype: str, quantize: Quantize | None, attention: str = "sdpa"
) -> tuple[Any, Any]:
    """Return (module, tokenizer) of a source's base weights."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "trust_remote_code": False}
    if attention != "sdpa":  # sdpa is the library's own choice, where the architecture has it
        options["attn_implementation"] = attention
    if quantize is not None:
        if not hardware.has_package("bitsandbytes"):
            raise MissingDependencyError(f"quantize={quantize!r} needs bitsandbytes.", fix="pip install bitsandbytes")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=quantize == "4bit",
            load_in_8bit=quantize == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
        options["device_map"] = {"": device}
    try:
        with quiet_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source.location, trust_remote_code=False)
            module = AutoModelForCausalLM.from_pretrained(source.location, **options)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(
            f"{source.name} does not fit into the memory of {device}.",
            why=str(error).splitlines()[0],
            fix="Load it with quantize='4bit', or choose a smaller model.",
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(source, error) from error
    if quantize is None:
        module.to(device)
    module.eval()
    return module, tokenizer


def _unreadable(source: Source, error: Exception) -> ModelError:
    """Say whether a model is gated, out of reach, or not readable; the library's messages mix these."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    if Path(source.location).is_dir():
        return ModelError(
            f"The model in {source.location} cannot be read.", why=first, fix="Save or download it again."
        )
    if "gated" in text or "401" in text or "403" in text:
        return ModelError(
            f"{source.name!r} is gated on the hub.", why=first, fix="Accept its terms there and set HF_TOKEN."
        )
    return ModelNotFoundError(
        f"{source.name!r} is not on this machine and could not be fetched from the hub.",
        why=first,
        fix="Check the name and the network, or give a folder. shadownb.models() shows what is here.",
    )


def load_from(source: Source, spec: dict[str, Any]) -> Model:
    """Load the model of a run's record, in the state that the run started from."""
    from shadownb.engine.models.hashing import weights_hash

    device = hardware.choose_device(spec["device"][0])
    accelerator = spec.get("accelerator", "auto")
    dtype = (spec["dtype"][0], spec["dtype"][1])
    attention = acceleration.choose_attention(accelerator, acceleration.facts(device[0], dtype[0]))
    quantization = (spec["quantization"] or "", "as the run was launched")
    decisions = {"device": device, "dtype": dtype, "attention": attention, "quantization": quantization}
    model = _open(source, decisions, spec["max_seq_length"], accelerator)
    if spec.get("base_hash") and weights_hash(source.location) != spec["base_hash"]:
        raise ModelError(
            f"The base {source.name!r} is not the one this run was trained on.",
            why=f"Its weights hash to {weights_hash(source.location)[:12]}, the run's record says {spec['base_hash'][:12]}.",
            fix="Put the same weights back, or start a new run.",
        )
    start = spec.get("start")
    if start is not None:
        trained = start.get("trained")
        model.weights.take(Path(start["path"]), (trained[0], trained[1]) if trained else None)
    return model
