"""Model: loaded weights that can be trained, asked and saved.

A model is its base (known by a hash) plus at most one trained state, (run id, step). One gate guards the weights: training
holds it for a step, inference takes it between steps. While a worker process trains, this copy answers with the last
checkpoint it took over; :attr:`Model.answering` says which state that is.
"""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.backends.torch.generation.borrowing import max_positions
from shadownb.engine.backends.torch.loaded import LoadedWeights
from shadownb.engine.inference import WeightsGate
from shadownb.engine.lengths import Lengths
from shadownb.engine.models.asking import Asking
from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.variables import with_defaults
from shadownb.errors import BusyError, ModelError

if TYPE_CHECKING:
    import torch

    from shadownb.engine.backends.torch.surfaces import Surface
    from shadownb.engine.data import Dataset
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.models.sources import Quantize
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.rendering.certificate import Certificate
    from shadownb.engine.runs.handle import Run

Use = Literal["tuned", "base"]
Message = dict[str, Any]


class Model(Asking):
    """A loaded model; made by :func:`shadownb.load`."""

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        name: str,
        source: str,
        quantization: Quantize | None,
        max_seq_length: int,
        accelerator: str = "auto",
        decisions: dict[str, tuple[Any, str]],
    ) -> None:
        self.weights = LoadedWeights(
            module,
            name=name,
            source=source,
            device=str(decisions["device"][0]),
            dtype=str(decisions["dtype"][0]),
            quantization=quantization,
        )
        self.tokenizer = tokenizer
        self._own_renderer = self._renderer = Renderer(tokenizer)
        self.name = name
        self.source = source
        self.quantization = quantization
        self.max_seq_length = max_seq_length
        self.accelerator = accelerator
        self.decisions = decisions
        self._runs: list[Run] = []  # that train this model or wait to, first come first, and those not looked at since
        self.trained_when_loaded: tuple[str, int] | None = None
        # Variables of the chat template that load() was given, and that were not learned from rows.
        self.told_at_load: dict[str, Any] = {}
        self._told = set()
        self._lock = threading.RLock()

    @property
    def renderer(self) -> Renderer:
        """Makes tokens of conversations, by the chat template that the weights were trained with."""
        template = self.weights.chat_template or self._own_renderer.chat_template
        if self._renderer.chat_template != template:
            own = self._own_renderer
            self._renderer = own if own.chat_template == template else Renderer(self.tokenizer, chat_template=template)
            self._renderer.variables = dict(own.variables)  # what load() was told holds for the trained template, too
        return self._renderer

    def start_renderer(self, *, from_base: bool) -> Renderer:
        """Return the renderer that a training begins with: the base's own, or that of the weights as they are."""
        return self._own_renderer if from_base else self.renderer

    def use_renderer(self, renderer: Renderer) -> None:
        """Render with this from now on, and save its template beside the weights."""
        self._renderer, self.weights.chat_template = renderer, renderer.chat_template

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> Any:
        """The torch module, with what it carries; None once unloaded."""
        return self.weights.module

    @property
    def carried(self) -> Surface | None:
        """What was trained, as it is on the module; None for the bare base."""
        return self.weights.carried

    @property
    def trained(self) -> tuple[str, int] | None:
        """(run id, step) of the trained state; None for the base."""
        return self.weights.trained

    @property
    def gate(self) -> WeightsGate:
        """Guards the weights: training holds it for a step, inference takes it in between."""
        return self.weights.gate

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        self._require_loaded()
        device: torch.device = next(self.module.parameters()).device
        return device

    @property
    def lengths(self) -> Lengths:
        """How long rows can be, with what the weights carry now."""
        weights, carried = self.weights, self.weights.carried
        return Lengths(
            self.max_seq_length,
            positions=max_positions(weights.base_module()) if weights.module is not None else None,
            virtual_tokens=carried.virtual_tokens if carried is not None else None,
        )

    @property
    def dtype(self) -> torch.dtype:
        """The number format that training computes in."""
        import torch

        return getattr(torch, str(self.decisions["dtype"][0]))  # type: ignore[no-any-return]

    @property
    def dtype_name(self) -> str:
        """The number format as a word, for example ``float32``."""
        return str(self.decisions["dtype"][0])

    @property
    def public_name(self) -> str:
        """The base's name on any machine: its hub id where it has one, else the folder it came from."""
        from shadownb.engine.models.catalog import find

        info = find(self.name)
        return info.hub_id if info is not None else self.source

    @property
    def base_hash(self) -> str:
        """sha256 over the base's weight files: the same name can give other weights from another source."""
        return self.weights.base_hash

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""
        import torch

        self._require_loaded()
        parameters = self.weights.base_parameters().values()
        return sum(p.numel() * (2 if p.dtype == torch.uint8 else 1) for p in parameters)  # 4 bits: two in a byte

    @property
    def active_run(self) -> Run | None:
        """The run that is training this model now, or the first that waits to."""
        return next((run for run in self._runs if run.is_active), None)

    @property
    def live_run(self) -> Run | None:
        """The run whose live weights answer: it trains in this process, and has done a step."""
        run = self.active_run
        live = run is not None and run.shares_memory and run.status != "queued" and run.state.step
        return run if live else None

    @property
    def state_now(self) -> tuple[str, int] | None:
        """(run id, step) of the weights that answer now; None for the base and for adapters from elsewhere."""
        run = self.live_run
        return (run.id, run.state.step) if run is not None else self.trained

    @property
    def answering(self) -> str:
        """Which state of the weights answers now, in words."""
        live = self.live_run
        if live is not None:
            return f"live weights at step {live.state.step} of run {live.id}"
        if self.trained is not None:
            return f"step {self.trained[1]} of run {self.trained[0]}"
        at = self.weights.saved_at
        return f"the adapter in {at}" if at is not None else "the base, untrained"

    @property
    def trained_on(self) -> TrainedOn | None:
        """What the rows had in common that the weights were trained on: system prompt, tools, chat or plain text.

        ``generate``, ``chat`` and ``stream`` start from it where they are not told otherwise. It is learned from the rows when
        a run is launched, and lies beside checkpoints and saved models. None where nothing is known: the bare base, or an
        adapter made elsewhere.
        """
        run = self.live_run
        return run.trained_on if run is not None else self.weights.trained_on

    @property
    def surface(self) -> str | None:
        """What is trained on it: ``lora``, ``weights``, ``prompt``, ...; None for the bare base."""
        return self.carried.kind if self.carried is not None else None

    def describe(self) -> dict[str, Any]:
        """Return the facts a run's record keeps."""
        return {
            "name": self.name,
            "source": self.source,
            "base_hash": self.base_hash,
            "parameters": self.parameters_total,
            "quantization": self.quantization,
            "accelerator": self.accelerator,
            "device": list(self.decisions["device"]),
            "dtype": list(self.decisions["dtype"]),
            "max_seq_length": self.max_seq_length,
            "trained": list(self.trained) if self.trained else None,
            "template_variables": dict(self.renderer.variables),
        }

    def __repr__(self) -> str:
        if self.module is None:
            return f"Model({self.name!r}, unloaded)"
        size = self.parameters_total / 1e6
        quantised = f", {self.quantization}" if self.quantization else ""
        asked = self.trained_on.headline() if self.trained_on is not None else ""
        return (
            f"Model({self.name!r}, {size:.0f}M weights, {self.dtype_name} on {self.device.type}{quantised}; {self.answering}"
            + (f"; asked from {asked})" if asked else ")")
        )

    def _repr_html_(self) -> str:
        from shadownb.engine.displays import facts_html

        if self.module is None:
            return facts_html(f"Model {self.name}", {"state": "unloaded"})
        asked = self.trained_on.headline() if self.trained_on is not None else ""
        return facts_html(
            f"Model {self.name}",
            {
                "weights": f"{self.parameters_total / 1e6:.1f} million",
                "device": f"{self.decisions['device'][0]} ({self.decisions['device'][1]})",
                "number format": f"{self.quantization or self.dtype_name} ({self.decisions['dtype'][1]})",
                "chat template": f"{self.renderer.template_source} ({self.renderer.template_reason})",
                **{name: str(value) for name, value in self.renderer.variables.items()},
                "answers with": self.answering,
                **({"asked from": asked} if asked else {}),
            },
        )

    # -- training ---------------------------------------------------------------------------------------------------

    def finetune(
        self,
        dataset: Dataset | list[dict[str, Any]],
        method: str = "lora",
        background: bool | None = None,
        eval_dataset: Dataset | list[dict[str, Any]] | str | float | None = None,
        start: str | Path | Run | None = None,
        store: RunStore[Any] | None = None,
        **fields: Any,
    ) -> Run:
        """Fine-tune on a dataset; returns the run, whose result this model answers with.

        Parameters
        ----------
        dataset
            A :class:`Dataset` or a list of rows in one of its formats.
        method
            See ``shadownb.methods.available()``.
        background
            True returns at once, False blocks until the end; None does the first in a notebook, the second in a script.
        eval_dataset
            Rows to evaluate on; ``"auto"`` holds out a tenth, ``0.15`` or ``"15%"`` that share.
        start
            ``"base"``: the fresh base, as if nothing had been trained; the result of an earlier run stays in its folder.
            ``"trained"``: what this model is when the run's turn comes, so that a second run trains the first one's result
            on. A run, its id, or the folder of an adapter or checkpoint: that result. None is ``"trained"``, with a
            :class:`ShadowWarning` where an earlier run has trained this model since it was loaded. ``run.started_from``
            says it.
        store
            Where the run is kept, ``runs.FolderStore(home)``; None is the home of ``SHADOWNB_HOME``.
        **fields
            Any option of :class:`shadownb.TrainConfig`.

        Raises
        ------
        ConfigError, DataError, MethodError, BusyError
            Before anything starts, naming the option. When blocking, also what made the run fail.
        """
        from shadownb.engine.runs.launch import launch

        return launch(
            self,
            dataset,
            method=method,
            background=background,
            eval_dataset=eval_dataset,
            start_from=start,
            fields=fields,
            store=store,
        )

    # -- trained state ----------------------------------------------------------------------------------------------

    def verify_base(self) -> tuple[bool, str]:
        """Check that the base is what was loaded: compare every base weight in memory with its file.

        Returns (whether all are equal, what was compared). For a trained base, the second copy is what answers as base.
        """
        self._require_loaded()
        return self.weights.verify_base()

    def certify(self) -> Certificate:
        """Prove on probes what the chat template does with a row: what is written, what is trained, what is read back."""
        from shadownb.engine.models.certifying import certify

        return certify(self)

    def catch_up(self) -> None:
        """Take over the result of a worker's run that has ended since."""
        if self.module is None:
            return  # unloaded meanwhile: there is nothing to put a result on
        with self._lock:
            ended = [run for run in self._runs if not run.shares_memory and not run.is_active]
            self._runs = [run for run in self._runs if run not in ended]
            for run in ended:
                checkpoint = run.result()
                if checkpoint is not None and self.trained != (run.id, checkpoint.step):
                    self.weights.take(checkpoint.path, (run.id, checkpoint.step))

    def fresh_copy(self) -> Model:
        """Load the base a second time, untrained, beside this model, which stays as it is.

        The copy shares nothing with it, so it takes the memory of the base once more; ``finetune(start="base")`` takes none.

        Raises
        ------
        OutOfMemoryError
            The base does not fit a second time.
        """
        from shadownb.engine.models.loading import load_again

        self._require_loaded()
        return load_again(self)

    def begin_run(self, run: Run) -> None:
        """Remember a run that trains this model, or waits to."""
        with self._lock:
            self.catch_up()
            self._runs = [*(other for other in self._runs if other.is_active and other.id != run.id), run]

    # -- keeping ----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, fmt: str = "adapter") -> Path:
        """Write the trained model to a folder; returns it. What an earlier save wrote there, of any kind, is replaced.

        Of a run that has not come to its end, the weights of its newest step are saved; a :class:`ShadowWarning` names the
        step, and so does ``shadownb.json`` in the folder.

        Parameters
        ----------
        fmt
            ``"adapter"``: what was trained, apart from the base: a few kilobytes to megabytes. Loads with
            ``shadownb.load(path)``, and with peft where peft knows the method.
            ``"merged"``: a whole model without any adapter, loads anywhere transformers does. This model stays as it is.

        Raises
        ------
        ExportError
            The format is unknown, or does not fit what was trained; or the folder holds another model or adapter, which no
            save wrote, or this model's base.
        """
        from shadownb.engine.models.saving import save

        self._require_loaded()
        self.catch_up()
        return save(self, Path(path).expanduser(), fmt)

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, with the chat template that training used and what that was told."""
        tokenizer = copy.copy(self.tokenizer)
        tokenizer.chat_template = with_defaults(self.renderer.chat_template, self.renderer.variables)
        tokenizer.save_pretrained(str(folder))

    def unload(self) -> None:
        """Free the weights. The handle stays, to say what it was; load again to go on.

        Raises
        ------
        BusyError
            A run in this process is training it.
        """
        run = self.active_run
        if run is not None and run.shares_memory:
            raise BusyError(f"Run {run.id} is training this model.", fix="Stop it first: run.stop(), then run.wait().")
        self.weights.unload()
        import gc

        gc.collect()
        from shadownb.engine.hardware import empty_cache

        empty_cache()

    def _require_loaded(self) -> None:
        if self.module is None:
            raise ModelError(
                f"The model {self.name!r} was unloaded.", fix=f"Load it again: shadownb.load({self.name!r})."
            )
