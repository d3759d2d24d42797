"""LoadedModel: weights in memory, whatever computes them; who they are, who trains them, and with which template.

A model is its base (known by a hash) plus at most one trained state, (run id, step). One gate guards the weights: training
holds it for a step, inference takes it between steps. While a worker process trains, this copy answers with the last
checkpoint it took over; :attr:`LoadedModel.answering` says which state that is.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference import WeightsGate
from shadownb.engine.lengths import Lengths
from shadownb.engine.loaded import sidecar
from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.loaded.hashing import weights_hash
from shadownb.engine.loaded.rewarding import REWARD, gives_no_text
from shadownb.engine.loaded.template import ModelTemplate
from shadownb.engine.loaded.trainers import Trainers
from shadownb.errors import ModelError

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.inference import AdapterSource, Generator
    from shadownb.engine.loaded.source import Quantize, Source
    from shadownb.engine.ports.backend import Backend
    from shadownb.engine.ports.decisions import Decision
    from shadownb.engine.ports.run import TrainingRun
    from shadownb.engine.ports.weights import Weights
    from shadownb.engine.rendering import Renderer


class LoadedModel:
    """A loaded model, without the verbs of :class:`shadownb.Model`; a worker and a recorder need no more.

    Attributes
    ----------
    trained
        (run id, step) of the trained state; None for the base and for adapters from elsewhere.
    saved_at
        Folder of an adapter that no run of ours made.
    stepped
        (run id, step) of what the weights are while a run in this process trains them; None at other times.
    told_at_load
        Variables of the chat template that ``load()`` was given, and that were not learned from rows.
    gate
        Guards the weights: training holds it for a step, inference takes it in between.
    """

    def __init__(
        self,
        weights: Weights,
        tokenizer: Any,
        source: Source,
        *,
        gate: WeightsGate,
        quantization: Quantize | None,
        max_length: int,
        decisions: dict[str, Decision],
        accelerator: str = "auto",
        backend_name: str = DEFAULT,
    ) -> None:
        self.weights = weights
        self.tokenizer = tokenizer
        self.name = source.name
        self.source = source.location
        self.quantization = quantization
        self.max_length = max_length
        self.accelerator = accelerator
        self.decisions = decisions
        self.backend_name = backend_name
        self.gate = gate
        self.trained: tuple[str, int] | None = None
        self.saved_at: Path | None = None
        self.stepped: tuple[str, int] | None = None
        self.trained_when_loaded: tuple[str, int] | None = None
        self.told_at_load: dict[str, Any] = {}
        self._base_trained_on = sidecar.trained_on(Path(source.location))  # of a merged model that was saved
        self._trained_on: TrainedOn | None = self._base_trained_on
        self._template = ModelTemplate(tokenizer)
        self._trainers = Trainers()
        self._hash: str | None = None
        self._lock = threading.RLock()

    # -- the base ---------------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """The backend that computes the model, for example torch."""
        return backend(self.backend_name)

    @property
    def module(self) -> Any:
        """The backend's own object (of torch a module, adapter included); None once it was unloaded."""
        return self.weights.module

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self.weights.module is not None

    @property
    def adapter(self) -> Any:
        """The adapter as the backend's object; None for the bare base."""
        return self.weights.adapter

    @property
    def device(self) -> Any:
        """The device that the weights are on, such as ``cpu`` or ``cuda:0``."""
        self.require_loaded()
        return self.weights.device

    @property
    def dtype_name(self) -> str:
        """The number format that training computes in, for example ``float32``."""
        return str(self.decisions["dtype"][0])

    @property
    def base_hash(self) -> str:
        """sha256 over the base's weight files: the same name can give other weights from another source."""
        if self._hash is None:
            self._hash = weights_hash(self.source)
        return self._hash

    @property
    def public_name(self) -> str:
        """The base's name on any machine, where it has one, else the folder it came from."""
        return self.source

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""
        self.require_loaded()
        return self.weights.parameters_total

    @property
    def lengths(self) -> Lengths:
        """How long rows may be, in tokens: ``max_length`` of training, and the ``positions`` of the architecture."""
        if not self.is_loaded:
            return Lengths(self.max_length)
        return Lengths(self.max_length, self.weights.positions, self.weights.virtual_tokens)

    def require_loaded(self) -> None:
        """Raise ModelError once it was unloaded."""
        if not self.is_loaded:
            raise ModelError(
                f"The model {self.name!r} was unloaded.", fix=f"Load it again: shadownb.load({self.name!r})."
            )

    def describe(self) -> dict[str, Any]:
        """Return facts about the model as JSON values, as a run's record keeps them."""
        return {
            "name": self.name,
            "source": self.source,
            "base_hash": self.base_hash,
            "parameters": self.parameters_total,
            "quantization": self.quantization,
            "accelerator": self.accelerator,
            "backend": self.backend_name,
            "device": list(self.decisions["device"]),
            "dtype": list(self.decisions["dtype"]),
            "max_length": self.max_length,
            "trained": list(self.trained) if self.trained else None,
            "template_variables": dict(self.renderer.variables),
        }

    # -- the template -----------------------------------------------------------------------------------------------

    @property
    def renderer(self) -> Renderer:
        """Turns conversations into tokens, with the chat template that the weights were trained with."""
        return self._template.renderer

    def renderer_of(self, source: AdapterSource) -> Renderer:
        """Return the same of an adapter that is not on the model; tensors have no template, and are asked as the model is."""
        if source.folder is None:
            return self.renderer
        return self._template.of(sidecar.chat_template(source.folder), self.told_at_load)

    def start_renderer(self, *, from_base: bool) -> Renderer:
        """Return the renderer that a training begins with: the base's own, or that of the weights as they are."""
        return self._template.own if from_base else self.renderer

    def use_renderer(self, renderer: Renderer) -> None:
        """Render with this from now on, and save its template beside the weights."""
        self._template.use(renderer)

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, with the chat template that training used and what that was told."""
        self._template.save(folder)

    # -- who trains it ------------------------------------------------------------------------------------------------

    @property
    def active_run(self) -> Any:
        """The run that is training this model now, or the first that waits to; None if there is none."""
        return self._trainers.active

    @property
    def live_run(self) -> Any:
        """The run whose live weights answer: it trains in this process and has done at least one step; None if there is none."""
        return self._trainers.live

    def begin_run(self, run: TrainingRun) -> None:
        """Remember a run that trains this model, or waits to."""
        with self._lock:
            self.catch_up()
            self._trainers.add(run)

    def catch_up(self) -> None:
        """Take over the result of a worker's run that has ended since."""
        if not self.is_loaded:
            return  # unloaded meanwhile: there is nothing to put a result on
        with self._lock:
            for run in self._trainers.ended_elsewhere():
                checkpoint = run.result()
                if checkpoint is not None and self.trained != (run.id, checkpoint.step):
                    self.load_adapter(checkpoint.path, (run.id, checkpoint.step))

    # -- the trained state ------------------------------------------------------------------------------------------

    @property
    def state_now(self) -> tuple[str, int] | None:
        """(run id, step) of the weights that answer now; None for the base, and for adapters that no run here made."""
        run = self.live_run
        return (run.id, run.step) if run is not None else self.trained

    @property
    def answering(self) -> str:
        """In words, which state of the weights answers now: ``the base``, ``step 40 of run ...``."""
        live = self.live_run
        if live is not None:
            return f"live weights at step {live.step} of run {live.id}"
        if self.trained is not None:
            return f"step {self.trained[1]} of run {self.trained[0]}"
        return f"the adapter in {self.saved_at}" if self.saved_at is not None else "the base, untrained"

    @property
    def trained_on(self) -> TrainedOn | None:
        """What the training rows had in common: system prompt, tools, chat or plain text.

        ``generate``, ``chat`` and ``stream`` use it unless they are told otherwise. It is learned from the rows when a run is
        launched, and stored with checkpoints and saved models. None if nothing is known: for the bare base, or an adapter made
        elsewhere.
        """
        run = self.live_run
        found: TrainedOn | None = run.trained_on if run is not None else self._trained_on
        return found

    def load_adapter(self, folder: Path, trained: tuple[str, int] | None) -> None:
        """Put the trained state that a folder holds on the base, trainable."""
        try:
            with self.gate.inference():
                self.weights.load_adapter(folder)
        except BaseException:
            if self.weights.kind is None:  # what was there is off already
                self._forget()
            raise
        self.trained = trained
        self.saved_at = folder.resolve() if trained is None else None
        self._template.trained = sidecar.chat_template(folder)
        self._trained_on = sidecar.trained_on(folder)

    def detach_adapter(self) -> None:
        """Take off what was trained, so that the bare base is there again (called with the gate held)."""
        self._template.trained = None
        self.weights.detach_adapter()

    def trained_in_place(self, run_id: str, step: int, trained_on: TrainedOn | None) -> None:
        """Note that the weights are those of a run's step: it trained this very model."""
        self.trained, self.saved_at, self._trained_on = (run_id, step), None, trained_on

    def edited(self, folder: Path) -> None:
        """Note that what the weights carry was changed without a run, and lies in a folder now."""
        self.trained, self.saved_at = None, folder.resolve()

    def restore_start(self, start: dict[str, Any] | None) -> None:
        """Put the state back that a run started from (``model.start`` in its record), where the weights are of another."""
        path = Path(start["path"]) if start else None
        trained = (str(start["trained"][0]), int(start["trained"][1])) if start and start["trained"] else None
        if (self.trained, self.saved_at) == (trained, path if trained is None else None):
            return
        with self.gate.training():
            self.detach_adapter()
            self._forget()
            if path is not None:
                self.load_adapter(path, trained)

    def _forget(self) -> None:
        self.trained = self.saved_at = self._template.trained = None
        self._trained_on = self._base_trained_on

    # -- answers ----------------------------------------------------------------------------------------------------

    @property
    def generator(self) -> Generator:
        """The generator of the weights as they are now: takes and returns token ids.

        Raises
        ------
        ModelError
            It is a reward model, which gives no text.
        """
        self.require_loaded()
        if self.weights.kind == REWARD:
            raise gives_no_text(f"{self.name!r}, {self.answering}")
        return self.backend.generator(self)
