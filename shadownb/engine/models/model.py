"""Model: loaded weights that can be trained, asked and saved; the facade over :class:`~..loaded.model.LoadedModel`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from shadownb.engine import capabilities, methods
from shadownb.engine.inference import Sampling
from shadownb.engine.loaded.as_trained import AS_TRAINED, AsTrained, Tools
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.models import describing
from shadownb.engine.models.catalog import find
from shadownb.engine.models.generation import Generation
from shadownb.engine.models.questions import Message, Opening
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.inference import Reply, ReplyStream
    from shadownb.engine.inference.options import SamplingOptions
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.models.asked_with import ChatOptions, GenerateOptions
    from shadownb.engine.ports.backend import ResidentAdapter
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.rendering.certificate import Certificate
    from shadownb.engine.runs.handle import Run


class Model(LoadedModel):
    """A loaded model; made by :func:`shadownb.load`."""

    has_base = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.generation = Generation(self)

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
        return describing.as_text(self)

    def _repr_html_(self) -> str:
        return describing.as_html(self)

    # -- answers ----------------------------------------------------------------------------------------------------

    @overload  # a text is a sequence of texts, too: the first that fits is meant
    def generate(  # type: ignore[overload-overlap]
        self, prompt: str, **options: Unpack[GenerateOptions]
    ) -> str: ...

    @overload
    def generate(self, prompt: Sequence[str], **options: Unpack[GenerateOptions]) -> list[str]: ...

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        system: str | AsTrained | None = AS_TRAINED,
        tools: Tools | AsTrained = AS_TRAINED,
        template: bool | None = None,
        use: Asked | Sequence[Asked] = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> str | list[str]:
        """Answer one prompt (returns a string) or a list of prompts (returns a list, computed in batches).

        The string is what stands after the reasoning; calls stay in it as they were written. :meth:`chat` gives the
        reasoning, the calls and the raw text.

        Parameters
        ----------
        prompt
            User message, put through the chat template exactly as in training.
        system, tools
            What stands before it. Left out: the system prompt and tools that the rows of the training share
            (``model.trained_on``), so that the model is asked as it was trained. None or "" means none.
        template
            False goes on from the prompt as plain text, True puts it through the chat template. None does as the training
            did: plain text after training on plain text (``cpt``).
        use
            Which weights answer: ``"tuned"``, or ``"base"`` for the model before training, which is asked in the same way; or
            an adapter that is not on the model and answers beside it, asked as it was trained itself: a run or one of its
            ``checkpoints()``, a run's id, the folder of an adapter, tensors (:class:`~shadownb.engine.inference.AdapterSource`).
            A list has one for each prompt. What is on the model stays as it is, also while it trains.
        enable_thinking, reasoning_effort
            Whether to think before the answer and how much; only where the chat template knows it. None is what the model
            was loaded or trained with.
        **sampling
            ``max_new_tokens, temperature, top_p, top_k, repetition_penalty, stop, seed``; of :meth:`chat` and :meth:`stream`,
            whose replies have a place for them, ``logprobs`` as well (see :class:`~shadownb.engine.inference.Sampling`).

        Raises
        ------
        ModelError, CheckpointError
            An adapter cannot answer here, with the reason: it belongs to another base or does not fit, is a whole model or
            damaged, or this model's own weights were trained, so that it has no base.

        Warns
        -----
        ShadowWarning
            Once for each kind of difference: the question differs from every row of the training.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        opening = Opening(system, tools, template, enable_thinking, reasoning_effort)
        texts = self.generation.texts(prompts, opening, use, Sampling.from_options(**sampling), should_stop)
        return texts[0] if isinstance(prompt, str) else texts

    @overload
    def chat(
        self, messages: Sequence[Message], tools: Tools | AsTrained = AS_TRAINED, **options: Unpack[ChatOptions]
    ) -> Reply: ...

    @overload
    def chat(
        self,
        messages: Sequence[Sequence[Message]],
        tools: Tools | AsTrained = AS_TRAINED,
        **options: Unpack[ChatOptions],
    ) -> list[Reply]: ...

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        use: Asked | Sequence[Asked] = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Reply | list[Reply]:
        """Return the :class:`Reply` to a conversation, or a list of them for a list of conversations.

        Options as for :meth:`generate`; messages that begin with a system message keep it.
        """
        single = bool(messages) and isinstance(messages[0], dict)
        conversations: Any = [messages] if single else messages
        opening = Opening(system, tools, None, enable_thinking, reasoning_effort)
        replies = self.generation.replies(conversations, opening, use, Sampling.from_options(**sampling), should_stop)
        return replies[0] if single else replies

    def stream(
        self,
        prompt: str | Sequence[Message],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        template: bool | None = None,
        use: Asked = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> ReplyStream:
        """Answer piece by piece: iterate over the content, ``close()`` to stop; ``reply`` has the whole at the end.

        The pieces are the content of what :meth:`chat` returns for the same seed; ``parts()`` gives reasoning and calls as
        well. A prompt is taken as by :meth:`generate`, messages as by :meth:`chat`.
        """
        opening = Opening(system, tools, template, enable_thinking, reasoning_effort)
        return self.generation.stream(prompt, opening, use, Sampling.from_options(**sampling), should_stop)

    def loss(
        self,
        dataset: Any,
        *,
        use: Asked = "tuned",
        loss_on: Literal["assistant", "last", "all"] = "assistant",
        max_length: int | None = None,
    ) -> float:
        """Return the mean loss of a data set's trained tokens, in nats a token; nothing is trained.

        On held-out rows it says how well a task is known. On unrelated text the difference between ``use="tuned"`` and
        ``use="base"`` says how much was forgotten. Rows that the chat template refuses are left out, and those longer than
        ``max_length`` are cut, as in a run; a :class:`ShadowWarning` counts them.

        Raises
        ------
        DataError
            No row can be rendered (the error is that of the first), or none has a token to train.
        """
        from shadownb.engine.models.likelihood import mean_loss

        return mean_loss(self, dataset, use, loss_on, max_length)

    @property
    def resident_adapters(self) -> list[ResidentAdapter]:
        """The adapters that ``use=`` has brought into memory beside the one on the model, with their bytes.

        A few are kept, those that were asked last; :meth:`free_adapters` frees them.
        """
        return list(self.weights.resident)

    def free_adapters(self) -> None:
        """Free the adapters that ``use=`` has brought into memory; the one on the model stays."""
        with self.gate.inference():
            self.weights.free_resident()

    # -- training ---------------------------------------------------------------------------------------------------

    def train(
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

        The copy shares nothing with it, so it takes the memory of the base once more; ``train(start="base")`` takes none.

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
            ``"mlx"``: a LoRA or DoRA adapter in the files of mlx-lm, whatever trained it.

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
