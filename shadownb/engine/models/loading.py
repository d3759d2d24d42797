"""``load()``: from a name to a :class:`Model`.

A name is a short name, a hub id, a folder, a GGUF file, or a run's id (which gives the tuned model, trainable further).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from shadownb.engine import acceleration, hardware, live
from shadownb.engine.acceleration import Accelerator
from shadownb.engine.loaded import backends
from shadownb.engine.loaded.source import Quantize
from shadownb.engine.models.sources import resolve, with_adapter
from shadownb.engine.opening import check_base, open_model
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

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
    max_length: int | None = None,
    accelerator: Accelerator = "auto",
    enable_thinking: bool | None = None,
    reasoning_effort: str | None = None,
) -> Model:
    """Load a model and return it ready to be asked and trained.

    Parameters
    ----------
    name
        A short name (``smollm2-135m``), a hub id, a folder, a GGUF file, or the id of a run.
    backend
        ``auto`` (``mlx`` on Apple silicon where it is installed, else ``torch``), ``torch``, ``mlx``, ``llamacpp`` (a GGUF file as
        it is, which answers and is not trained), or the name of another that is registered.
    device
        ``auto``, ``cpu``, ``cuda``, ``mps`` or ``xpu``.
    dtype
        ``float32``, ``bfloat16``, ``float16`` or ``auto``: 32 bits on CPUs, elsewhere what the device computes fast; for a run's
        id the format that the run trained in, on the same kind of device.
    quantize
        ``"4bit"`` or ``"8bit"``, for ``qlora``, in the backend's format: bitsandbytes (nf4), or MLX's own; None does not quantise
        (for a run's id: loads the base as the run did; ``load(base, adapter=run_id)`` puts its adapter on the unquantised base).
    adapter
        Folder of a saved adapter, or a run's id, to put on the base.
    max_length
        Most tokens of a row in training, unless the run's configuration says otherwise; None is 2048, or the model's number of
        positions if that is less.
    accelerator
        ``auto`` turns on what only makes things faster; ``shadow`` also what saves memory (4-bit base, 8-bit optimizer, fused
        kernels), if it helps on this hardware; ``none`` is plain torch. Each decision is recorded with its reason.
    enable_thinking, reasoning_effort
        Whether the model thinks before its answer, and how much, in training and when it is asked, if its chat template
        supports it; None uses what the model was trained with, else the template's default.

    Raises
    ------
    ModelNotFoundError
        Nothing has this name; the message suggests the closest one.
    ConfigError
        An option has a value that is not allowed, or that this machine does not support.

    Examples
    --------
    >>> small = snb.load(run.base_model, dtype="float32", max_length=128)
    >>> small.dtype_name, small.lengths.max_length
    ('float32', 128)
    >>> tuned = snb.load(run.id)  # the base with what that run trained
    >>> tuned.generate("Where is my parcel?", temperature=0)
    'shipping'
    """
    backends.chosen(backend)  # refuses a name that is not there before anything is looked for
    if quantize not in (None, "4bit", "8bit"):
        raise ConfigError(f"quantize={quantize!r} is not known.", fix="Use '4bit', '8bit' or None.")
    if max_length is not None and (type(max_length) is not int or max_length < 8):
        raise ConfigError(f"max_length={max_length!r} must be a whole number of at least 8 tokens.")
    acceleration.check(accelerator)
    live.tell("loading libraries")
    source = resolve(str(name), backends.read_as_they_are(backend))
    backend_name, _ = backends.chosen(backend, source.backend)
    computing = backends.backend(backend_name)
    computing.warm_up()
    chosen_device = hardware.choose_device(device, backend_name)
    chosen_dtype = hardware.choose_dtype(dtype, chosen_device[0], source.size_gb(), backend_name)
    if adapter is not None:
        source = with_adapter(source, adapter)
    elif quantize is None:
        quantize = source.quantize  # a run's result answers as it was trained
    if dtype == "auto" and source.dtype is not None and chosen_device[0].startswith(source.dtype[0]):
        chosen_dtype = source.dtype[1], f"{hardware.ASKED_FOR} when it was trained"

    known = acceleration.facts(computing, chosen_device[0], chosen_dtype[0])
    attention = acceleration.choose_attention(accelerator, known)
    quantization = acceleration.choose_quantization(accelerator, quantize, source.size_gb(), known)
    decisions = {"device": chosen_device, "dtype": chosen_dtype, "attention": attention, "quantization": quantization}
    model = cast("Model", open_model(source, decisions, max_length or _USUAL_LENGTH, accelerator, backend_name))
    if max_length is not None and model.max_length < max_length:
        raise ConfigError(
            f"max_length={max_length}: {model.name} has {model.max_length} positions.",
            fix="Leave it out, or give at most that.",
        )
    own, model.renderer.variables = model.renderer.variables, {}
    given = model.renderer.told(enable_thinking=enable_thinking, reasoning_effort=reasoning_effort)
    model.told_at_load = model.renderer.variables = {**own, **given}
    check_base(source, source.base_hash)
    if source.trained_at is not None:
        live.tell("putting the adapter on")
        model.load_adapter(source.trained_at, source.trained)
        model.trained_when_loaded = source.trained
    # Last, because what was trained may have brought another template.
    model.renderer.variables = {**model.renderer.variables, **source.variables, **given}
    return model
