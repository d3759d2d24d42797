"""What the tests of the training methods share: rows of each shape, every method with its variants, logits.

Everything here is small enough that a run of eight steps takes less than half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch.adapters import digest
from shadownb.engine.runs import Run, commands
from shadownb.engine.runs.loop import Loop
from tests import mlx
from tests.tiny_models import UNUSUAL, another, biased, unusual

SYSTEM = {"role": "system", "content": "Name the colour."}
COLOURS = ("RED", "GREEN", "BLUE", "BLACK", "WHITE")
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def question(number: int) -> list[dict[str, str]]:
    """A prompt of two messages, of one of five lengths."""
    return [SYSTEM, {"role": "user", "content": f"Colour number {number}?" + " Please." * (number % 5)}]


def chats(count: int = 8) -> list[dict[str, Any]]:
    """Chats of one task, of different lengths."""
    return [
        {"messages": [*question(n), {"role": "assistant", "content": COLOURS[n % len(COLOURS)]}]} for n in range(count)
    ]


def pairs(count: int = 8) -> list[dict[str, Any]]:
    """Preference pairs: the name in capitals is better than a sentence."""
    return [
        {"prompt": question(n), "chosen": COLOURS[n % 5], "rejected": f"I think it is {COLOURS[(n + 2) % 5].lower()}."}
        for n in range(count)
    ]


def verdicts(count: int = 8) -> list[dict[str, Any]]:
    """Single answers, every other one good."""
    return [
        {"prompt": question(n), "completion": COLOURS[n % 5] if n % 2 else "No idea, ask again.", "label": bool(n % 2)}
        for n in range(count)
    ]


def documents(count: int = 8) -> list[dict[str, Any]]:
    """Plain texts of different lengths."""
    return [{"text": f"The colour number {n} is {COLOURS[n % 5]}. " * (1 + n % 3)} for n in range(count)]


def tool_chat() -> dict[str, Any]:
    """Three user turns, one of them answered through a tool call."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    return {
        "tools": [WEATHER],
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "Hello there"},
            {"role": "assistant", "content": "Good day to you."},
            {"role": "user", "content": "How is the weather in Oslo?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 3}'},
            {"role": "assistant", "content": "It is cold, 3 degrees."},
            {"role": "user", "content": "Thanks"},
            {"role": "assistant", "content": "Any time."},
        ],
    }


def prompts(count: int = 8) -> list[dict[str, Any]]:
    """Questions alone, for the model to answer."""
    return [{"prompt": question(n), "number": n} for n in range(count)]


DATA = {"prompt": prompts, "chat": chats, "preference": pairs, "unpaired": verdicts, "text": documents}

# Every run of these tests, unless it says otherwise: two epochs of two steps.
OPTIONS: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "save_steps": 2,
    "save_total_limit": 20,
    "sample_max_new_tokens": 0,
}
DROPOUT = {"lora_r": 4, "lora_dropout": 0.2}


@dataclass(frozen=True)
class Case:
    """A method, perhaps with an option that makes it another one.

    Attributes
    ----------
    base
        Which tiny base it trains: ``plain``, ``biased`` (attention with biases), ``4bit``, or a name of
        :data:`tests.tiny_models.UNUSUAL`.
    data
        The shape of its rows.
    owned
        Parts of names, one of which every trained parameter has and no other parameter of the module.
    merged
        Whether the result can be written as a whole model without adapter.
    adapter
        Whether the result can be written apart from the base.
    dtype
        The number format it is loaded in.
    backend
        What computes it.
    needed
        Options that every training of it has, also one that leaves the others to what is on the model.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    base: str = "plain"
    data: str = "chat"
    owned: tuple[str, ...] = (".lora_A.", ".lora_B.")
    merged: bool = True
    adapter: bool = True
    dtype: str = "float32"
    backend: str = "torch"
    needed: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The training rows."""
        return DATA[self.data]()

    def load(self, folder: Path) -> Any:
        """Load a fresh base; ``folder`` has the plain tiny model."""
        source = biased(folder) if self.base == "biased" else folder
        source = unusual(folder, self.base) if self.base in UNUSUAL else source
        quantize: Any = "4bit" if self.base == "4bit" else None
        return self.open(source, max_length=256, quantize=quantize)

    def open(self, source: Path, **options: Any) -> Any:
        """Load anything with this case's backend and number format."""
        if self.backend == "mlx":
            mlx.needed()
        return snb.load(str(source), dtype=self.dtype, backend=self.backend, **options)

    def given(self, model: Any) -> dict[str, Any]:
        """Return what is needed, with another tiny model of the base's family for a teacher."""
        return {**self.needed, **({"teacher": str(another(Path(model.source)))} if "teacher" in self.needed else {})}

    def train(self, model: Any, **more: Any) -> Run:
        """Train in a thread to the end of the run."""
        run: Run = model.train(
            self.rows, method=self.method, background=True, **{**OPTIONS, **self.given(model), **self.options, **more}
        )
        return run.wait(timeout=120)


_PROMPT = {"num_virtual_tokens": 4}
_SCORED = {
    "reward_fns": ("tests.policy.scorers:vowels",), "num_generations": 4, "max_completion_length": 6, "beta": 0.05,
    "per_device_train_batch_size": 2,
}  # fmt: skip
_TAUGHT = {"max_completion_length": 6, "temperature": 1.3}
CASES = {
    "lora": Case("lora", DROPOUT),
    "qlora": Case("qlora", DROPOUT, base="4bit", merged=False),
    "dora": Case("dora", DROPOUT, owned=(".lora_",)),
    "miss": Case("miss", {"lora_r": 4}, owned=(".miss_",)),
    "shira": Case("shira", {"lora_r": 4}, owned=(".shira_",)),
    "adapter": Case("adapter", {"lora_r": 4}, owned=(".bottleneck.",), merged=False),
    "full": Case("full", owned=("",), adapter=False),
    "bitfit": Case("bitfit", base="biased", owned=(".bias",)),
    "prompt": Case("prompt", _PROMPT, owned=("prompt_encoder.",), merged=False),
    "ptuning": Case("ptuning", _PROMPT, owned=("prompt_encoder.",), merged=False),
    "cpt": Case("cpt", {**DROPOUT, "max_length": 64}, data="text"),
    "dpo": Case("dpo", DROPOUT, data="preference"),
    "kto": Case("kto", DROPOUT, data="unpaired"),
    "grpo": Case("grpo", {"lora_r": 4}, data="prompt", needed={**_SCORED, "num_iterations": 2}),
    "rloo": Case("rloo", {"lora_r": 4}, data="prompt", needed=_SCORED),
    "reinforce_pp": Case("reinforce_pp", {"lora_r": 4}, data="prompt", needed={**_SCORED, "beta": 0.0}),
    "distill": Case("distill", {"lora_r": 4}, needed={**_TAUGHT, "teacher": ""}),
    "sdft": Case("sdft", {"lora_r": 4}, needed=_TAUGHT),
    "lora rslora": Case("lora", {**DROPOUT, "use_rslora": True}),
    "lora pissa": Case(
        "lora", {**DROPOUT, "init_lora_weights": "pissa"}, owned=(".lora_A.default.", ".lora_B.default.")
    ),
    "qlora loftq": Case("qlora", {**DROPOUT, "init_lora_weights": "loftq"}, base="4bit", merged=False),
    "lora experts": Case("lora", {"lora_r": 4}, base="Qwen3Moe", dtype="bfloat16"),
    "lora experts pissa": Case(
        "lora",
        {"lora_r": 4, "init_lora_weights": "pissa"},
        base="GptOss",
        owned=(".lora_A.default.", ".lora_B.default."),
    ),
    "lora embeddings": Case(
        "lora",
        {**DROPOUT, "train_embeddings": True},
        owned=(".lora_A.", ".lora_B.", ".modules_to_save."),
    ),
}

# What holds in any number format is shown in both, for each way that weights are kept in 16 bits: an adapter in 32 bits on a
# base in 16 or 4, and weights that are 16 bits themselves.
IN_16_BITS = {
    f"{name} bf16": replace(CASES[name], dtype="bfloat16") for name in ("lora", "qlora", "full", "lora experts")
}


_MLX_LORA = (".lora_a", ".lora_b")
# The other backend, through the same life. Its arrays stand under other names.
ON_MLX = {
    f"mlx {name}": replace(CASES[name], backend="mlx", owned=owned)
    for name, owned in {
        "lora": _MLX_LORA, "dora": (*_MLX_LORA, "_proj.m"), "cpt": _MLX_LORA, "dpo": _MLX_LORA,
        "kto": _MLX_LORA, "grpo": _MLX_LORA, "adapter": (".bottleneck.",), "full": ("",), "bitfit": (".bias",),
        "distill": _MLX_LORA, "sdft": _MLX_LORA,
    }.items()
} | {
    "mlx qlora": replace(CASES["qlora"], backend="mlx", owned=_MLX_LORA, merged=True),
    "mlx full bf16": replace(CASES["full"], backend="mlx", dtype="bfloat16"),
}  # fmt: skip


# -- looking at a model -------------------------------------------------------------------------------------------------

PROMPT = "Colour number 3?"


def logits(model: Any, use: str = "tuned") -> torch.Tensor:
    """Return the logits (tokens, vocabulary) of a fixed prompt, of the trained model or of its base."""
    prompt = model.renderer.render_prompt([{"role": "user", "content": PROMPT}])
    if model.backend_name == "mlx":
        return mlx_logits(model, prompt, use)
    ids = torch.tensor([prompt])
    with model.gate.inference(), torch.no_grad():
        view = model.weights.view(use)
        prefix = view.prefix()
        with view.switched_off() if use == "base" else nothing():
            words = view.model.get_input_embeddings()(ids)
            given = words if prefix is None else torch.cat((prefix, words), dim=1)
            found: torch.Tensor = view.model(inputs_embeds=given).logits[0, -ids.shape[1] :].float()
    return found


def mlx_logits(model: Any, ids: list[int], use: str = "tuned") -> torch.Tensor:
    """Return the logits (tokens, vocabulary) of a row by mlx-lm's own model, as torch's."""
    import mlx.core as mx

    from shadownb.engine.backends.mlx import worker

    with model.gate.inference():
        module = model.weights.answering(use)
        return torch.tensor(worker.run(lambda: module(mx.array([ids]))[0].astype(mx.float32).tolist()))


def mlx_tensors(module: Any) -> dict[str, torch.Tensor]:
    """Return the arrays of a model of mlx-lm as torch's tensors, bit for bit."""
    import mlx.core as mx
    import numpy as np

    from shadownb.engine.backends.mlx import loading, worker

    def as_tensor(array: Any) -> torch.Tensor:
        return torch.tensor(np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array))

    return worker.run(lambda: {name: as_tensor(array) for name, array in loading.parameters(module).items()})


@contextmanager
def nothing() -> Iterator[None]:
    """Change nothing inside the block."""
    yield


def sha(model: Any) -> str:
    """Return the sha256 of what a model's adapter owns."""
    if model.backend_name == "mlx":
        from shadownb.engine.backends.mlx import adapters, worker

        return worker.run(lambda: adapters.digest(model.adapter.owned()))
    return digest(model.adapter.owned())


def base_shas(model: Any) -> dict[str, str]:
    """Return the sha256 of every parameter of the base, by its own name."""
    if model.backend_name == "mlx":
        return {name: digest({name: t}) for name, t in mlx_tensors(model.weights.base_module()).items()}
    return {name: digest({name: tensor}) for name, tensor in model.weights.base_parameters().items()}


def curve(run: Run) -> list[tuple[float, float]]:
    """Return loss and gradient norm of every step."""
    return [(m["loss"], m["grad_norm"]) for m in run.metrics]


def stop_after(patch: pytest.MonkeyPatch, step: int, kind: commands.CommandKind = "stop") -> None:
    """Let every run get a stop command (or a discard) as soon as it has reported a step, so that it ends exactly there."""
    report = Loop.report

    def stopping(self: Loop, *args: Any) -> None:
        report(self, *args)
        if self.step == step:
            commands.send(self.services.folder.commands, kind, save=kind == "stop")

    patch.setattr(Loop, "report", stopping)
