"""``load()``: from a name to a :class:`Model`.

A name is a short name, a hub id, a folder, a GGUF file, or a run's id (which gives the tuned model, trainable further).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import acceleration, hardware, live
from shadownb.engine.acceleration import Accelerator
from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.engine.models.fetching import Fetching
from shadownb.engine.models.preload import import_gently
from shadownb.engine.models.sources import Quantize, Source, resolve, with_adapter
from shadownb.errors import (
    ConfigError,
    MissingDependencyError,
    ModelError,
    ModelNotFoundError,
    OutOfMemoryError,
    did_you_mean,
)

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

BACKENDS = ("auto", "torch")
_USUAL_LENGTH = 2048


def _title(name: str, *_: Any, **__: Any) -> str:
    return f"Loading {Path(str(name)).name or name}"


def _outcome(model: Model) -> str:
    size = f"{model.parameters_total / 1e6:,.1f} million weights"
    return f"Loaded {model.name}: {size}, {model.quantization or model.dtype_name} on {model.device.type}"


@live.shown(_title, _outcome)
def load(
    name: str,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    quantize: Quantize | None = None,
    adapter: str | Path | None = None,
    max_seq_length: int | None = None,
    accelerator: Accelerator = "auto",
    enable_thinking: bool | None = None,
    reasoning_effort: str | None = None,
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
        ``auto`` (by what the device computes fast; of a run's id: the format that the run was asked to train in, on the
        same kind of device), ``float32``, ``bfloat16`` or ``float16``.
    quantize
        ``"4bit"`` (nf4) or ``"8bit"`` through bitsandbytes, for ``qlora``; None keeps the weights (of a run's id: loads the
        base as the run did; ``load(base, adapter=run_id)`` puts the adapter on the unquantised base).
    adapter
        Folder of a saved adapter, or a run's id, to put on the base.
    max_seq_length
        Most tokens of a row in training, unless the run's configuration says otherwise; None is 2048, or as many as the model
        has positions for where those are fewer.
    accelerator
        ``auto``: what only makes it faster; ``shadow``: also what saves memory (4-bit base, 8-bit optimizer, fused
        kernels) where it helps on this hardware; ``none``: plain torch. Each decision is kept with its reason.
    enable_thinking, reasoning_effort
        Whether the model thinks before its answer and how much, in training and answering, where its chat template knows
        it; None leaves it to what the model was trained with, else to the template.

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
    if max_seq_length is not None and (type(max_seq_length) is not int or max_seq_length < 8):
        raise ConfigError(f"max_seq_length={max_seq_length!r} must be a whole number of at least 8 tokens.")
    acceleration.check(accelerator)
    live.tell("loading libraries")
    import_gently()
    chosen_device = hardware.choose_device(device)
    source = resolve(str(name))
    chosen_dtype = hardware.choose_dtype(dtype, chosen_device[0], source.size_gb())
    if adapter is not None:
        source = with_adapter(source, adapter)
    elif quantize is None:
        quantize = source.quantize  # a run's result answers as it was trained
    if dtype == "auto" and source.dtype is not None and chosen_device[0].startswith(source.dtype[0]):
        chosen_dtype = source.dtype[1], f"{hardware.ASKED_FOR} when it was trained"

    known = acceleration.facts(chosen_device[0], chosen_dtype[0])
    attention = acceleration.choose_attention(accelerator, known)
    quantization = acceleration.choose_quantization(accelerator, quantize, source.size_gb(), known)
    decisions = {"device": chosen_device, "dtype": chosen_dtype, "attention": attention, "quantization": quantization}
    model = _open(source, decisions, max_seq_length or _USUAL_LENGTH, accelerator)
    if max_seq_length is not None and model.max_seq_length < max_seq_length:
        raise ConfigError(
            f"max_seq_length={max_seq_length}: {model.name} has {model.max_seq_length} positions.",
            fix="Leave it out, or give at most that.",
        )
    own, model.renderer.variables = model.renderer.variables, {}
    given = model.renderer.told(enable_thinking=enable_thinking, reasoning_effort=reasoning_effort)
    model.told_at_load = model.renderer.variables = {**own, **given}
    _check_base(source, source.base_hash)
    if source.trained_at is not None:
        live.tell("putting the adapter on")
        model.weights.take(source.trained_at, source.trained)
        model.trained_when_loaded = source.trained
    # Last, because what was trained may have brought another template.
    model.renderer.variables = {**model.renderer.variables, **source.variables, **given}
    return model


def load_again(model: Model) -> Model:
    """Load the base of a model a second time, as it was loaded; see :meth:`Model.fresh_copy`."""
    from shadownb.engine.estimate import free_memory_gb

    needed, free = model.weights.base_bytes / 1e9, free_memory_gb(model)
    if needed > free:
        raise OutOfMemoryError(
            f"A second copy of {model.name} needs {needed:.2f} GB, and {free:.2f} GB are free.",
            fix="Train this model anew instead: model.finetune(data, start='base') needs no second copy.",
        )
    source = Source(model.name, model.source)
    copy = _open(source, dict(model.decisions), model.max_seq_length, model.accelerator)
    copy.told_at_load = dict(model.told_at_load)
    copy.renderer.variables = dict(model.told_at_load)
    return copy


def _open(source: Source, decisions: dict[str, tuple[Any, str]], max_seq_length: int, accelerator: str) -> Model:
    from shadownb.engine.inference.weights import max_positions
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
        max_seq_length=min(max_seq_length, max_positions(module) or max_seq_length),
        accelerator=accelerator,
        decisions=decisions,
    )


def load_base(
    source: Source, *, device: str, dtype: str, quantize: Quantize | None, attention: str = "sdpa"
) -> tuple[Any, Any]:
    """Return (module, tokenizer) of a source's base weights."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    from shadownb.engine.inference.quantized import never_pack

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
        # With its number, or accelerate would take it for another GPU than the one that trains.
        bare = device in ("cuda", "xpu")
        options["device_map"] = {"": torch.device(device, torch.accelerator.current_device_index()) if bare else device}
    live.tell("reading weights", None if Path(source.location).is_dir() else Fetching(source.location))
    _refuse_adapter(source)
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
    never_pack(module)
    module.eval()
    return module, tokenizer


def _refuse_adapter(source: Source) -> None:
    """Refuse what transformers would load as a base with an adapter on it: it would pass for the bare base here."""
    from transformers.utils import find_adapter_config_file

    try:
        description = find_adapter_config_file(source.location)
        if description is None:
            return
        base = json.loads(Path(description).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError):  # of a model that is not there, or is damaged; loading it says so
        return
    local = Path(source.location).is_dir()
    folder = f"{source.location!r}" if local else f"huggingface_hub.snapshot_download({source.location!r})"
    raise ModelError(
        f"{source.name!r} has an adapter, so it is no base model.",
        why=f"Its adapter_config.json says that it was trained on {base}.",
        fix=f"Load it on its base: shadownb.load({base!r}, adapter={folder}).",
    )


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


def _check_base(source: Source, recorded: str | None) -> None:
    """Refuse to put what a run trained on other weights than those it was trained on.

    Comes after the base was loaded: of a hub id the files are on this machine only then.
    """
    from shadownb.engine.models.hashing import weights_hash

    if recorded and (found := weights_hash(source.location)) != recorded:
        raise ModelError(
            f"The base {source.name!r} is not the one this run was trained on.",
            why=f"Its weights hash to {found[:12]}, the run's record says {recorded[:12]}.",
            fix="Put the same weights back, or start a new run.",
        )


def load_from(source: Source, spec: dict[str, Any]) -> Model:
    """Load the model of a run's record, in the state that the run started from."""
    device = hardware.choose_device(spec["device"][0])
    accelerator = spec.get("accelerator", "auto")
    dtype = (spec["dtype"][0], spec["dtype"][1])
    attention = acceleration.choose_attention(accelerator, acceleration.facts(device[0], dtype[0]))
    quantization = (spec["quantization"] or "", "as the run was launched")
    decisions = {"device": device, "dtype": dtype, "attention": attention, "quantization": quantization}
    model = _open(source, decisions, spec["max_seq_length"], accelerator)
    _check_base(source, spec.get("base_hash"))
    model.weights.go_to(spec.get("start"))
    model.renderer.variables = dict(spec.get("template_variables") or {})
    model.trained_when_loaded = model.trained
    return model
