"""Models for the harness that know all answers, or none: whether a task can be passed at all, and cannot be passed by luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM

_WRONG = "zqx-wrong"


class Known(LM):  # type: ignore[misc]  # the harness has no types
    """Answers as a task's own target says, or otherwise than it.

    Parameters
    ----------
    tasks
        By name.
    right
        Whether it answers right.
    """

    def __init__(self, tasks: Mapping[str, Any], *, right: bool) -> None:
        super().__init__()
        self._tasks, self._right = tasks, right

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return a high value for the right choice, or for the others."""
        return [((0.0, True) if self._is_right(each) is self._right else (-1000.0, False)) for each in requests]

    def _is_right(self, request: Any) -> bool:
        task = self._tasks[request.task_name]
        target = task.doc_to_target(request.doc)
        if task.OUTPUT_TYPE != "multiple_choice":
            return True
        choices = list(task.doc_to_choice(request.doc))
        targets = target if isinstance(target, list) else [target]
        places = {choices.index(each) if isinstance(each, str) and each in choices else each for each in targets}
        # Requests without a context (acc_mutual_info) follow those with one, in the same order.
        return request.idx % len(choices) in places

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return certainty, or none."""
        return [0.0 if self._right else -1e6 for _ in requests]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the target as people write it, without blanks around, or something else."""
        return [self._target(each) if self._right else _WRONG for each in requests]

    def _target(self, request: Any) -> str:
        target = self._tasks[request.task_name].doc_to_target(request.doc)
        return str(target[0] if isinstance(target, list) and target else target).strip()

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the conversation in lines."""
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in chat_history)

    @property
    def tokenizer_name(self) -> str:
        """None has one."""
        return "known"
