"""Model: loaded weights that can be trained, asked and saved; the facade over :class:`~..loaded.model.LoadedModel`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from shadownb.engine import capabilities, methods
from shadownb.engine.inference import Sampling
from shadownb.engine.inference.typed import all_typed, is_typed, value_of
from shadownb.engine.loaded.as_trained import AS_TRAINED, AsTrained, Tools
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.models import best_of as best_of_many
from shadownb.engine.models import describing
from shadownb.engine.models.catalog import find
from shadownb.engine.models.generation import Generation
from shadownb.engine.models.questions import Message, Opening
from shadownb.errors import BusyError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.exports.result import Export
    from shadownb.engine.facts import Facts
    from shadownb.engine.inference import Reply, ReplyStream
    from shadownb.engine.inference.options import SamplingOptions
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.models.asked_with import ChatOptions, GenerateOptions
    from shadownb.engine.ports.backend import ResidentAdapter
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.rendering.certificate import Certificate
    from shadownb.engine.runs.handle import Run
    from shadownb.engine.sweeps.sweep import Sweep
    from shadownb.engine.trajectories import TrajectoryGroup


class Model(LoadedModel):
    """A loaded model, as :func:`shadownb.load` returns it: train, ask, save.

    Examples
    --------
    >>> model
    Model('tiny', ... float32 on cpu; step 40 of run ...)
    >>> model.generate("Where is my parcel?", temperature=0)
    'shipping'
    >>> model.adapter_kind, model.is_loaded, model.parameters_total  # weights of the base, without the adapter
    ('lora', True, 90624)
    >>> str(model.device), model.dtype_name, model.lengths.max_length  # tokens
    ('cpu', 'float32', 1024)
    >>> len(model.base_hash), model.describe()["parameters"], isinstance(model.public_name, str)
    (64, 90624, True)
    >>> model.answering == f"step 40 of run {run.id}", model.state_now == (run.id, 40)
    (True, True)
    >>> print(model.active_run, model.live_run)  # nothing trains it now
    None None
    >>> print(model.trained_on.system.value)  # the rows had no system prompt
    None
    >>> len(model.renderer.render_prompt(rows[0]["messages"][:1]))  # tokens of the question as the model is asked it
    38
    >>> type(model.backend).__name__, type(model.module).__name__, type(model.generator).__name__
    ('TorchBackend', 'PeftModelForCausalLM', 'TransformersGenerator')
    >>> model.resident_adapters
    []
    >>> model.free_adapters()
    >>> model.pinned  # model.pinned = True keeps it from being offered for unloading
    False
    >>> copy = model.fresh_copy()  # the base a second time, in memory of its own
    >>> print(copy.adapter_kind, copy.adapter)
    None None
    >>> copy.unload()
    >>> copy.is_loaded
    False
    """

    has_base = True
    pinned = False
    """Whether it stays in memory: where that is short, a pinned model is not offered for unloading."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.generation = Generation(self)
        self._facts: Facts | None = None

    @property
    def adapter_kind(self) -> str | None:
        """The kind of adapter on the model: ``lora``, ``weights`` (all weights), ``prompt``, ...; None for the bare base."""
        return self.weights.kind

    @property
    def public_name(self) -> str:
        """The base's name on any machine: its hub id where it has one, else the folder it came from."""
        info = find(self.name)
        return info.hub_id if info is not None else self.source

    def blocked(self, method: str, data_format: str | None = None) -> str | None:
        """Return why a method cannot be used on this model and what to do about it; None if it can be used.

        With ``data_format`` (``dataset.format``) the shape of the rows is checked as well.

        Examples
        --------
        >>> print(model.blocked("lora"))
        None
        >>> print(model.blocked("qlora"))
        qlora needs a base in 4 or 8 bits, this one is float32; load it with shadownb.load("...", quantize="4bit")
        """
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
        best_of: int = 1,
        scorer: Any = None,
        **sampling: Unpack[SamplingOptions],
    ) -> str | list[str]:
        """Answer one prompt (returns a string) or a list of prompts (returns a list, computed in batches).

        The string is the answer without its reasoning; tool calls stay in it as the model wrote them. :meth:`chat` returns
        the reasoning, the calls and the raw text separately.

        Parameters
        ----------
        prompt
            User message, rendered with the chat template exactly as in training.
        system, tools
            System prompt and tool schemas before the prompt. If omitted, those that the training rows share
            (``model.trained_on``), so that the model is asked the way it was trained. None or "" means none.
        template
            True renders the prompt with the chat template, False continues it as plain text. None does what the training
            did: plain text after training on plain text (``cpt``).
        use
            Which weights answer: ``"tuned"``, or ``"base"`` for the model before training, which is asked in the same way. Or
            another adapter, which is asked the way it was trained: a run or one of its ``checkpoints()``, a run's id, the
            folder of an adapter, or tensors (:class:`~shadownb.engine.inference.AdapterSource`). A list gives one for each
            prompt. The adapter on the model is not touched, even while it trains.
        enable_thinking, reasoning_effort
            Whether to think before the answer, and how much; only if the chat template supports it. None uses what the model
            was loaded or trained with.
        best_of, scorer
            How many answers to sample for each prompt, and what scores them: the one that scores highest is returned. A
            :class:`~shadownb.RewardModel`, or whatever a scorer can be that needs no expected answer.
        **sampling
            ``max_new_tokens`` (256), ``temperature`` (0.7; 0 is greedy), ``top_p``, ``top_k``, ``min_p``, ``repetition_penalty``,
            ``presence_penalty``, ``frequency_penalty``, ``logit_bias``, ``stop``, ``seed``; the form of the answer by ``schema``
            (a JSON schema or a pydantic model, of which instances are returned), ``regex`` or ``grammar`` (Lark or GBNF); for
            :meth:`chat` and :meth:`stream` also ``logprobs`` and ``top_logprobs`` (see
            :class:`~shadownb.engine.inference.Sampling`).

        Raises
        ------
        ModelError, CheckpointError
            The adapter in ``use`` cannot answer here: it belongs to another base or does not fit, is a whole model, or is
            damaged; or all weights of this model were trained, so that it has no base. The message says which.

        Warns
        -----
        ShadowWarning
            The question differs from every training row (another system prompt, other tools); once for each kind of
            difference.

        Examples
        --------
        >>> model.generate("Where is my parcel?", temperature=0)
        'shipping'
        >>> model.generate(["I paid twice.", "I cannot log in."], temperature=0)
        ['billing', 'account']
        >>> model.generate("I paid twice.", use="base", temperature=0, max_new_tokens=4) == "billing"  # as it was before training
        False
        >>> earlier, last = run.checkpoints()
        >>> model.generate("I paid twice.", use=last, temperature=0)
        'billing'
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        opening = Opening(system, tools, template, enable_thinking, reasoning_effort)
        asked = Sampling.from_options(**sampling)
        best_of_many.check(best_of, scorer, asked)
        if best_of > 1:
            texts = best_of_many.texts(
                self.generation, prompts, opening, use, asked, should_stop, best_of=best_of, scorer=scorer
            )
        else:
            texts = self.generation.texts(prompts, opening, use, asked, should_stop)
        if is_typed(schema := sampling.get("schema")):
            return all_typed(schema, texts)[0] if isinstance(prompt, str) else all_typed(schema, texts)
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

        Messages are dicts as in OpenAI's API (``role``, ``content``, ``tool_calls``, ...). Options and errors are those of
        :meth:`generate`; if the first message is a system message, it is used instead of the trained one.

        Examples
        --------
        >>> reply = model.chat([{"role": "user", "content": "I paid twice."}], temperature=0)
        >>> reply.content, reply.finish_reason
        ('billing', 'stop')
        >>> reply.usage
        {'prompt_tokens': 32, 'completion_tokens': 8, 'total_tokens': 40}
        >>> further = [{"role": "user", "content": "I paid twice."}, reply.to_message(), {"role": "user", "content": "And now?"}]
        >>> [answer.role for answer in model.chat([further[:1], further], max_new_tokens=4)]
        ['assistant', 'assistant']
        """
        single = bool(messages) and isinstance(messages[0], dict)
        conversations: Any = [messages] if single else messages
        opening = Opening(system, tools, None, enable_thinking, reasoning_effort)
        replies = self.generation.replies(conversations, opening, use, Sampling.from_options(**sampling), should_stop)
        if (schema := sampling.get("schema")) is not None:
            for reply in replies:
                reply.parsed = value_of(schema, reply.content)
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
        """Answer piece by piece: iterate over the stream for the text, call its ``close()`` to stop; at the end ``reply`` holds
        the whole :class:`Reply`.

        The pieces add up to the content that :meth:`chat` returns for the same seed; ``parts()`` yields reasoning and calls
        as well. A string is taken as by :meth:`generate`, a list of messages as by :meth:`chat`, with the same options and
        errors.

        Examples
        --------
        >>> stream = model.stream("Where is my parcel?", temperature=0)
        >>> "".join(stream)
        'shipping'
        >>> stream.reply.finish_reason
        'stop'
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
        """Return the mean next-token loss over a data set's trained tokens, in nats per token; nothing is trained.

        On held-out rows it shows how well the model knows a task. On unrelated text the difference between ``use="tuned"``
        and ``use="base"`` shows how much was forgotten. As in a run, rows that the chat template refuses are left out and
        rows longer than ``max_length`` are truncated; a :class:`ShadowWarning` counts both.

        Parameters
        ----------
        dataset
            Whatever :meth:`train` takes.
        use
            Which weights, as for :meth:`generate`.
        loss_on
            Which tokens count: those of every ``assistant`` turn, of the ``last``, or ``all``.
        max_length
            Most tokens of a row; None is the model's ``max_length``.

        Raises
        ------
        DataError
            No row can be rendered (the error is that of the first row), or none has a token to train.

        Examples
        --------
        >>> model.loss(rows) < 0.1 < 5 < model.loss(rows, use="base")
        True
        """
        from shadownb.engine.models.likelihood import mean_loss

        return mean_loss(self, dataset, use, loss_on, max_length)

    @property
    def resident_adapters(self) -> list[ResidentAdapter]:
        """The adapters that ``use=`` has loaded in addition to the one on the model, with their size in bytes.

        The four that were used last are kept; :meth:`free_adapters` frees them.
        """
        return list(self.weights.resident)

    def free_adapters(self) -> None:
        """Free the adapters that ``use=`` has loaded; the one on the model stays."""
        with self.gate.inference():
            self.weights.free_resident()

    @property
    def facts(self) -> Facts:
        """What it knows by heart: add, change and take away facts one by one (methods ``more_plus`` and ``more``).

        Examples
        --------
        >>> own = model.fresh_copy()
        >>> own.facts.add("What is the code of the pump seal?", "A7", test=False, expert_steps=5).action
        'add'
        >>> own.facts.route("What is the code of the pump seal?").abstains, len(own.facts)
        (False, 1)
        """
        from shadownb.engine.facts import Facts

        if self._facts is None:
            self._facts = Facts(self)
        return self._facts

    # -- training ---------------------------------------------------------------------------------------------------

    def train(
        self,
        dataset: Dataset | list[dict[str, Any]] | TrajectoryGroup | list[TrajectoryGroup],
        method: str = "lora",
        background: bool | None = None,
        eval_dataset: Dataset | list[dict[str, Any]] | str | float | None = None,
        start: str | Path | Run | None = None,
        store: RunStore[Any] | None = None,
        callbacks: list[Any] | None = None,
        **fields: Any,
    ) -> Run:
        """Fine-tune on a dataset and return the run; afterwards the model answers with the result.

        Parameters
        ----------
        dataset
            A :class:`Dataset`, or a list of rows, a data frame, an Arrow table or a ``datasets.Dataset``; for
            ``grpo`` and its like also scored :class:`~shadownb.TrajectoryGroup` objects.
        method
            Name of a training method; ``shadownb.methods.available()`` lists them.
        background
            True returns at once, False blocks until the run has ended; None is True in a notebook and False in a script.
        eval_dataset
            Rows to evaluate on; ``"auto"`` holds out a tenth of the rows, ``0.15`` or ``"15%"`` that share of them.
        start
            What to begin with. ``"base"``: the fresh base, as if nothing had been trained (the result of an earlier run stays
            in its folder). ``"trained"``: the model as it is when the run begins, so that a second run continues from the
            first one's result. A run, its id, or the folder of an adapter or checkpoint: that result. None means
            ``"trained"``, with a :class:`ShadowWarning` if a run has trained this model since it was loaded.
            ``run.started_from`` says what it was.
        store
            Where the run is stored: ``runs.FolderStore(home)``. None is the home in ``SHADOWNB_HOME`` (``~/.shadownb``).
        callbacks
            Objects of ``transformers.TrainerCallback``, called in the training thread: when training begins and ends, after
            each step, and at each log, evaluation and checkpoint. ``control.should_training_stop``, ``should_save``,
            ``should_evaluate`` and ``should_log`` take effect. A callback that fails is named in the run's warnings and not
            called again. Only with ``executor="thread"``.
        **fields
            Any option of :class:`shadownb.TrainConfig`, including those of the method's objective.

        Raises
        ------
        ConfigError, DataError, MethodError, BusyError
            Raised before anything starts; the message names the option. With ``background=False`` also the error that made
            the run fail.

        Examples
        --------
        >>> second = model.train(rows, method="lora", start="base", lora_r=8, max_steps=4, eval_dataset="25%", background=False)
        >>> second.status, second.step, second.started_from
        ('succeeded', 4, 'the base')
        >>> model.answering == f"step 4 of run {second.id}"
        True
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

    def sweep(
        self,
        dataset: Dataset | list[dict[str, Any]] | TrajectoryGroup | list[TrajectoryGroup],
        space: Mapping[str, Any],
        metric: str = "eval_loss",
        budget: int | str | None = None,
        *,
        direction: Literal["minimize", "maximize"] | None = None,
        sampler: Literal["auto", "grid", "tpe", "random"] = "auto",
        pruner: Literal["auto", "median", "halving", "none"] = "auto",
        seed: int = 0,
        name: str | None = None,
        method: str = "lora",
        eval_dataset: Dataset | list[dict[str, Any]] | str | float | None = "auto",
        start: str | Path | Run = "base",
        background: bool | None = None,
        **fields: Any,
    ) -> Sweep:
        """Train with different options, one run after the other, and return the sweep; afterwards the model answers with the best.

        It can be stopped, killed and gone on with, and comes to the same table. Lists of choices need nothing more; ranges, and
        giving trials up early, need Optuna (``pip install 'shadownb[sweep]'``).

        Parameters
        ----------
        dataset, eval_dataset, method, background
            As for :meth:`train`. Rows to evaluate on are held out once, the same for all trials.
        space
            By option: a list of choices, ``[4, 8, 16]``; a range, ``(0, 0.1)``; or a range in which factors count,
            ``(1e-5, 1e-3, "log")``. ``method`` can be one of the options.
        metric
            The number by which trials are compared: ``eval_loss``, ``loss`` or another of the run's metrics, the last one or,
            with ``.min`` and ``.max`` behind it, the lowest or highest.
        budget
            How many trials, or how long they may train together, such as ``"90 min"``; None tries every combination.
        direction
            Whether less or more of the metric is better; None tells it from the name.
        sampler
            How combinations are chosen: ``grid`` in order, ``random``, ``tpe`` by what earlier trials came to.
        pruner
            Which trials are given up early, by their evaluations: those worse than the ``median`` of earlier ones at the same
            step, or by successive ``halving``.
        seed
            Of the sampler; the runs have the option ``seed``, which can be swept, under this name in ``space``.
        name
            Of the sweep, for :func:`shadownb.sweeps.load`; None makes one.
        start
            What every trial begins with: ``"base"``, a run, or an adapter.
        **fields
            Options that all trials share.

        Raises
        ------
        ConfigError, DataError, MethodError, BusyError, MissingDependencyError
            Raised before anything starts; the message names the option.

        Examples
        --------
        >>> own = model.fresh_copy()
        >>> sweep = own.sweep(rows, {"learning_rate": (1e-3, 1e-1, "log")}, budget=3, max_steps=2, background=False)
        >>> len(sweep.table()), sweep.best is not None, own.state_now[0] == sweep.best.id
        (3, True, True)
        """
        from shadownb.engine.sweeps.starting import start as begin

        return begin(
            self,
            dataset,
            space,
            metric=metric,
            budget=budget,
            direction=direction,
            sampler=sampler,
            pruner=pruner,
            seed=seed,
            name=name,
            method=method,
            eval_dataset=eval_dataset,
            start_from=start,
            background=background,
            fields=fields,
        )

    # -- trained state ----------------------------------------------------------------------------------------------

    def verify_base(self) -> tuple[bool, str]:
        """Check that the base is unchanged: compare every base weight in memory with its file.

        Returns (whether all are equal, what was compared). If the base itself was trained, its second copy, which answers for
        ``use="base"``, is compared.

        Examples
        --------
        >>> model.verify_base()
        (True, 'all 20 base tensors equal the file (sha256 ...)')
        """
        self.require_loaded()
        return self.weights.verify_base()

    def certify(self) -> Certificate:
        """Check with test conversations what the chat template does with a row: what it writes, what is trained, what is read back.

        See :func:`shadownb.certify`.

        Examples
        --------
        >>> print(model.certify())
        13 of 14 proofs pass on the chat template of tiny; not: reasoning.
        ...
        ✓ pass  masks         each reply is trained once, and nothing else
        ✓ pass  stop          a reply ends with <|im_end|>, trained once
        ...
        """
        from shadownb.engine.models.certifying import certify

        return certify(self)

    def fresh_copy(self) -> Model:
        """Load the base a second time, untrained; this model does not change.

        The copy shares nothing with this model, so it needs the memory of the base again (``train(start="base")`` does not).

        Raises
        ------
        OutOfMemoryError
            The base does not fit in memory a second time.
        """
        from shadownb.engine.opening import open_again

        self.require_loaded()
        return cast(Model, open_again(self))

    # -- keeping ----------------------------------------------------------------------------------------------------

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
