"""What is known of trl, and of which versions: its trainers, the data each wants, its names that are used here.

Trainers are found in the files of the installed package, without importing it. What no file says (the rows, what a trainer cannot
do here) stands in ``TRAINERS``. ``tests/engine/test_trl_contract.py`` holds all of it against the installed version.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from shadownb.engine.backends.torch.quiet import about_kernels
from shadownb.engine.methods.spec import ANSWERED_FORMATS, SUPERVISED_FORMATS
from shadownb.errors import MethodError, MissingDependencyError, did_you_mean

VERSIONS = ("1.16",)  # major and minor; another one may mean something else by the same names

Rows = Literal["conversations", "messages", "pairs", "verdicts", "prompts"]

FORMATS: dict[str, tuple[str, ...]] = {
    "conversations": SUPERVISED_FORMATS,
    "messages": ANSWERED_FORMATS,
    "prompts": ANSWERED_FORMATS,
    "pairs": ("preference",),
    "verdicts": ("unpaired_preference",),
}
WORDS: dict[str, str] = {
    "conversations": "chats, prompt and answer pairs, or text",
    "messages": "chats, or prompt and answer pairs",
    "prompts": "chats or prompt and answer pairs, of which the prompts are used",
    "pairs": "preference pairs (prompt, chosen, rejected)",
    "verdicts": "answers with a verdict (prompt, completion, label)",
}
# An objective of ours for the same rows: what they look like, for sizes and the token inspector. Its loss is not used.
OBJECTIVES: dict[str, str] = {
    "conversations": "sft",
    "messages": "sft",
    "prompts": "sft",
    "pairs": "dpo",
    "verdicts": "kto",
}


@dataclass(frozen=True)
class Trainer:
    """A trainer of trl.

    Attributes
    ----------
    rows
        The shape of row that it wants.
    columns
        Columns of the data set that it reads beside.
    judged
        Whether it takes ``reward_funcs``, which judge the answers that the model gives while it trains.
    taught
        Whether it takes a ``teacher_model``.
    evaluates
        Whether it computes a loss of evaluation rows.
    keeps_empty
        Whether it trains rows of whose answers nothing is left within ``max_length``, where its loss is not a number.
    refused
        Why it cannot be a method here; empty where it can.
    """

    rows: Rows = "conversations"
    columns: tuple[str, ...] = ()
    judged: bool = False
    taught: bool = False
    evaluates: bool = True
    keeps_empty: bool = False
    refused: str = ""

    @property
    def answers(self) -> bool:
        """Whether the model answers while it trains, so that a step is of prompts and not of rows."""
        return self.rows == "prompts"

    @property
    def wants(self) -> str:
        """The rows and options that it needs, in words."""
        more = [f"the column {name}" for name in self.columns]
        more += ["reward_funcs="] * self.judged + ["teacher_model="] * self.taught
        return " and ".join(["; ".join([WORDS[self.rows], *more[:1]]), *more[1:]])


_SERVER = "it generates on a vLLM server, and this run has none"

TRAINERS: dict[str, Trainer] = {
    "sft": Trainer(),
    "dpo": Trainer("pairs"),
    "orpo": Trainer("pairs", keeps_empty=True),
    "cpo": Trainer("pairs", keeps_empty=True),
    "tpo": Trainer("pairs", columns=("reference",)),
    "kto": Trainer("verdicts"),
    "grpo": Trainer("prompts", judged=True),
    "gmpo": Trainer("prompts", judged=True),
    "rloo": Trainer("prompts", judged=True),
    "online_dpo": Trainer("prompts", judged=True, evaluates=False),
    "sdpo": Trainer("prompts", judged=True),
    "sdft": Trainer("prompts", columns=("privileged_context",)),
    "gkd": Trainer("messages", taught=True),
    "gold": Trainer(taught=True),
    "distillation": Trainer("prompts", taught=True),
    "iw_opd": Trainer("messages", taught=True),
    "reward": Trainer("pairs", refused="it trains a head that gives one number instead of words, and a model here is to answer"),
    "a2po": Trainer("prompts", judged=True, refused="it copies the whole model as its reference, adapter or not"),
    "async_grpo": Trainer("prompts", judged=True, refused=_SERVER),
    "async_distillation": Trainer("prompts", refused=_SERVER),
    "server_distillation": Trainer("prompts", refused="its teacher is a server, and nothing of a run leaves this machine"),
}  # fmt: skip

# Folders of experiments that hold another name or a variant of a stable trainer, and none of their own.
_NOT_OWN = ("bema_for_ref_model", "kto", "distillation")


def version() -> str:
    """Return the version of trl.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        return metadata.version("trl")
    except metadata.PackageNotFoundError:
        raise MissingDependencyError("trl is not installed.", fix="pip install trl") from None


def check_version() -> None:
    """Raise MethodError where trl is of a version that is not known here."""
    found = version()
    if ".".join(found.split(".")[:2]) not in VERSIONS:
        raise MethodError(
            f"trl {found} is not a tested version; trl {', '.join(VERSIONS)} is.",
            why="Another version may mean something else by the same names.",
            fix=f'pip install "trl=={VERSIONS[-1]}.*", or use one of shadownb.methods.available().',
        )


@dataclass(frozen=True)
class Found:
    """Where a trainer of the installed trl is."""

    name: str
    module: str
    trainer: str
    config: str
    experimental: bool

    def trainer_class(self) -> Any:
        """Return the trainer's class, importing it."""
        return getattr(_imported(self.module), self.trainer)

    def config_class(self) -> Any:
        """Return the class of its options, importing it."""
        return getattr(_imported(self.module.removesuffix("trainer") + "config"), self.config)


def _imported(module: str) -> Any:
    """Return a module of trl without the notice that all of trl.experimental begins with; the title says that it is one."""
    if module in sys.modules:
        return sys.modules[module]
    about_kernels()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are importing from 'trl.experimental'")
        return importlib.import_module(module)


@cache
def trainers() -> dict[str, Found]:
    """Return the trainers in the files of the installed trl, stable ones first; nothing of it is imported."""
    check_version()
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.submodule_search_locations is None:  # a file of that name in the working directory
        raise MethodError(
            f"'import trl' finds {spec.origin if spec is not None else 'nothing'}, which is not the package trl.",
            fix="Rename that file.",
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    found: dict[str, Found] = {}
    for file in (*sorted(root.glob("trainer/*_trainer.py")), *sorted(root.glob("experimental/*/*_trainer.py"))):
        name, folder = file.stem.removesuffix("_trainer"), file.parent.name
        config = file.with_name(f"{name}_config.py")
        trainer, options = _class_of(file, "Trainer"), _class_of(config, "Config")
        if name == "base" or folder in _NOT_OWN or trainer is None or options is None:
            continue
        module = ".".join(("trl", *file.relative_to(root).with_suffix("").parts))
        found[name] = Found(name, module, trainer, options, experimental=file.parent.parent.name == "experimental")
    return found


def _class_of(file: Path, ending: str) -> str | None:
    """Return the name of the public class of a file that ends like this."""
    if not file.is_file():
        return None
    match = re.search(rf"^class ([A-Z]\w*{ending})\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else None


def unusable(name: str) -> str:
    """Return why a trainer of the installed trl is no method here; empty where it is one."""
    known = TRAINERS.get(name)
    return "what data it wants is not known here" if known is None else known.refused


def found(name: str) -> Found:
    """Return a trainer that can be used.

    Raises
    ------
    MethodError
        The installed trl has none of that name, or it cannot be a method here.
    """
    here = trainers()
    if name not in here:
        usable = [one for one in here if not unusable(one)]
        raise MethodError(
            f"method='trl:{name}' is not a trainer of trl {version()}.{did_you_mean(name, tuple(here))}",
            fix=f"Choose one of: {', '.join(usable)}.",
        )
    if reason := unusable(name):
        raise MethodError(
            f"method='trl:{name}' cannot be used here: {reason}.", fix="shadownb.methods.guests() lists those that can."
        )
    return here[name]
