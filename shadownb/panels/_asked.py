"""What stands before a question in the Chat panel, where it comes from, and in what that differs from the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shadownb.engine.loaded import as_trained


@dataclass(frozen=True)
class Opening:
    """How a conversation begins: system prompt (None for none), tools, and whether the prompt is plain text instead."""

    system: str | None
    tools: list[dict[str, Any]] | None
    plain: bool

    @classmethod
    def of(cls, model: Any, settings: dict[str, Any]) -> Opening:
        """Return how the settings say it, where they leave something open as the model was trained."""
        known = model.trained_on if model is not None else None
        system = settings["system"]
        plain = settings["plain"]
        if plain is None:
            plain = known is not None and known.plain
        tools = as_trained.trained_tools(known) if settings["tools"] is None else None
        typed = system if system and system.strip() else None
        return cls(as_trained.trained_system(known) if system is None else typed, tools, bool(plain))

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages a conversation begins with."""
        return [{"role": "system", "content": self.system}] if self.system is not None else []


def asked_of(model: Any, settings: dict[str, Any], earlier: int) -> dict[str, Any]:
    """Return what the page shows of it.

    Parameters
    ----------
    earlier
        How many questions of the conversation the next one comes after.
    """
    opening = Opening.of(model, settings)
    known = model.trained_on if model is not None else None
    shown: dict[str, Any] = {
        "system": opening.system or "",
        "tools": [str(tool["function"]["name"]) for tool in opening.tools or ()],
        "plain": opening.plain,
        "own_system": settings["system"] is not None,
        "known": known is not None,
        "earlier": earlier,
        "notes": [],
    }
    if known is None:
        return shown
    trained_tools = as_trained.trained_tools(known)
    notes = [
        difference.text for difference in known.differences(opening.messages(), opening.tools, plain=opening.plain)
    ]
    single = earlier > 0 and known.questions == 1 and not known.plain and not opening.plain
    return shown | {
        "trained_system": as_trained.trained_system(known) or "",
        "system_words": known.system_words(),
        "trained_tools": [str(tool["function"]["name"]) for tool in trained_tools or ()],
        "tools_words": known.tools_words(),
        "trained_plain": known.plain,
        "notes": notes,
        "single": single,
    }


def kept_system(text: Any, model: Any) -> str | None:
    """Return a system prompt as typed; None where it says the same as the rows', whose line ends a page does not keep."""
    if text is None:
        return None
    known = model.trained_on if model is not None else None
    trained = as_trained.trained_system(known) or ""
    return (
        None
        if known is not None and "\n".join(str(text).splitlines()) == "\n".join(trained.splitlines())
        else str(text)
    )
