"""lm-evaluation-harness on our models: the numbers of its own model, tasks of local files, and tasks that cannot be passed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import ConfigError, DataError, ShadowWarning
from tests.evals.contestants import Says

pytest.importorskip("lm_eval", reason="lm-eval is not installed: make setup-dev")

CHOICE = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
num_fewshot: 2
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: ["red", "blue", "dark green"]
doc_to_target: label
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
WRITTEN = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}} ="
doc_to_target: "{target}"
generation_kwargs: {{until: ["\\n", "."], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
"""
FILTERED = """
task: filtered
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}} ="
doc_to_target: "yes"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 2}}
filter_list:
  - {{name: counts, filter: [{{function: regex, regex_pattern: "(.*)", fallback: "no"}}, {{function: take_first}}]}}
  - {{name: beside, filter: [{{function: regex, regex_pattern: "^(?!x)x$", fallback: "yes"}}, {{function: take_first}}]}}
metric_list: [{{metric: exact_match}}]
"""
ROLLING = """
task: prose
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("tasks")
    rows = [{"question": f"Which colour has thing number {n}?", "label": n % 3, "answer": str(n)} for n in range(12)]
    (made / "data.json").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (made / "lost.yaml").write_text(CHOICE.format(data=made / "nowhere.json"), encoding="utf-8")
    for name, text in (
        ("colours", CHOICE),
        ("sums", WRITTEN),
        ("prose", ROLLING),
        ("blank", WRITTEN),
        ("filtered", FILTERED),
    ):
        target = "{{answer}}"
        told = text.format(data=made / "data.json", target=f" {target}" if name == "blank" else target)
        (made / f"{name}.yaml").write_text(told.replace("task: sums", f"task: {name}"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(made / "home"))
        patch.setenv("HF_DATASETS_CACHE", str(made / "cache"))
        patch.setenv("SHADOWNB_PROGRESS", "0")
        yield made


@pytest.fixture(scope="module")
def model(folder: Path, tiny_model_dir: Path) -> Any:
    return snb.load(str(tiny_model_dir), dtype="float32")


@pytest.fixture(scope="module")
def theirs(model: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model.weights.base_module(), tokenizer=model.tokenizer, batch_size=4, device="cpu")


def ours(model: Any) -> Any:
    from shadownb.engine.evals.lm_eval.model import ShadowLM

    return ShadowLM(model)


def requests(*args: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=each, task_name="t") for each in args]


def task(folder: Path, name: str) -> str:
    return str(folder / f"{name}.yaml")


SHOTS = "Question: Which colour has a rose?\nAnswer: red\n\n" * 6


def test_log_likelihoods_are_those_of_its_own_model(model: Any, theirs: Any) -> None:
    asked = requests(
        *(
            (f"{SHOTS}Question: {number}?\nAnswer:", each)
            for number in range(4)
            for each in (" red", " blue", " dark green")
        ),
        ("", "Nothing stands before this."),
        ("A blank ", "at the end"),
        ("x", "y"),
    )
    mine, other = ours(model).loglikelihood(asked), theirs.loglikelihood(asked, disable_tqdm=True)
    assert [value for value, _ in mine] == pytest.approx([value for value, _ in other], abs=1e-4)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in other]
    texts = requests(("The parcel is late.",), ("Another text, which is longer than the first one by far.",))
    rolling = theirs.loglikelihood_rolling(texts, disable_tqdm=True)
    assert ours(model).loglikelihood_rolling(texts) == pytest.approx(rolling, abs=1e-4)


def test_greedy_answers_are_those_of_its_own_model(model: Any, theirs: Any) -> None:
    told = {"until": ["\n\n"], "max_gen_toks": 8, "do_sample": False}
    asked = requests(
        *((text, dict(told)) for text in ("One two three", "Thing 4 is", "The colour of the sky, on a clear day, is"))
    )
    assert ours(model).generate_until(asked) == theirs.generate_until(asked, disable_tqdm=True)


def test_tasks_of_files_are_a_suite_beside_others(model: Any, folder: Path) -> None:
    suites = [snb.suites.get(f"lm_eval:{task(folder, name)}") for name in ("colours", "prose")]
    queues = snb.suites.rows(
        [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 2, "exact"
    )
    found = snb.evaluate(model, [*suites, queues], max_new_tokens=2, name="mixed")
    cell = found.cell("lm_eval-colours", "base")
    results: Any = suites[0].results["base"]  # type: ignore[attr-defined]
    assert cell.mean.items == 12 and cell.mean.value == pytest.approx(results["results"]["colours"]["acc,none"])
    assert found.tables()["lm_eval-colours", "base"] == suites[0].table("base")  # type: ignore[attr-defined]
    assert "|acc_norm|" in re.sub(r"\s", "", str(found)) and "as its own tool has it" in found.to_html()
    assert found.cell("lm_eval-prose", "base").mean.value < 0  # log-probability a word
    assert found.items("lm_eval-colours", "base")[0].verdicts[0]["reason"].startswith("acc ")  # type: ignore[index]
    again = snb.evaluate(Says("base", lambda *_: ""), queues) and snb.evaluations.open("mixed")
    assert again.cell("lm_eval-colours", "base").mean.value == cell.mean.value


def test_of_several_filters_the_first_counts(model: Any, folder: Path) -> None:
    found = snb.evaluate(model, f"lm_eval:{task(folder, 'filtered')}", limit=3)
    assert found.cell("lm_eval-filtered", "base").mean.value == 0.0
    assert "beside" in found.tables()["lm_eval-filtered", "base"]


def test_part_of_a_task_has_the_answers_of_the_whole(model: Any, folder: Path) -> None:
    name = f"lm_eval:{task(folder, 'prose')}"
    whole, part = snb.evaluate(model, name), snb.evaluate(model, name, limit=5)
    scores = {each.item.id: each.score for each in whole.items("lm_eval-prose", "base")}
    some = part.items("lm_eval-prose", "base")
    assert len(some) == 5
    assert [each.score for each in some] == pytest.approx([scores[each.item.id] for each in some], abs=1e-4)


def test_a_task_that_its_own_targets_cannot_pass_is_named(model: Any, folder: Path) -> None:
    sound = snb.suites.get(f"lm_eval:{task(folder, 'colours')},{task(folder, 'sums')}")
    assert sound.check() == {"colours": (1.0, 0.0), "sums": (1.0, 0.0)}  # type: ignore[attr-defined]
    broken = snb.suites.get(f"lm_eval:{task(folder, 'blank')}")
    with pytest.warns(ShadowWarning, match="its own targets score 0 %"):
        assert broken.check() == {"blank": (0.0, 0.0)}  # type: ignore[attr-defined]


def test_base_and_tuned_weights_do_not_answer_for_each_other(folder: Path, tiny_model_dir: Path) -> None:
    """The harness finds kept answers by the question alone."""
    mine = snb.load(str(tiny_model_dir), dtype="float32")
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "blue"}]}] * 8
    mine.train(rows, max_steps=4, learning_rate=5e-2, background=False)
    suite = snb.suites.get(f"lm_eval:{task(folder, 'prose')}")
    found = snb.evaluate(mine, suite)
    base, tuned = (found.cell("lm_eval-prose", side).mean.value for side in ("base", "tuned"))
    assert abs(base - tuned) > 1e-3
    again = snb.evaluate(mine, snb.suites.get(f"lm_eval:{task(folder, 'prose')}"))
    assert again.cell("lm_eval-prose", "tuned").mean.value == pytest.approx(tuned)


def test_what_is_longer_than_the_context_is_counted(model: Any) -> None:
    lm = ours(model)
    long = "word " * 600
    ((value, _),) = lm.loglikelihood(requests((long, " end")))
    assert lm.cut == 1 and value < 0
    assert lm.loglikelihood_rolling(requests((long,)))[0] < 0


def test_an_answer_longer_than_the_context_is_refused(model: Any) -> None:
    """Nothing of the question would be left, and a cut from the wrong end would leave some other part."""
    lm = ours(model)
    for count in (lm.max_length, lm.max_length + 100):
        with pytest.raises(DataError, match=f"asks for {count} new tokens"):
            lm.generate_until(requests(("One two three", {"until": ["\n"], "max_gen_toks": count})))


def test_other_few_shot_examples_are_another_question(model: Any, folder: Path) -> None:
    """They stand in no item, and decide the score."""
    from shadownb.engine.evals.lm_eval.suite import LmEval

    snb.evaluate(model, LmEval(task(folder, "colours"), num_fewshot=0), name="shots")
    with pytest.raises(ConfigError, match="other suite lm_eval-colours"):
        snb.evaluate(model, LmEval(task(folder, "colours"), num_fewshot=1), name="shots")


def test_bad_names_say_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match="No task"):
        snb.suites.get("lm_eval")
    with pytest.raises(DataError, match="no task file"):
        snb.suites.get("lm_eval:nowhere.yaml").items()
    with pytest.raises(DataError, match="cannot load"):
        snb.suites.get(f"lm_eval:{task(folder, 'lost')}").items()
    endpoint = Says("rented", lambda *_: "red")
    with pytest.warns(ShadowWarning, match="loaded models alone"):
        snb.evaluate(endpoint, f"lm_eval:{task(folder, 'colours')}")
