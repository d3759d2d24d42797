"""Tasks that the Train panel's form can be filled for: method and options, each with the reason for its value.

An option that is not named keeps the method's default, which has its own reason in the card of what will run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine import methods


@dataclass(frozen=True)
class Preset:
    """A task.

    Attributes
    ----------
    name, title
        By which it is chosen, and how it is called.
    rows
        What its rows look like.
    method
        The method, and why that one.
    values
        Options with (value, reason).
    scorer
        What its answers are scored with afterwards, and why.
    """

    name: str
    title: str
    rows: str
    method: tuple[str, str]
    values: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    scorer: tuple[str, str] = ("", "")

    def shown(self) -> dict[str, Any]:
        """Return it as the page shows it."""
        reasons = [["method", self.method[0], self.method[1]]]
        reasons += [[name, _spelled(value), why] for name, (value, why) in self.values.items()]
        return {
            "name": self.name,
            "title": self.title,
            "rows": self.rows,
            "reasons": reasons,
            "scorer": list(self.scorer),
        }


def _spelled(value: Any) -> str:
    """Return a value as the form shows it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


_PATIENCE = (3, "Formats are learned early: three evaluations without a better held-out loss end the run.")
_BEST = (True, "The step with the best held-out loss is the result, not the last one.")

PRESETS: dict[str, Preset] = {
    each.name: each
    for each in (
        Preset(
            "extract-json",
            "Extract JSON",
            "A text in, one JSON object out: chats, or prompt and completion.",
            ("lora", "A new format needs few weights, and the base keeps what else it can."),
            {
                "num_train_epochs": (
                    3,
                    "Keys and their order take more than one pass; held-out loss says when it is enough.",
                ),
                "sample_max_new_tokens": (256, "A sampled answer must be long enough to see the closing brace."),
                "early_stopping_patience": _PATIENCE,
                "load_best_model_at_end": _BEST,
            },
            (
                "json_exact",
                "Blanks and the order of keys do not count, a wrong value does. json_fields scores field by field.",
            ),
        ),
        Preset(
            "classify",
            "Classify",
            "A text in, one label out.",
            ("lora", "A label needs few weights, and training is quick enough to try twice."),
            {
                "lora_r": (8, "Half the usual rank: a choice among labels is less to learn than a new language."),
                "loss_on": ("last", "The label is the last turn; earlier turns of a chat are context."),
                "num_train_epochs": (3, "Rare labels are seen a few times."),
                "sample_max_new_tokens": (16, "Labels are short, so that sampling takes little of the time."),
                "early_stopping_patience": _PATIENCE,
                "load_best_model_at_end": _BEST,
            },
            ("exact", "A label is right or wrong."),
        ),
        Preset(
            "text-to-sql",
            "Text to SQL",
            "A question with the schema of its tables in, one query out.",
            ("lora", "Trains beside an unchanged base, so that both can be asked about the same question."),
            {
                "lora_r": (32, "Twice the usual rank: queries vary more than a format does."),
                "max_length": (2048, "Schemas are long, and a row that is cut loses its query first."),
                "num_train_epochs": (2, "More passes make a small model recite queries of other tables."),
                "sample_max_new_tokens": (192, "Long enough for a query with a join or two."),
                "load_best_model_at_end": _BEST,
            },
            ("exact", "Too strict for queries that say the same: the suite sql runs them and compares their results."),
        ),
        Preset(
            "tool-calls",
            "Tool calls",
            "Chats with tools and assistant turns that call them, such as recorded episodes.",
            ("lora", "Recorded episodes are few and long; an adapter learns from them without forgetting to talk."),
            {
                "loss_on": ("assistant", "Every call of an episode is trained, not its last answer alone."),
                "max_length": (2048, "Tool schemas and results take most of a row."),
                "num_train_epochs": (2, "Arguments must follow the question, not the rows by heart."),
                "sample_max_new_tokens": (96, "Long enough for a call with its arguments."),
                "load_best_model_at_end": _BEST,
            },
            ("tool_call", "Name and arguments count, not how the call is written down."),
        ),
        Preset(
            "style",
            "Style by preference",
            "Prompt, chosen and rejected answer.",
            ("dpo", "Learns from the difference between two answers, which says more about style than one alone."),
            {
                "beta": (0.1, "How far answers may move from the start: lower moves further, 0.1 is trl's default."),
                "num_train_epochs": (1, "Preferences are fitted fast, and a second pass mostly lowers both answers."),
                "sample_max_new_tokens": (96, "A sentence or two shows the style."),
                "load_best_model_at_end": _BEST,
            },
            ("token_f1", "Words shared with the chosen answer; a judge sees the style, see snb.judge."),
        ),
        Preset(
            "rewards",
            "Rewards",
            "Prompts, with right answers where a scorer compares with one.",
            (
                "grpo",
                "Needs no answers to imitate: several are tried for each prompt, and the better ones are made likelier.",
            ),
            {
                "reward_fns": (
                    ("exact",),
                    "Compares with the row's right answer; put the names of your own functions here.",
                ),
                "num_generations": (4, "Answers tried for each prompt: 8 tell more, 4 take half the time."),
                "max_completion_length": (
                    64,
                    "Most of a step is spent writing: as long as right answers are, and no longer.",
                ),
                "temperature": (1.0, "Answers to one prompt must differ, or there is nothing to compare."),
                "max_steps": (100, "Look at the rewards after so many steps; a run can be gone on with."),
            },
            ("exact", "The same that is rewarded, on rows that were held out. The Rewards tab says what fools it."),
        ),
        Preset(
            "facts",
            "Facts by heart",
            "Questions with short answers that are to be known word for word.",
            ("more_plus", "Each fact has an expert of its own, so that one can be changed or taken out later."),
            {
                "question_forms": (
                    6,
                    "A fact is asked in several ways; without that other wordings are not recognised.",
                ),
                "expert_steps": (40, "Enough for an answer of a few words by heart; long answers need more."),
                "sample_max_new_tokens": (32, "Facts are short, and so are their answers."),
            },
            ("exact", "A part number is right or wrong. The Facts tab adds and edits single facts."),
        ),
    )
    if methods.known(each.method[0])
}
