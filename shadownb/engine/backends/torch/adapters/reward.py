"""A reward model: LoRA adapters and a head that gives a number instead of text, in the form of a classifier with one label.

It is saved as peft saves an adapter of a sequence classifier (``task_type`` SEQ_CLS, the head as ``score``), so
``AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)`` loads it, and what trl's RewardTrainer saved of a
LoRA run is loaded here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from torch import nn

from shadownb.engine.backends.torch.adapters.layered import ADAPTER_CONFIG
from shadownb.engine.backends.torch.adapters.lora import LoraAdapter
from shadownb.engine.loaded.rewarding import not_written_as_text
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

SCORE = "score"  # transformers' name of the head
_TASK = "SEQ_CLS"


class RewardAdapter(LoraAdapter):
    """LoRA adapters with a score head."""

    kind = "reward"
    noun = "a reward model"

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        return super().count(base, config, spec) + _width(base)

    @classmethod
    def peft_config(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> LoraConfig:
        made = super().peft_config(base, config, spec)
        made.modules_to_save = [SCORE]
        return made

    @classmethod
    def put_on(cls, base: Any, made: PeftConfig) -> PeftModel:
        head = nn.Linear(_width(base), 1, bias=False, device=base.get_input_embeddings().weight.device)
        nn.init.zeros_(head.weight)  # every answer is worth 0, so a first loss is ln 2
        base.add_module(SCORE, head)
        return super().put_on(base, made)

    @classmethod
    def reads(cls, folder: Path) -> bool:
        try:
            said = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
            return said.get("task_type") == _TASK and SCORE in (said.get("modules_to_save") or ())
        except (OSError, ValueError, AttributeError):
            return False

    @classmethod
    def saved_config(cls, folder: Path) -> PeftConfig:
        saved = super().saved_config(folder)
        assert isinstance(saved, LoraConfig)
        saved.task_type, saved.modules_to_save = "CAUSAL_LM", [SCORE]  # trl names the head twice
        return saved

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        super().strip(base)
        if hasattr(base, SCORE):
            delattr(base, SCORE)

    def save(self, folder: Path) -> None:
        super().save(folder)
        file = folder / ADAPTER_CONFIG
        said = {**json.loads(file.read_text(encoding="utf-8")), "task_type": _TASK}
        file.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")

    def shape(self) -> dict[str, Any]:
        return {**super().shape(), "train_embeddings": False}  # what is saved whole is the head

    @classmethod
    def saved_shape(cls, folder: Path) -> dict[str, Any]:
        return {**super().saved_shape(folder), "train_embeddings": False}

    def check_kind(self, config: TrainConfig, spec: MethodSpec) -> None:
        if spec.adapter != self.kind:
            raise MethodError(
                f"method={config.method!r}: this model carries {self.noun}, which this method does not train.",
                why="What was trained gives a number; a model of texts has no use for it.",
                fix="start='base' begins anew at the base; method='reward' trains this further.",
            )
        super().check_kind(config, spec)

    def base_parameters(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in super().base_parameters().items() if name.split(".")[0] != SCORE}

    @property
    def score(self) -> Any:
        head = getattr(self.base, SCORE)
        return lambda hidden: head(hidden)[..., 0]

    def merged(self) -> PreTrainedModel:
        raise not_written_as_text("fmt='merged'")


def _width(base: Any) -> int:
    return int(base.get_output_embeddings().weight.shape[1])
