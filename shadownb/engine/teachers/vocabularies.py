"""Whether two models have the same tokens, by their content: a teacher's probabilities of other tokens say nothing."""

from __future__ import annotations

from shadownb.engine.rendering import Renderer
from shadownb.errors import ConfigError

_PROBE = "Café déjà vu, 123 tokens; print('a\\tb')\n"
_SHOWN = 3


def require_same(student: Renderer, teacher: Renderer, name: str) -> None:
    """Raise ConfigError where two models do not write texts in the same tokens, or end answers by others.

    ``name`` is what the teacher is called.
    """
    own, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if dict(own) != dict(theirs):
        apart = [token for token in own if own[token] != theirs.get(token)] or [t for t in theirs if t not in own]
        raise ConfigError(
            f"The {name} has another tokenizer than the student, so their probabilities cannot be compared token by token.",
            why=f"{len(own):,} tokens and {len(theirs):,}; {len(apart):,} differ, such as {', '.join(map(repr, apart[:_SHOWN]))}.",
            fix="Give a teacher of the same family, or train method='lora' on its answers, which are texts.",
        )
    ids = [list(each.tokenizer(_PROBE, add_special_tokens=False)["input_ids"]) for each in (student, teacher)]
    if ids[0] != ids[1]:
        raise ConfigError(
            f"The {name} cuts texts into other tokens than the student, although both have the same ones.",
            why=f"Of a text of {len(_PROBE)} characters the student makes {len(ids[0])} tokens, the teacher {len(ids[1])}.",
            fix="Give a teacher of the same family, or train method='lora' on its answers, which are texts.",
        )
    if not set(student.stop_token_ids) & set(teacher.stop_token_ids):
        raise ConfigError(
            f"The {name} ends its answers by another token than the student, so it would teach it never to end.",
            why=f"The student's are {list(student.stop_token_ids)}, the teacher's {list(teacher.stop_token_ids)}.",
            fix="Give a teacher whose chat template ends answers as the student's does.",
        )
