"""Optimizers: every name that is accepted is transformers' own optimizer and trains; the others are refused before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.training_args import OptimizerNames

import shadownb as snb
from shadownb.engine.backends.torch.optimizers import OPTIMIZERS, check_optimizer, make_optimizer
from shadownb.errors import ConfigError
from tests.engine.methods_data import OPTIONS, chats

REFUSED = [name.value for name in OptimizerNames if name.value not in OPTIMIZERS]


class Small(torch.nn.Module):
    """What decays, what does not, and what is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(70, 64)
        self.linear = torch.nn.Linear(64, 64)
        self.norm = torch.nn.LayerNorm(64)
        self.final_norm = torch.nn.Linear(64, 64, bias=False)
        self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_it_is_the_optimizer_of_that_name(name: str, tmp_path: Path) -> None:
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), optim=name, weight_decay=0.25, learning_rate=0.0, use_cpu=True, report_to="none"
    )
    module = Small()
    ours = make_optimizer(name, module, 0.25)
    theirs = transformers.Trainer(model=module, args=arguments).create_optimizer()
    assert type(ours) is type(theirs)
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in ours.param_groups] == [
        [names[id(p)] for p in group["params"]] for group in theirs.param_groups
    ]
    for setting in ("optim_bits", "percentile_clipping", "block_wise"):  # bitsandbytes keeps these beside the groups
        assert getattr(vars(ours).get("args"), setting, None) == getattr(vars(theirs).get("args"), setting, None)
    assert getattr(ours, "is_paged", None) == getattr(theirs, "is_paged", None)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "ademamix_8bit", "paged_lion_32bit", "rmsprop_bnb_8bit"])
def test_it_trains(name: str, home: Path, byte_model_dir: Path) -> None:
    """Those that no other test trains with; the rest of the table differ in bits and paging alone."""
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    rate = {"learning_rate": 1e-3}
    run = model.train(chats(), background=False, **{**OPTIONS, **rate, "max_steps": 6, "optim": name}, lora_r=4)
    assert run.status == "succeeded", run.error
    assert run.losses()[-1] < run.losses()[0]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_train_here_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"optim='{name}' is not an optimizer that trains here"):
        check_optimizer(name)


# -- a callable -----------------------------------------------------------------------------------------------------------


def nadam(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.NAdam(groups, lr=0.0)


def not_one(groups: list[dict[str, Any]]) -> str:
    return "adamw"


def test_a_function_makes_the_optimizer_here_and_in_a_resume(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    options = {**OPTIONS, "max_steps": 3, "optim": nadam}
    run = model.train(chats(), background=False, **options, lora_r=4)
    assert run.status == "succeeded", run.error
    assert run.config.optim == f"{__name__}:nadam"
    assert run.state.record["actual_setup"]["optimizer"] == "torch.NAdam"
    more = model.train(
        chats(), background=False, **{**options, "max_steps": 5}, lora_r=4, resume_from_checkpoint=run.id
    )
    assert more.status == "succeeded" and [m["step"] for m in more.metrics] == [4, 5]


def test_what_a_resume_could_not_import_is_refused(home: Path, byte_model_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim=.*lambda.* cannot be imported"):
        snb.TrainConfig(optim=lambda groups: torch.optim.SGD(groups, lr=0.0))
    model = snb.load(str(byte_model_dir), dtype="float32", max_length=256)
    with pytest.raises(ConfigError, match="optim='nowhere_at_all:make' cannot be imported"):
        model.train(chats(), background=False, optim="nowhere_at_all:make")
    with pytest.raises(ConfigError, match="returned a str, not a torch optimizer"):
        model.train(chats(), background=False, **{**OPTIONS, "max_steps": 1}, optim=not_one, lora_r=4)
