"""The state of a torch model around an inference call: borrowed, then given back exactly as it was.

Inference needs evaluation mode, a key/value cache and perhaps the adapter switched off. Training must find its modes,
gradient flags and checkpointing as it left them. The global random state is never drawn from here, and on purpose not
saved and restored either: putting it back would rewind draws that a cell makes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shadownb.engine.backends.texts import check_side
from shadownb.engine.inference.adapters import AdapterSource

if TYPE_CHECKING:
    import torch

    from shadownb.engine.inference.types import Use

Own = Literal["tuned", "base"]


class Routed(Protocol):
    """Inside its block the prompts of a pass are answered by what their questions ask for."""

    def __call__(self, prompts: Sequence[Any], at: Sequence[int] | None = None) -> AbstractContextManager[None]:
        """``at`` is where the last token of each stands, where they share one sequence."""


@dataclass(frozen=True)
class View:
    """How to generate with weights in the state they are in.

    Attributes
    ----------
    model
        Its ``generate`` is called.
    switched_off
        Inside this block the base answers.
    prefix
        Gives embeddings that stand before every prompt, shape (1, n, hidden), or None.
    base
        Gives another module that answers as the base, where switching off cannot bring it back.
    reserved
        Positions that the prefix takes.
    routed
        Inside this block the rows of a batch are answered by what their questions ask for; None where all are by the same.
    asks
        The stored questions that a question asks for; of one that asks for none, the answer is the same outside of that block.
    """

    model: Any
    switched_off: Callable[[], AbstractContextManager[Any]]
    prefix: Callable[[], torch.Tensor | None]
    base: Callable[[], Any] | None = None
    reserved: int = 0
    routed: Routed | None = None
    asks: Callable[[str], Sequence[str]] | None = None

    def side(self, use: Own) -> View:
        """Return the view of one side."""
        if use == "tuned":
            return self
        if self.base is not None:
            return plain_view(self.base())
        return View(self.model, self.switched_off, lambda: None, reserved=self.reserved)


def plain_view(model: Any) -> View:
    """Return the view of a transformers or peft model as it is; without adapters it is its own base."""
    off = model.disable_adapter if hasattr(model, "disable_adapter") else nullcontext
    return View(model, off, lambda: None)


class State:
    """What tells whether the weights of a view are still those that they were: equal where nothing was written since."""

    def __init__(self, view: View) -> None:
        self._model = view.model
        self._written = [(p.data_ptr(), p._version) for p in view.model.parameters()]
        self._prefix = view.prefix()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or self._model is not other._model or self._written != other._written:
            return False
        if self._prefix is None or other._prefix is None:
            return self._prefix is other._prefix
        return self._prefix.shape == other._prefix.shape and bool((self._prefix == other._prefix).all())

    __hash__ = None  # type: ignore[assignment]


def bare(model: Any) -> Any:
    """Return the transformers model under a peft model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def own_side(use: Use) -> Own:
    """Return which side of a module answers; an adapter beside the model has one of its own, and is the tuned side there.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if isinstance(use, AdapterSource):
        return "tuned"
    check_side(use)
    return use


@contextmanager
def borrowed(
    model: torch.nn.Module, use: Own, switched_off: Callable[[], AbstractContextManager[Any]] | None = None
) -> Iterator[None]:
    """Put ``model`` into inference state with the trained or the base weights, and back at the end.

    ``use="base"`` enters ``switched_off``, by default peft's; a model without adapters is its own base.
    """
    use = own_side(use)
    training = [module for module in model.modules() if module.training]
    checkpointing: list[Any] = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
    # peft makes every active adapter trainable when it switches them on again, whatever it was before.
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for module in checkpointing:
            module.gradient_checkpointing = False
        off = switched_off or plain_view(model).switched_off
        with off() if use == "base" else nullcontext():
            yield
    finally:
        for module in checkpointing:
            module.gradient_checkpointing = True
        for module in training:
            module.training = True
        for parameter, flag in gradients:
            if parameter.requires_grad is not flag:
                parameter.requires_grad_(flag)


def max_positions(model: Any) -> int | None:
    """Return how many tokens the model can attend to, or ``None`` where its architecture sets no limit."""
    config = model.config
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None
