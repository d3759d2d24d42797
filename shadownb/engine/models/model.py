"""Model: loaded weights that can be trained, asked and saved; the facade over :class:`~..loaded.model.LoadedModel`.

Its verbs are in :mod:`.asking`, :mod:`.training` and :mod:`.keeping`; here is what is said of it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from shadownb.engine import capabilities, methods
from shadownb.engine.models import describing
from shadownb.engine.models.asking import Asking
from shadownb.engine.models.catalog import find
from shadownb.engine.models.keeping import Keeping
from shadownb.engine.models.training import Training

if TYPE_CHECKING:
    from shadownb.engine.facts import Facts
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.ports.weights import ResidentAdapter
    from shadownb.engine.rendering.certificate import Certificate


class Model(Asking, Training, Keeping):
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

    # -- what it knows --------------------------------------------------------------------------------------------------

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

    # -- its base -------------------------------------------------------------------------------------------------------

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
