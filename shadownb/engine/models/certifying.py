"""``shadownb.certify``: the template certificate of a model, a name, a tokenizer; weights are not loaded for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.rendering import Renderer
    from shadownb.engine.rendering.certificate import Certificate


def certify(model: Any) -> Certificate:
    """Check with test conversations what a model's chat template writes, trains and reads back; takes about a second.

    Parameters
    ----------
    model
        A loaded :class:`Model`; a name, folder or run id as for :func:`shadownb.load` (only its tokenizer is loaded); a
        transformers tokenizer; or a Renderer.

    Raises
    ------
    ModelNotFoundError
        Nothing has that name.
    ConfigError
        ``model`` is none of these.

    Examples
    --------
    >>> certificate = snb.certify(model)
    >>> print(certificate.summary)
    13 of 14 proofs pass on the chat template of tiny; not: reasoning.
    """
    from shadownb.engine.rendering.certificate import certify_renderer

    return certify_renderer(*_renderer_of(model))


def _renderer_of(model: Any) -> tuple[Renderer, str]:
    from shadownb.engine.rendering import Renderer

    if isinstance(model, Renderer):
        return model, _name_of(model.tokenizer)
    own = getattr(model, "renderer", None)
    if isinstance(own, Renderer):
        return own, str(model.name)
    if hasattr(model, "apply_chat_template") and hasattr(model, "chat_template"):
        return Renderer(model), _name_of(model)
    if not isinstance(model, str) and not hasattr(model, "__fspath__"):
        raise ConfigError(
            f"certify() cannot take a {type(model).__name__}.", fix="Pass a model, its name, or a tokenizer."
        )
    from shadownb.engine.loaded import sidecar
    from shadownb.engine.loaded.backends import backend
    from shadownb.engine.models.sources import resolve

    folder = Path(model).expanduser()
    if (folder / "tokenizer_config.json").is_file() and not any(
        (folder / name).is_file() for name in ("config.json", "adapter_config.json")
    ):
        location, name, kept = str(folder), folder.name, None  # a tokenizer alone
    else:
        source = resolve(str(model))
        location, name = source.location, source.name
        kept = sidecar.chat_template(source.trained_at) if source.trained_at is not None else None
    return Renderer(backend().tokenizer(location), chat_template=kept), name


def _name_of(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or "a tokenizer")
