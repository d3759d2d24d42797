"""Keeping what was trained: the verbs of :class:`~.model.Model` that write it, in files of ours or of others, and that free it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.loaded.model import LoadedModel
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.exports.result import Export


class Keeping(LoadedModel):
    """What a :class:`shadownb.Model` leaves on the disk, and in memory."""

    def save(self, path: str | Path, fmt: str = "adapter") -> Path:
        """Write the trained model to a folder and return its path. An earlier save in the same folder is replaced.

        If the run has not ended, the weights of its newest step are saved; a :class:`ShadowWarning` and ``shadownb.json`` in
        the folder name the step.

        Parameters
        ----------
        fmt
            ``"adapter"``: only what was trained, kilobytes to megabytes. It loads with ``shadownb.load(path)``, and with peft if
            peft knows the method. ``"merged"``: a whole model without an adapter, which loads wherever transformers does. This
            model does not change. ``"mlx"``: a LoRA or DoRA adapter in mlx-lm's files, whatever trained it.

        Raises
        ------
        ExportError
            The format is unknown or does not suit what was trained; or the folder holds this model's base, or a model or
            adapter that ``save`` did not write.

        Examples
        --------
        >>> folder = model.save("triage-adapter")
        >>> snb.load(run.base_model, adapter=folder).generate("I paid twice.", temperature=0)
        'billing'
        >>> whole = model.save("triage-model", fmt="merged")
        >>> snb.load(str(whole)).generate("I paid twice.", temperature=0)
        'billing'
        """
        from shadownb.engine.models.saving import save

        self.require_loaded()
        self.catch_up()
        return save(self, Path(path).expanduser(), fmt)

    def export(
        self,
        path: str | Path,
        format: str = "gguf",
        *,
        compare: Sequence[Any] = (),
        dataset: Any = None,
        scorer: Any = None,
        report: bool = True,
        **options: Any,
    ) -> Export:
        """Write the trained model in a format that others run, measure the file, and return what was found.

        Beside the weights lie tokenizer, chat template and the tokens that end an answer, a model card, and for GGUF a Modelfile
        of Ollama; the system prompt and tools of the training stand in ``shadownb.json``. An export replaces an earlier one in the
        same folder as a whole; until it is whole nothing there changes.

        Parameters
        ----------
        format
            ``"gguf"`` (llama.cpp, Ollama, LM Studio), ``"gguf-lora"`` (the adapter alone), ``"merged"`` (transformers, vLLM),
            ``"awq"`` and ``"gptq"`` (4 bits for vLLM), ``"mlx"`` (Apple), ``"adapter"`` (peft).
        compare
            Other formats to write, measure and throw away: names of GGUF's (``["q8_0", "q5_k_m"]``), or dicts of these options
            (``{"format": "merged", "dtype": "bfloat16"}``). The returned object has the table, a picture and a recommendation.
        dataset
            Rows to measure on, best ones that were held out; if omitted, those of the run, where it had any.
        scorer
            As for :func:`shadownb.compare`: scores answers of model and file on these rows, with a paired interval.
        report
            Whether to measure at all: the file is loaded by the engine that will run it.
        **options
            What the format takes: ``quant``, ``importance`` and ``converter`` of ``gguf``; ``dtype`` and ``rounding`` of
            ``merged``; ``bits``, ``group_size``, ``calibration`` and ``iters`` of ``awq`` and ``gptq``; ``bits`` of ``mlx``.

        Raises
        ------
        ExportError
            The format is unknown, does not suit what was trained or how the base was loaded, or would not answer as this model
            does. Nothing is left behind.
        ConfigError
            An option is not one of the format's, or has a value that it does not take.
        MissingDependencyError
            A tool or an engine is not here; the message has the command that fetches it.

        Examples
        --------
        >>> exported = model.export("triage-q8", format="gguf", quant="q8_0", report=False)
        >>> exported.files
        ('Modelfile', 'README.md', ...)
        """
        from shadownb.engine.models.exporting import export

        self.require_loaded()
        self.catch_up()
        return export(
            self,
            Path(path).expanduser(),
            format,
            compare=compare,
            dataset=dataset,
            scorer=scorer,
            report=report,
            **options,
        )

    def unload(self) -> None:
        """Free the weights. The object still says what it was; to ask or train it again, load it again.

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
