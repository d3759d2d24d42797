"""The data of a run: what is trained is what was given, and what cannot be rendered is counted and can be found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.store import default_store
from shadownb.errors import DataError, RunError, ShadowWarning
from tests.engine.methods_data import OPTIONS, chats, pairs
from tests.tiny_models import TEMPLATE

ONE_STEP = {**OPTIONS, "max_steps": 1, "background": False}

# -- what is trained is what was given ----------------------------------------------------------------------------------

CHAT_AND_TEXT = [{**row, "text": f"Document {number}."} for number, row in enumerate(chats())]
PROMPTS_WITH_VERDICTS = [{"prompt": f"{n}?", "completion": f"{n}!", "label": bool(n % 2)} for n in range(8)]
TWO_READINGS: dict[str, tuple[list[Any], str, str, str, str]] = {
    "chat and text": (CHAT_AND_TEXT, "chat", "lora", "text", "cpt"),
    "verdicts and answers": (PROMPTS_WITH_VERDICTS, "unpaired_preference", "kto", "instruction", "lora"),
}


def trained_tokens(run: Run) -> int:
    return int(run.state.record["trained_tokens_in_data"])


@pytest.mark.parametrize("name", list(TWO_READINGS))
def test_rows_read_as_another_format_are_trained_as_that_format(name: str, home: Path, byte_model_dir: Path) -> None:
    rows, first, first_method, second, second_method = TWO_READINGS[name]

    def train(format: str, method: str) -> Run:
        model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
        return model.train(snb.Dataset.from_list(rows, format=format), method=method, **ONE_STEP)

    alone = trained_tokens(train(second, second_method))
    for path in (home / "datasets").iterdir():
        path.unlink()
    before = train(first, first_method)
    after = train(second, second_method)
    assert trained_tokens(after) == alone, "the rows of the first run were trained"
    for run, format in ((before, first), (after, second)):
        expected = snb.Dataset.from_list(rows, format=format).canonical_rows()
        assert load_rows(run.folder.spec["dataset"]) == expected


def test_rows_are_stored_once_under_the_hash_of_the_file(home: Path) -> None:
    reference = default_store().store_rows(snb.Dataset.from_list(chats(), name="first"))
    again = default_store().store_rows(snb.Dataset.from_list(chats(), name="second"))
    assert again["path"] == reference["path"]
    assert [path.stem for path in (home / "datasets").iterdir()] == [reference["sha256"]]
    assert load_rows(reference) == snb.Dataset.from_list(chats()).canonical_rows()


def test_stored_rows_that_were_changed_are_not_trained(home: Path) -> None:
    data = snb.Dataset.from_list(chats())
    reference = default_store().store_rows(data)
    path = Path(reference["path"])
    path.write_text(path.read_text().replace("RED", "ODD"))
    with pytest.raises(RunError, match="has other content than was written") as caught:
        load_rows(reference)
    assert caught.value.fix
    default_store().store_rows(data)  # a new run on the same rows must not be stopped by it
    assert load_rows(reference) == data.canonical_rows()


def test_a_home_that_was_moved_has_its_rows(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = default_store().store_rows(snb.Dataset.from_list(chats()))
    shutil.move(home, tmp_path / "moved")
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "moved"))
    assert load_rows(reference) == snb.Dataset.from_list(chats()).canonical_rows()


# -- rows that the template refuses -------------------------------------------------------------------------------------

STRICT = (
    "{%- if messages[0]['role'] == 'assistant' %}{{- raise_exception('it begins with an answer') }}{%- endif %}"
    + TEMPLATE
)
_ANSWER_FIRST = [{"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "Hi"}]
REFUSED: dict[str, dict[str, Any]] = {
    "lora": {"messages": [*_ANSWER_FIRST, {"role": "assistant", "content": "Yes?"}]},
    "dpo": {"prompt": _ANSWER_FIRST, "chosen": "Yes?", "rejected": "What?"},
}
GOOD = {"lora": chats, "dpo": pairs}


@pytest.fixture
def strict(home: Path, byte_model_dir: Path, tmp_path: Path) -> Any:
    """A model whose template refuses conversations that begin with an answer."""
    folder = tmp_path / "strict"
    shutil.copytree(byte_model_dir, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = STRICT
    tokenizer.save_pretrained(folder)
    return snb.load(str(folder), max_length=256, dtype="float32")


@pytest.mark.parametrize("method", list(REFUSED))
def test_a_row_that_the_template_refuses_is_left_out_and_named(method: str, strict: Any) -> None:
    good, refused = GOOD[method](), REFUSED[method]
    run = strict.train([refused, *good[:4], refused, *good[4:]], method=method, **ONE_STEP)
    assert run.status == "succeeded", run.error
    (warning,) = [w for w in run.state.warnings if w["code"] == "rows-skipped"]
    assert "2 of 10 rows" in warning["what"] and warning["fix"]
    assert run.folder.spec["dataset"]["path"] in warning["why"]
    assert "line 1: " in warning["why"] and "line 6: " in warning["why"]
    assert "it begins with an answer" in warning["why"]
    assert next(e for e in run.events() if e["type"] == "plan")["rows"] == len(good)


def test_a_refused_row_is_no_sample_prompt_either(strict: Any) -> None:
    rows = [REFUSED["lora"], *chats()]
    run = strict.train(rows, eval_dataset=rows, **{**ONE_STEP, "sample_max_new_tokens": 2})
    assert run.status == "succeeded", run.error
    prompts = [item["prompt"] for item in run.samples()[0]["items"]]
    assert prompts == [row["messages"][1]["content"] for row in chats(3)]
    assert [w["what"].partition(" cannot")[0] for w in run.state.warnings if w["code"] == "rows-skipped"] == [
        "1 of 9 rows",
        "1 of 9 evaluation rows",
    ]


@pytest.mark.parametrize("method", list(REFUSED))
def test_nothing_but_refused_rows_is_an_error(method: str, strict: Any) -> None:
    with pytest.raises(DataError, match="None of the 5 rows of 'list' can be rendered") as caught:
        strict.train([REFUSED[method]] * 5, method=method, **ONE_STEP)
    assert caught.value.code == "template-refused"
    assert "line 3" in caught.value.why and "and 2 more" in caught.value.why and caught.value.fix
    assert strict.train(GOOD[method](), method=method, **ONE_STEP).status == "succeeded"


def test_a_loss_leaves_refused_rows_out_and_counts_them(strict: Any) -> None:
    good, refused = chats(), REFUSED["lora"]
    with pytest.warns(ShadowWarning, match=r"2 of 10 rows of 'list' .* left out; the first: .*begins with an answer"):
        loss = strict.loss([refused, *good[:4], refused, *good[4:]])
    assert loss == strict.loss(good) > 1, "this model has learned nothing"
    with pytest.raises(DataError, match="begins with an answer") as caught:
        strict.loss([refused, refused])
    assert caught.value.code == "template-refused"


@pytest.mark.parametrize("use", ["tuned", "base"])
def test_a_loss_of_no_token_is_an_error_and_not_perfect(home: Path, byte_model_dir: Path, use: Any) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    with pytest.raises(DataError, match="No row of 'list' has a token to train, so there is no loss") as caught:
        model.loss(chats(), max_length=10, use=use)
    assert "max_length=10" in caught.value.why and "max_length" in caught.value.fix


def test_evaluation_rows_without_a_token_to_train_are_an_error(home: Path, byte_model_dir: Path) -> None:
    model = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    long = {"messages": [{"role": "user", "content": "Please. " * 40}, {"role": "assistant", "content": "No."}]}
    with pytest.raises(DataError, match="No row of 'list' has a token to train"):
        model.train(chats(), eval_dataset=[long], max_length=128, early_stopping_patience=1, **ONE_STEP)
