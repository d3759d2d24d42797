"""Learned prompts: embeddings that stand before every row (prompt tuning), perhaps made by a small network (p-tuning).

peft owns the parameters and the files. The forward pass is ours, because peft's repeats the embeddings for every row and
drops position ids: here the prefix is one more segment that all rows of a batch see, computed once. Random starts score
near zero in peft's own benchmark (0.057 against 0.343 with vocabulary, Llama-3.2-3B on GSM8K), so both methods start
from embeddings of real tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer

from shadownb.engine.backends.texts import other_kind
from shadownb.engine.backends.torch import randomness
from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.layered import ADAPTER_CONFIG, saved_peft_type
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import hidden_size
from shadownb.engine.backends.torch.adapters.tensors import for_file
from shadownb.engine.backends.torch.generation.borrowing import max_positions
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.packed_batch import PackedBatch
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

# peft's file holds the finished embeddings, which is all that inference needs; training on needs what makes them.
ENCODER_FILE = "prompt_encoder.safetensors"
_BEGAN = "prompt_tuning_init_text"  # in the metadata of that file
_TYPES = {"PROMPT_TUNING": PromptTuningConfig, "P_TUNING": PromptEncoderConfig}


class PromptAdapter(Adapter):
    """``num_virtual_tokens`` learned embeddings before every row."""

    kind = "prompt"
    noun = "a learned prompt"
    module: PeftModel
    began = ""  # the text it started from

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        positions = max_positions(base)
        if positions is not None and config.num_virtual_tokens >= positions:
            raise MethodError(
                f"num_virtual_tokens={config.num_virtual_tokens}: this model has {positions} positions.",
                why="The learned prompt stands before every row, so it would leave no room for one.",
                fix="Use fewer; 8 to 100 are usual.",
            )

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        return Reach(f"{config.num_virtual_tokens} learned embeddings before every row", (("the whole model", ""),))

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        hidden = hidden_size(base)
        network = 3 * (hidden * hidden + hidden) if spec.tuner == "P_TUNING" else 0
        return config.num_virtual_tokens * hidden + network

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        made = _config(spec.tuner, config.num_virtual_tokens, base)
        with randomness.seeded_draws(config.seed, "prompt"):
            module = get_peft_model(base, made)
        module.peft_config["default"].base_model_name_or_path = start.base_name
        adapter = cls(module)
        adapter._start_from(_first_tokens(config, start))
        adapter.began = config.prompt_tuning_init_text
        return adapter

    @classmethod
    def reads(cls, folder: Path) -> bool:
        return saved_peft_type(folder) in _TYPES

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        content = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        made = _config(content["peft_type"], int(content["num_virtual_tokens"]), base)
        with randomness.seeded_draws(0, "prompt"):
            module = get_peft_model(base, made)
        module.peft_config["default"].base_model_name_or_path = content.get("base_model_name_or_path")
        adapter = cls(module)
        adapter.load_into(folder)
        return adapter

    # -- trained ----------------------------------------------------------------------------------------------------

    @property
    def encoder(self) -> Any:
        """peft's module that makes the embeddings."""
        return self.module.prompt_encoder["default"]

    @property
    def virtual_tokens(self) -> int:
        return int(self.module.peft_config["default"].num_virtual_tokens)

    def owned(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in sorted(self.module.named_parameters()) if name.startswith("prompt_encoder.")}

    def check_kind(self, config: TrainConfig, spec: MethodSpec) -> None:
        tuner = self.module.peft_config["default"].peft_type.value
        if spec.adapter != self.kind or spec.tuner != tuner:
            raise other_kind(config.method, f"a learned prompt ({tuner})")

    def shape(self) -> dict[str, Any]:
        return {"num_virtual_tokens": self.virtual_tokens, _BEGAN: self.began}

    def _start_from(self, ids: list[int]) -> None:
        """Begin with embeddings of real tokens; a network is then bypassed by starting as the identity plus noise."""
        words = self.base.get_input_embeddings()
        assert isinstance(words, nn.Embedding)
        repeated = (ids * (1 + self.virtual_tokens // max(1, len(ids))))[: self.virtual_tokens]
        with torch.no_grad():
            device = words.weight.device
            wanted = words(torch.tensor(repeated, device=device)).float()
            self.encoder.to(device=device, dtype=torch.float32)
            self.encoder.embedding.weight.copy_(wanted)
            head = getattr(self.encoder, "mlp_head", None)
            if head is not None:
                # The last layer then carries the words themselves: output = wanted at step 0, whatever comes before.
                made = head[:-1](wanted)
                solution = torch.linalg.lstsq(
                    torch.cat((made, made.new_ones(len(made), 1)), dim=1),
                    wanted,
                    driver="gelsd" if device.type == "cpu" else None,
                ).solution
                head[-1].weight.copy_(solution[:-1].T)
                head[-1].bias.copy_(solution[-1])

    # -- the forward pass -------------------------------------------------------------------------------------------

    def prefix(self) -> torch.Tensor | None:
        embedding = self.encoder.embedding.weight
        indices = torch.arange(self.virtual_tokens, device=embedding.device)
        made: torch.Tensor = self.encoder(indices[None])
        return made.to(self.base.dtype)

    def feed(self, module: Any, batch: PackedBatch) -> tuple[Any, PackedBatch, dict[str, Any]]:
        prefix = self.prefix()
        assert prefix is not None
        words = self.base.get_input_embeddings()(batch.input_ids)
        return self.base, batch.behind_prefix(self.virtual_tokens), {"inputs_embeds": torch.cat((prefix, words), dim=1)}

    @property
    def speaker(self) -> Any:
        return self.base

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        self.module.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        save_file(for_file(self.encoder.state_dict()), folder / ENCODER_FILE, metadata={_BEGAN: self.began})

    def load_into(self, folder: Path) -> None:
        file = folder / ENCODER_FILE
        if not file.is_file():
            raise ModelError(f"{folder} holds no learned prompt that can be trained on ({ENCODER_FILE} is missing).")
        try:
            self.encoder.load_state_dict(load_file(file))
        except RuntimeError as error:
            why = (str(error).splitlines() or [""])[-1].strip()
            raise ModelError(f"The prompt in {folder} does not fit the one on this model.", why=why) from None
        with safe_open(str(file), framework="pt") as saved:
            self.began = (saved.metadata() or {}).get(_BEGAN, "")

    def remove(self) -> Any:
        base = self.base
        return base


def _config(tuner: str, length: int, base: nn.Module) -> Any:
    common = {"task_type": "CAUSAL_LM", "num_virtual_tokens": length}
    if tuner == "P_TUNING":
        return PromptEncoderConfig(encoder_hidden_size=hidden_size(base), **common)
    return PromptTuningConfig(prompt_tuning_init="RANDOM", **common)


def _first_tokens(config: TrainConfig, start: Start) -> list[int]:
    """Return the tokens whose embeddings the prompt starts from: of the given text, else those frequent in the training rows."""
    if config.prompt_tuning_init_text:
        tokenizer = AutoTokenizer.from_pretrained(start.source)
        return list(tokenizer(config.prompt_tuning_init_text, add_special_tokens=False)["input_ids"])
    counted = Counter(label for row in start.rows for label in row.labels if label >= 0)
    return [token for token, _ in counted.most_common(config.num_virtual_tokens)] or [0]
