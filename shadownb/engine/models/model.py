"""Model: loaded weights that can be trained, asked and saved; the facade over :class:`~..loaded.model.LoadedModel`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from shadownb.engine import capabilities, methods
from shadownb.engine.models.asking import Asking
from shadownb.engine.models.catalog import find
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.rendering.certificate import Certificate
    from shadownb.engine.runs.handle import Run


class Model(Asking):
    """A loaded model; made by :func:`shadownb.load`."""

    has_base = True

    @property
    def adapter_kind(self) -> str | None:
        """What is trained on it: ``lora``, ``weights``, ``prompt``, ...; None for the bare base."""
        return self.weights.kind

    @property
    def public_name(self) -> str:
        """The base's name on any machine: its hub id where it has one, else the folder it came from."""
        info = find(self.name)
        return info.hub_id if info is not None else self.source

    def blocked(self, method: str, data_format: str | None = None) -> str | None:
        """Return why a method cannot be used on this model and what to do about it, or None if it can."""
        return capabilities.blocked(methods.get(method), self, data_format)

    def __repr__(self) -> str:
        if not self.is_loaded:
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

        if not self.is_loaded:
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
        callbacks: list[Any] | None = None,
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
        callbacks
            ``transformers.TrainerCallback``s, called in the training thread when training begins and ends, after each step, at
            reports, evaluations and checkpoints; ``control.should_training_stop``, ``should_save``, ``should_evaluate`` and
            ``should_log`` are obeyed. One that fails is named in the run's warnings and left out. Only ``executor="thread"``.
        **fields
            Any option of :class:`shadownb.TrainConfig`, and of the method's objective.

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
            callbacks=callbacks,
            store=store,
        )

    # -- trained state ----------------------------------------------------------------------------------------------

    def verify_base(self) -> tuple[bool, str]:
        """Check that the base is what was loaded: compare every base weight in memory with its file.

        Returns (whether all are equal, what was compared). For a trained base, the second copy is what answers as base.
        """
        self.require_loaded()
        return self.weights.verify_base()

    def certify(self) -> Certificate:
        """Prove on probes what the chat template does with a row: what is written, what is trained, what is read back."""
        from shadownb.engine.models.certifying import certify

        return certify(self)

    def fresh_copy(self) -> Model:
        """Load the base a second time, untrained, beside this model, which stays as it is.

        The copy shares nothing with it, so it takes the memory of the base once more; ``finetune(start="base")`` takes none.

        Raises
        ------
        OutOfMemoryError
            The base does not fit a second time.
        """
        from shadownb.engine.opening import open_again

        self.require_loaded()
        return cast(Model, open_again(self))

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

        self.require_loaded()
        self.catch_up()
        return save(self, Path(path).expanduser(), fmt)

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
        gc.collect()
        self.backend.empty_cache()
