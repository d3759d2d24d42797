"""The page of names: what is called how here, in transformers, trl, peft and OpenAI's API, read from their code.

``python -m tests.docs.name_table`` writes ``docs/names.md``. An option that has the same name in a library is found by itself; what
is called otherwise is listed here, and has to exist under that name.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Any

from shadownb.engine.config_fields import config_fields

PAGE = Path(__file__).parents[2] / "docs" / "names.md"

LIBRARIES = ("transformers", "trl", "peft", "openai")
_TITLES = ("transformers", "trl", "peft", "OpenAI")
# Where an option of the same name may be, the most general class of each library first.
_OPTIONS = {
    "transformers": ("TrainingArguments", "EarlyStoppingCallback"),
    "trl": ("SFTConfig", "DPOConfig", "KTOConfig"),
    "peft": ("LoraConfig", "PromptTuningConfig"),
    "openai": (),
}
_CREATE = "resources.chat.completions:Completions.create"
_SUPERVISED = "types.fine_tuning.supervised_hyperparameters:SupervisedHyperparameters"
_DPO = "types.fine_tuning.dpo_hyperparameters:DpoHyperparameters"

# option -> {library: names}
OTHERWISE: dict[str, dict[str, tuple[str, ...]]] = {
    "method": {
        "trl": ("SFTTrainer", "DPOTrainer", "KTOTrainer"),
        "peft": ("LoraConfig", "PromptTuningConfig", "MissConfig"),
    },
    "warmup_ratio": {"transformers": ("TrainingArguments.warmup_steps",), "trl": ("SFTConfig.warmup_steps",)},
    "learning_rate": {"openai": (f"{_SUPERVISED}.learning_rate_multiplier",)},
    "num_train_epochs": {"openai": (f"{_SUPERVISED}.n_epochs",)},
    "per_device_train_batch_size": {"openai": (f"{_SUPERVISED}.batch_size",)},
    "beta": {"openai": (f"{_DPO}.beta",)},
    "lora_r": {"peft": ("LoraConfig.r",)},
    "train_embeddings": {"peft": ("LoraConfig.modules_to_save",)},
    "loss_on": {"trl": ("SFTConfig.assistant_only_loss", "SFTConfig.completion_only_loss")},
    "sft_weight": {"trl": ("DPOConfig.loss_weights",)},
}

# (here, where that is, {library: names})
CALLS: tuple[tuple[str, str, dict[str, tuple[str, ...]]], ...] = (
    (
        "snb.load(name)",
        "load",
        {"transformers": ("AutoModelForCausalLM.from_pretrained", "AutoTokenizer.from_pretrained")},
    ),
    ("snb.load(name, adapter=folder)", "load.adapter", {"peft": ("PeftModel.from_pretrained",)}),
    ('snb.load(name, quantize="4bit")', "load.quantize", {"transformers": ("BitsAndBytesConfig.load_in_4bit",)}),
    (
        "model.train(rows, ...)",
        "Model.train",
        {
            "transformers": ("Trainer.train",),
            "trl": ("SFTTrainer.train",),
            "peft": ("get_peft_model",),
            "openai": ("resources.fine_tuning.jobs:Jobs.create",),
        },
    ),
    (
        "eval_dataset=",
        "Model.train.eval_dataset",
        {"transformers": ("Trainer.eval_dataset",), "trl": ("SFTTrainer.eval_dataset",)},
    ),
    ("run.resume()", "Run.resume", {"transformers": ("Trainer.train.resume_from_checkpoint",)}),
    (
        "run.stop()",
        "Run.stop",
        {
            "transformers": ("TrainerControl.should_training_stop",),
            "openai": ("resources.fine_tuning.jobs:Jobs.cancel",),
        },
    ),
    ("run.metrics", "Run.metrics", {"transformers": ("TrainerState.log_history",)}),
    ("run.checkpoints()", "Run.checkpoints", {"openai": ("resources.fine_tuning.jobs.checkpoints:Checkpoints.list",)}),
    (
        "model.save(path)",
        "Model.save",
        {
            "transformers": ("PreTrainedModel.save_pretrained",),
            "trl": ("SFTTrainer.save_model",),
            "peft": ("PeftModel.save_pretrained",),
        },
    ),
    ('model.save(path, fmt="merged")', "Model.save.fmt", {"peft": ("LoraModel.merge_and_unload",)}),
    ('use="base"', "Model.generate.use", {"peft": ("PeftModel.disable_adapter",)}),
    ("model.generate(text)", "Model.generate", {"transformers": ("GenerationMixin.generate",)}),
    ("model.chat(messages, tools)", "Model.chat", {"openai": (_CREATE,)}),
    (
        "model.stream(messages)",
        "Model.stream",
        {"transformers": ("TextIteratorStreamer",), "openai": (f"{_CREATE}.stream",)},
    ),
)

ASKING: tuple[tuple[str, str, dict[str, tuple[str, ...]]], ...] = (
    (
        "max_new_tokens",
        "Sampling",
        {"transformers": ("GenerationConfig.max_new_tokens",), "openai": (f"{_CREATE}.max_completion_tokens",)},
    ),
    (
        "temperature",
        "Sampling",
        {"transformers": ("GenerationConfig.temperature",), "openai": (f"{_CREATE}.temperature",)},
    ),
    ("top_p", "Sampling", {"transformers": ("GenerationConfig.top_p",), "openai": (f"{_CREATE}.top_p",)}),
    ("top_k", "Sampling", {"transformers": ("GenerationConfig.top_k",)}),
    ("repetition_penalty", "Sampling", {"transformers": ("GenerationConfig.repetition_penalty",)}),
    ("stop", "Sampling", {"transformers": ("GenerationConfig.stop_strings",), "openai": (f"{_CREATE}.stop",)}),
    ("seed", "Sampling", {"transformers": ("set_seed",), "openai": (f"{_CREATE}.seed",)}),
    ("tools", "Model.chat.tools", {"openai": (f"{_CREATE}.tools",)}),
    ("reasoning_effort", "Model.chat.reasoning_effort", {"openai": (f"{_CREATE}.reasoning_effort",)}),
    ("reply.content", "Reply.content", {"openai": ("types.chat:ChatCompletionMessage.content",)}),
    ("reply.tool_calls", "Reply.tool_calls", {"openai": ("types.chat:ChatCompletionMessage.tool_calls",)}),
    ("reply.finish_reason", "Reply.finish_reason", {"openai": ("types.chat.chat_completion:Choice.finish_reason",)}),
    ("reply.usage", "Reply.usage", {"openai": ("types.chat:ChatCompletion.usage",)}),
)

_HEAD = """# Names here and elsewhere

Names are those of the library you come from wherever there is one. `python -m tests.docs.name_table` makes this page from the
code of all of them; a test fails when a name is gone or the page is stale. "--": there is nothing like it there.
"""
_OPTIONS_HEAD = """
## Options of a training

Where no class is named, it is a field of `TrainingArguments`, of `SFTConfig` (`DPOConfig` and `KTOConfig` have most of them
too), of `LoraConfig`, or of OpenAI's hyperparameters. What an option takes, and its default here, `shadownb train --help` says.
"""
# Classes that go without saying in the table of options.
_USUAL = ("TrainingArguments", "SFTConfig", "LoraConfig", "SupervisedHyperparameters", "DpoHyperparameters")


def text() -> str:
    """Return the page.

    Raises
    ------
    LookupError
        A name that is listed here does not exist.
    """
    parts = [_HEAD, "## Calls", "", "| here | elsewhere |", "|---|---|"]
    parts += [f"| `{name}` | {_all_elsewhere(names)} |" for name, where, names in CALLS if _is_here(where)]
    parts += ["", "## Asking, and what comes back", "", "| here | elsewhere |", "|---|---|"]
    parts += [f"| `{name}` | {_all_elsewhere(names)} |" for name, where, names in ASKING if _is_here(where, name)]
    parts += [_OPTIONS_HEAD, "| here | " + " | ".join(_TITLES) + " |", "|---" * 5 + "|"]
    known = {name: names_of(name) for name in options()}
    parts += [f"| `{name}` | {_by_library(name, names)} |" for name, names in known.items() if names]
    only = ", ".join(f"`{name}`" for name, names in known.items() if not names)
    return "\n".join([*parts, "", f"Only here: {only}.", ""])


def options() -> list[str]:
    """Return the options of a training."""
    return [field.name for field in config_fields()]


def names_of(option: str) -> dict[str, tuple[str, ...]]:
    """Return what an option is called in each library that has it."""
    given = OTHERWISE.get(option, {})
    found = {}
    for library in LIBRARIES:
        same = [f"{kind}.{option}" for kind in _OPTIONS[library] if exists(library, f"{kind}.{option}")]
        names = given.get(library, tuple(same[:1]))
        if names:
            found[library] = names
    return found


def exists(library: str, name: str) -> bool:
    """Return whether a library has a class, function, method, attribute, field or argument of this name."""
    module, _, path = name.rpartition(":")
    found: Any = importlib.import_module(".".join(part for part in (library, module) if part))
    for part in path.split("."):
        if inspect.isclass(found) and part in _fields(found):
            return True
        if inspect.isroutine(found) and part in inspect.signature(found).parameters:
            return True
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def _fields(kind: type) -> set[str]:
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    fields |= set(getattr(kind, "model_fields", ())) | set(inspect.get_annotations(kind))
    return fields | set(inspect.signature(kind.__init__).parameters) | _set_in_init(kind)


def _set_in_init(kind: type) -> set[str]:
    # GenerationConfig takes its fields out of **kwargs.
    return set(vars(kind())) if kind.__name__ == "GenerationConfig" else set()


def _is_here(where: str, name: str = "") -> bool:
    import shadownb
    from shadownb.engine.inference import Reply, Sampling

    homes = {"Reply": Reply, "Sampling": Sampling}
    first, _, rest = where.partition(".")
    found: Any = homes[first] if first in homes else getattr(shadownb, first)
    for part in [*rest.split("."), name] if first == "Sampling" else rest.split("."):
        if not part:
            continue
        known = hasattr(found, part) or part in (
            _fields(found) if inspect.isclass(found) else inspect.signature(found).parameters
        )
        if not known:
            raise LookupError(f"shadownb has no {where} {name}")
        found = getattr(found, part, found)
    return True


def _checked(names: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for library, known in names.items():
        for name in known:
            if not exists(library, name):
                raise LookupError(f"{library} has no {name} any more")
    return names


def _all_elsewhere(names: dict[str, tuple[str, ...]]) -> str:
    """Return what something is called in every library that has it, in one cell."""
    titles = dict(zip(LIBRARIES, _TITLES, strict=True))
    return "; ".join(
        f"{titles[library]} {', '.join(f'`{_short(name)}`' for name in known)}"
        for library, known in _checked(names).items()
    )


def _by_library(option: str, names: dict[str, tuple[str, ...]]) -> str:
    """Return a cell for each library: the same name is not written again."""
    cells = []
    for library in LIBRARIES:
        shown = []
        for name in _checked(names).get(library, ()):
            kind, _, rest = _short(name).rpartition(".")
            said = "same" if rest == option else f"`{rest}`"
            shown.append(said if kind in _USUAL or not kind else f"{said} (`{kind}`)")
        cells.append(", ".join(shown) or "--")
    return " | ".join(cells)


def _short(name: str) -> str:
    path = name.rpartition(":")[2]
    return (
        path.replace("Completions.create", "chat.completions.create")
        .replace("Jobs.", "fine_tuning.jobs.")
        .replace("Checkpoints.", "fine_tuning.jobs.checkpoints.")
    )


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
