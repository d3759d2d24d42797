"""The page of names says what the code of all the libraries says, and every name that is written there by hand exists."""

from __future__ import annotations

import pytest

from tests.docs import name_table


def test_the_page_is_what_the_code_says() -> None:
    assert name_table.PAGE.read_text(encoding="utf-8") == name_table.text(), "run python -m tests.docs.name_table"


def test_every_option_is_in_it_and_nothing_else() -> None:
    page = name_table.PAGE.read_text(encoding="utf-8")
    assert not [name for name in name_table.options() if f"`{name}`" not in page]
    assert set(name_table.OTHERWISE) <= set(name_table.options())


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("transformers", "TrainingArguments.learning_rates"),
        ("transformers", "NoSuchTrainer"),
        ("trl", "SFTConfig.max_seq_length"),  # trl's own older name
        ("peft", "PeftModel.merge_and_forget"),
        ("openai", "resources.chat.completions:Completions.create.max_new_tokens"),
    ],
)
def test_a_name_that_is_gone_is_noticed(library: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not name_table.exists(library, name)
    monkeypatch.setitem(name_table.OTHERWISE, "lora_r", {library: (name,)})
    with pytest.raises(LookupError, match=f"{library} has no"):
        name_table.text()


def test_an_option_that_is_new_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    there = name_table.options()
    monkeypatch.setattr(name_table, "options", lambda: [*there, "group_by_length"])
    assert name_table.text() != name_table.PAGE.read_text(encoding="utf-8")
