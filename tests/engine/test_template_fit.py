"""What a template cannot say of the rows, from the plan before the start to the run, its checkpoints and the loaded result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import shadownb as snb
from shadownb.engine.config import TrainConfig
from shadownb.engine.data import Dataset
from shadownb.engine.estimate import estimate
from shadownb.errors import DataError, ShadowError
from tests.engine.golden_ids import CALL, RESULT, TOOLS, USER
from tests.engine.template_families import family

ANSWER = {"role": "assistant", "content": "a"}
THOUGHT = {**ANSWER, "reasoning_content": "THOUGHT"}
REMARK = {"role": "assistant", "content": "I LOOK IT UP", "tool_calls": [CALL]}
SHORT: dict[str, Any] = {"max_steps": 2, "background": False, "sample_max_new_tokens": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folders of tiny models of a family, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> str:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            tokenizer = family(name)
            config = LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
            with torch.random.fork_rng():
                torch.manual_seed(0)
                LlamaForCausalLM(config).save_pretrained(made[name])
            tokenizer.save_pretrained(made[name])
        return str(made[name])

    return folder


def load(folders: Any, name: str) -> Any:
    """A tiny model of a family."""
    return snb.load(folders(name), dtype="float32", max_length=1024)


def warned(run: Any) -> dict[str, str]:
    """The warnings of a run by their code."""
    return {warning["code"]: f"{warning['what']} {warning['why']} {warning['fix']}" for warning in run.state.warnings}


@pytest.mark.parametrize(("name", "told_of"), [("deepseek_r1_distill", []), ("nemotron_3_nano", ["thinking"])])
def test_models_whose_prompt_opens_the_reasoning_are_trained(
    home: Path, folders: Any, name: str, told_of: list[str]
) -> None:
    model = load(folders, name)
    run = model.train([{"prompt": "q", "completion": "a"}] * 4, **SHORT)
    # Nemotron's prompt can leave the reasoning closed, which is what these answers go on from; R1's cannot.
    assert run.status == "succeeded" and list(warned(run)) == told_of
    assert run.state.record["trained_tokens_in_data"] == 4 * model.renderer.render(run_row()).predicted_tokens > 0


def run_row() -> dict[str, Any]:
    """The row of the test above, in canonical form."""
    return Dataset.from_list([{"prompt": "q", "completion": "a"}]).canonical_rows()[0]


def test_lost_reasoning_and_turns_nobody_asks_for_are_counted(home: Path, folders: Any) -> None:
    greeting = {"messages": [{"role": "assistant", "content": "Welcome!"}, USER, ANSWER]}
    rows = [{"messages": [USER, THOUGHT]}] * 3 + [greeting] * 2 + [{"messages": [USER, ANSWER]}]
    model, data = load(folders, "qwen3_instruct_2507"), Dataset.from_list(rows)
    plan = estimate(model, TrainConfig(), data).template
    assert plan == ("reasoning of a reply left out in 3 of 6 rows", "2 turns in 2 rows cannot be trained")
    counted = data.token_statistics(model)
    assert counted.left_out == {"reasoning of a reply": 3} and counted.untrainable_turns == 2
    assert "turns that cannot be trained" in str(counted) and "reasoning of a reply left out in rows" in str(counted)
    assert "leaves out the reasoning of a reply (messages[1])" in data.inspect(model).summary
    run = model.train(data, **SHORT)
    told = warned(run)
    assert "left out in 3 of 6 rows" in told["reasoning-not-rendered"]
    assert "on_template_drop='bundled'" in told["reasoning-not-rendered"]
    assert "2 assistant turns in 2 of 6 rows" in told["turns-untrainable"]


def test_lost_text_is_refused_row_by_row_and_told(home: Path, folders: Any) -> None:
    lost = {"messages": [USER, REMARK, RESULT, ANSWER], "tools": TOOLS}
    rows = [lost, {"messages": [USER, ANSWER]}, lost]
    model = load(folders, "llama3_2")
    with pytest.raises(DataError, match="text beside a tool call"):
        Dataset.from_list(rows).inspect(model)
    run = model.train(rows, **SHORT)
    assert "2 of 3 rows cannot be rendered" in warned(run)["rows-skipped"]
    assert "line 1: The chat template leaves out the text beside a tool call" in warned(run)["rows-skipped"]
    with pytest.raises(ShadowError, match="None of the 1 rows") as caught:
        model.train([lost], **SHORT)
    assert caught.value.code == "text-not-rendered" and "on_template_drop='leave_out'" in caught.value.fix
    kept = model.train([lost], on_template_drop="leave_out", **SHORT)
    assert kept.status == "succeeded" and "left out in 1 of 1 rows" in warned(kept)["text-not-rendered"]


def test_a_row_without_any_turn_to_train_says_what_is_true(home: Path, folders: Any) -> None:
    model = load(folders, "qwen3_instruct_2507")
    with pytest.raises(ShadowError, match="No row of") as caught:
        model.train([{"messages": [{"role": "assistant", "content": "Welcome!"}, USER]}], **SHORT)
    assert caught.value.code == "turns-untrainable" and "never prompts for them" in caught.value.why
    with pytest.raises(ShadowError, match="No row of") as caught:
        model.train([{"messages": [USER, {**ANSWER, "weight": 0}]}], **SHORT)
    assert "weight 0" in caught.value.why and "max_length" not in caught.value.why
    with pytest.raises(ShadowError, match="No row of") as caught:
        model.train([{"messages": [{**USER, "content": "long " * 50}, ANSWER]}], max_length=16, **SHORT)
    assert "cut off at max_length=16" in caught.value.why


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_bundled_part_trains_the_reasoning_and_stays_with_the_weights(
    home: Path, folders: Any, tmp_path: Path, executor: str
) -> None:
    model = load(folders, "llama3_2")
    own = model.renderer.chat_template
    run = model.train([{"messages": [USER, THOUGHT]}] * 4, on_template_drop="bundled", executor=executor, **SHORT)
    assert run.status == "succeeded" and not warned(run)
    model.catch_up()
    carried = model.renderer.chat_template
    assert carried != own and "bundled parts" in run.state.record["decisions"]["template"][0]
    shown = model.tokenizer.decode(model.renderer.render({"messages": [USER, THOUGHT]}).input_ids)
    assert "<think>\nTHOUGHT\n</think>\n\na<|eot_id|>" in shown
    for other in (snb.load(run.id, dtype="float32"), snb.load(str(model.save(tmp_path / "saved")), dtype="float32")):
        assert other.renderer.chat_template == carried
    resumed = snb.load(run.id, dtype="float32")
    again = resumed.train([{"messages": [USER, THOUGHT]}] * 4, **SHORT)
    assert again.status == "succeeded" and not warned(again), "trained on, it keeps its template"
    assert resumed.renderer.chat_template == carried


def test_a_run_that_is_taken_back_leaves_the_base_its_template(home: Path, folders: Any) -> None:
    model = load(folders, "llama3_2")
    own = model.renderer.chat_template
    run = model.train(
        [{"messages": [USER, THOUGHT]}] * 4, on_template_drop="bundled", background=True, max_steps=500,
        sample_max_new_tokens=0,
    )  # fmt: skip
    run.discard()
    run.wait(timeout=60)
    assert run.status == "discarded" and model.trained is None and model.renderer.chat_template == own


def test_preferences_lose_nothing_unseen_either(home: Path, folders: Any) -> None:
    pair = {"prompt": [USER], "chosen": [THOUGHT], "rejected": [{**ANSWER, "content": "b"}]}
    run = load(folders, "llama3_2").train([pair] * 4, method="dpo", **SHORT)
    assert "left out in 4 of 4 rows" in warned(run)["reasoning-not-rendered"]
