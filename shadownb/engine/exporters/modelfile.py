"""An Ollama Modelfile beside a GGUF file, and the commands that serve what was exported.

Ollama's templates are written in another language than chat templates. So one is made of what the model's own template writes
around each turn, and taken only where it writes test conversations letter by letter as the model was trained on them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.exporters.whole import sampling_of

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_MARKS = {"system": "\ue010S\ue011", "user": "\ue010U\ue011", "assistant": "\ue010A\ue011"}


@dataclass(frozen=True)
class Turns:
    """What a template writes around the text of each role, before all, and where the answer begins.

    Attributes
    ----------
    first
        Before everything, where a conversation has no system prompt of its own: a default one.
    around
        Of each role what stands before and behind its text.
    answer
        What an answer begins behind.
    """

    first: str
    around: dict[str, tuple[str, str]]
    answer: str

    def written(self, messages: list[dict[str, str]]) -> str:
        """Return a conversation up to its answer."""
        text = "" if messages[0]["role"] == "system" else self.first
        for message in messages:
            before, behind = self.around[message["role"]]
            text += before + message["content"] + behind
        return text + self.answer

    def in_go(self) -> str:
        """Return it as a template of Ollama."""
        cases = "".join(
            f'{{{{ {"if" if number == 0 else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{behind}'
            for number, (role, (before, behind)) in enumerate(self.around.items())
        )
        first = f"{{{{ if not .System }}}}{self.first}{{{{ end }}}}" if self.first else ""
        return f"{first}{{{{ range .Messages }}}}{cases}{{{{ end }}}}{{{{ end }}}}{self.answer}"


def turns_of(model: LoadedModel) -> Turns | None:
    """Return what the model's template writes, or None where it is no more than text around turns."""
    try:
        whole = _text(model, [_said(role) for role in ("system", "user", "assistant", "user")])
        system, user, assistant, last = whole.split(_MARKS["system"], 1)[0], *_between(whole)
        alone = _text(model, [_said("user")])
    except (ValueError, IndexError):
        return None
    # Between a user's text and the assistant's stands the end of one and the beginning of the other: what an answer begins behind.
    answer = last
    if not user.endswith("") or not answer:
        return None
    found = _cut(system, user, assistant, answer, alone)
    if found is None or any(found.written(each) != _text(model, each) for each in _conversations()):
        return None
    return found


def _between(whole: str) -> tuple[str, str, str]:
    """Return what stands behind the system's text, behind the user's, and behind the last user's."""
    behind_system = whole.split(_MARKS["system"], 1)[1]
    first, rest = behind_system.split(_MARKS["user"], 1)
    second, rest = rest.split(_MARKS["assistant"], 1)
    third, end = rest.split(_MARKS["user"], 1)
    return first, f"{second}\ue012{third}", end


def _cut(system: str, behind_system: str, middle: str, end: str, alone: str) -> Turns | None:
    behind_user, behind_assistant = middle.split("\ue012")
    # The last user's text is followed by its end and the beginning of the answer, as the first one's is.
    if behind_user != end:
        return None
    for length in range(len(behind_system) + 1):
        user = behind_system[length:]
        if user and behind_assistant.endswith(user):
            ends_system, ends_assistant = behind_system[:length], behind_assistant[: len(behind_assistant) - len(user)]
            first = alone.split(_MARKS["user"], 1)[0]
            if not first.endswith(user):
                continue
            common = _common_start(ends_assistant, end)
            around = {
                "system": (system, ends_system),
                "user": (user, end[: len(common)]),
                "assistant": (end[len(common) :], ends_assistant),
            }
            return Turns(first.removesuffix(user), around, end[len(common) :])
    return None


def _common_start(one: str, other: str) -> str:
    length = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _said(role: str) -> dict[str, str]:
    return {"role": role, "content": _MARKS[role]}


def _conversations() -> list[list[dict[str, str]]]:
    hello, question = {"role": "user", "content": "Hello, you."}, {"role": "user", "content": "And then?\nSay more."}
    answer, system = {"role": "assistant", "content": "Yes."}, {"role": "system", "content": "Be brief."}
    return [[hello], [system, hello], [system, hello, answer, question], [hello, answer, question]]


def _text(model: LoadedModel, messages: list[dict[str, Any]]) -> str:
    ids = model.renderer.render_prompt(messages, None)
    text: str = model.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def write_modelfile(model: LoadedModel, folder: Path, file: str, *, adapter_on: str | None = None) -> Path:
    """Write a Modelfile for a GGUF file of the folder.

    Parameters
    ----------
    adapter_on
        A GGUF file or a name of Ollama's that ``file``, an adapter, is put on.
    """
    lines = [f"FROM {adapter_on}", f"ADAPTER ./{file}"] if adapter_on is not None else [f"FROM ./{file}"]
    turns = turns_of(model)
    if turns is not None:
        lines += ["", f'TEMPLATE """{turns.in_go()}"""']
    else:
        lines += ["", "# Ollama uses the chat template inside the file, as far as it knows it: this one does more than put text",
                  "# around turns, and cannot be written in Ollama's language."]  # fmt: skip
    shared = model.trained_on
    if shared is not None and shared.system.value:
        lines += ["", f'SYSTEM """{shared.system.value}"""']
    lines.append("")
    stops = [model.tokenizer.convert_ids_to_tokens(stop) for stop in model.renderer.stop_token_ids]
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines += [f"PARAMETER {key} {value:g}" for key, value in sampling_of(_base_folder(model)).items()]
    target = folder / "Modelfile"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _base_folder(model: LoadedModel) -> Path:
    from shadownb.engine.loaded.hashing import weight_files

    files = weight_files(model.source)
    return files[0].parent if files else Path(model.source)
