"""A loaded model as the harness' ``LM``: imported where the harness is wanted, because its import takes seconds."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, has_bos_prefix, normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from shadownb.engine.inference.types import Sampling
from shadownb.engine.models.adapters import weights_asked
from shadownb.engine.models.likelihood import token_scores
from shadownb.errors import DataError

Request = tuple[Any, list[int], list[int]]

_POSITIONS = 2048  # of a model that sets no bound, as the harness' own model has it
_TOGETHER = 1024  # requests between two writes of the harness' cache, which loses that many at a kill


class ShadowLM(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """Answers the harness' requests with the weights that ``use`` names.

    Log-likelihoods are computed in packed passes in which a start that requests share, few-shot examples and question, stands once;
    the harness' ``hf`` model pads, and computes it for each choice.

    Attributes
    ----------
    cut : int
        Requests whose beginning was left out, because they are longer than the model's context; the harness does so silently.
    """

    backend = "causal"

    def __init__(self, model: Any, use: Any = "tuned") -> None:
        super().__init__()
        self._model, self._use = model, use
        self.tokenizer = model.tokenizer
        self.cut = 0

    # -- what the harness asks of a model's tokenizer -----------------------------------------------------------------

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text without a context."""
        first = self.tokenizer.bos_token_id
        return self.eot_token_id if first is None else int(first)

    @property
    def max_length(self) -> int:
        """Most tokens of a request."""
        return int(self._model.weights.positions or _POSITIONS)

    @property
    def max_gen_toks(self) -> int:
        """Most tokens of an answer where a task does not say."""
        return 256

    @property
    def tokenizer_name(self) -> str:
        """What the harness' caches call the tokenizer."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Return the tokens of a text; a beginning-of-sequence token that is written in it is not added again."""
        given: dict[str, Any] = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode([self.prefix_token_id])):
            given["add_special_tokens"] = False
        return list(self.tokenizer.encode(string, **given))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a conversation as the model's own template writes it."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    # -- requests -----------------------------------------------------------------------------------------------------

    def _loglikelihood_tokens(self, requests: Sequence[Request], **__: Any) -> list[tuple[float, bool]]:
        """Return of each continuation its log-probability, and whether greedy decoding would write it."""
        found: list[tuple[float, bool]] = []
        for begin in range(0, len(requests), _TOGETHER):
            part = requests[begin : begin + _TOGETHER]
            rows = [self._fitting(before, meant) for _, before, meant in part]
            for (asked, *_), scores in zip(part, token_scores(self._model, rows, self._use), strict=True):
                answer = (sum(log_prob for log_prob, _ in scores), all(is_so for _, is_so in scores))
                found.append(answer)
                if asked is not None:
                    self.cache_hook.add_partial("loglikelihood", asked, answer)
        return found

    def _fitting(self, before: list[int], meant: list[int]) -> tuple[list[int], list[int]]:
        over = len(before) + len(meant) - self.max_length
        if over <= 0:
            return before, meant
        self.cut += 1
        return (
            (before[over:], meant)
            if over < len(before)
            else (meant[-self.max_length :][:1], meant[-self.max_length :][1:])
        )

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of whole texts, those that are longer than the context in windows that do not overlap."""
        windows: list[Request] = []
        counts = []
        for (text,) in (request.args for request in requests):
            parts = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length - 1,
                context_len=1,
            )
            disjoint = [make_disjoint_window(part) for part in parts]
            windows += [(None, before, meant) for before, meant in disjoint]
            counts.append(len(disjoint))
        scores = iter(self._loglikelihood_tokens(windows))
        found = [sum(next(scores)[0] for _ in range(count)) for count in counts]
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return what the model writes up to a stop string, at the engine's batched speed."""
        found: dict[int, str] = {}
        by_kind: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            by_kind.setdefault(repr(request.args[1]), []).append(number)
        end = self.tokenizer.decode([self.eot_token_id])
        for numbers in by_kind.values():
            told = normalize_gen_kwargs(copy.deepcopy(requests[numbers[0]].args[1]), self.max_gen_toks)
            sampling = _sampling(told, handle_stop_sequences(told.get("until"), eos=end))
            room = self.max_length - sampling.max_new_tokens
            if room < 1:
                raise DataError(
                    f"A task asks for {sampling.max_new_tokens} new tokens, the model has {self.max_length} positions.",
                    why="No token of a question would be left.",
                    fix="Set a lower max_gen_toks in the task's generation_kwargs, or take a model with a longer context.",
                )
            prompts = [self.tok_encode(requests[number].args[0]) for number in numbers]
            self.cut += sum(len(prompt) > room for prompt in prompts)
            use = weights_asked(self._use, self._model)
            answers = self._model.generator.generate([prompt[-room:] for prompt in prompts], sampling, use=use)
            for number, answer in zip(numbers, answers, strict=True):
                found[number] = answer.text
                self.cache_hook.add_partial("generate_until", requests[number].args, answer.text)
        return [found[number] for number in range(len(requests))]


def _sampling(given: dict[str, Any], until: list[str]) -> Sampling:
    drawn = bool(given.get("do_sample")) and float(given.get("temperature", 1.0)) > 0
    return Sampling(
        max_new_tokens=int(given["max_gen_toks"]),
        temperature=float(given.get("temperature", 1.0)) if drawn else 0.0,
        top_p=float(given.get("top_p", 1.0)) if drawn else 1.0,
        top_k=int(given.get("top_k", 0) or 0) if drawn else 0,
        stop=tuple(each for each in until if each),
        seed=0 if drawn else None,
    )
