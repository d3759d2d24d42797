"""The data that ships with the project, and the checker that scores it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

import shadownb
from shadownb.engine.scoring import JsonExact, Score, Scorer

SAMPLES = Path(shadownb.__path__[0]) / "engine" / "data" / "samples"
LABELS = {
    "intent": ("payment", "cancel", "delivery", "help", "return", "repair"),
    "product": (
        "camera",
        "keyboard",
        "lamp",
        "monitor",
        "printer",
        "router",
        "speaker",
        "tablet",
    ),
    "urgency": ("high", "normal", "low"),
}

# Thresholds for wording shared between the splits.
LONGEST_SHARED_RUN = 5  # words; a run of six or more must never be shared
SHARED_5GRAMS = 0.01  # share of the held-out 5-grams that may occur in train
SHARED_4GRAMS = 0.03
NEAREST_TRAIN_ROW = 0.5  # word overlap (Jaccard) of a held-out row with any train row


class Row(NamedTuple):
    system: str
    message: str
    answer: str
    combo: tuple[str, str, str]


def load(split: str) -> list[Row]:
    rows = []
    path = SAMPLES / f"support_triage.{split}.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        assert list(record) == ["messages"]
        turns = record["messages"]
        assert [turn["role"] for turn in turns] == ["system", "user", "assistant"]
        assert all(set(turn) == {"role", "content"} for turn in turns)
        system, message, answer = (turn["content"] for turn in turns)
        labels = json.loads(answer)
        rows.append(
            Row(
                system,
                message,
                answer,
                (labels["intent"], labels["product"], labels["urgency"]),
            )
        )
    return rows


TRAIN = load("train")
HELDOUT = load("heldout")
SPLITS = {"train": TRAIN, "heldout": HELDOUT}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def ngrams(rows: list[Row], n: int) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for row in rows:
        tokens = words(row.message)
        found.update(tuple(tokens[k : k + n]) for k in range(len(tokens) - n + 1))
    return found


def sentences(rows: list[Row]) -> set[str]:
    parts = (part for row in rows for part in re.split(r"[.!?;:\n]+", row.message))
    return {" ".join(words(part)) for part in parts} - {""}


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_valid(split: str) -> None:
    for row in SPLITS[split]:
        answer = json.loads(row.answer)
        assert list(answer) == list(LABELS)
        assert all(answer[key] in LABELS[key] for key in LABELS)
        assert row.answer == json.dumps(answer)
        assert row.message == row.message.strip()
        assert 3 <= len(words(row.message)) <= 60
        assert answer["product"] in row.message.lower()


def test_sizes() -> None:
    assert (len(TRAIN), len(HELDOUT)) == (384, 96)


def test_one_short_instruction_names_every_key_and_label() -> None:
    instructions = {row.system for row in TRAIN + HELDOUT}
    assert len(instructions) == 1
    named = words(instructions.pop())
    assert len(named) <= 40
    for key, values in LABELS.items():
        assert key in named
        assert set(values) <= set(named)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("position", range(3))
def test_labels_are_balanced(split: str, position: int) -> None:
    values = list(LABELS.values())[position]
    counts = Counter(row.combo[position] for row in SPLITS[split])
    assert counts == dict.fromkeys(values, len(SPLITS[split]) // len(values))


def test_no_combination_is_in_both_splits() -> None:
    train, heldout = ({row.combo for row in rows} for rows in (TRAIN, HELDOUT))
    assert not train & heldout
    assert len(train) == 96
    assert len(heldout) == 48


def test_no_message_appears_twice() -> None:
    seen = Counter(" ".join(words(row.message)) for row in TRAIN + HELDOUT)
    assert max(seen.values()) == 1


def test_no_sentence_is_in_both_splits() -> None:
    assert not sentences(TRAIN) & sentences(HELDOUT)


def test_wordings_differ_between_the_splits() -> None:
    assert not ngrams(TRAIN, LONGEST_SHARED_RUN + 1) & ngrams(HELDOUT, LONGEST_SHARED_RUN + 1)
    for n, limit in ((5, SHARED_5GRAMS), (4, SHARED_4GRAMS)):
        heldout = ngrams(HELDOUT, n)
        assert len(heldout & ngrams(TRAIN, n)) / len(heldout) <= limit


def test_no_heldout_row_is_close_to_a_train_row() -> None:
    train = [set(words(row.message)) for row in TRAIN]
    for row in HELDOUT:
        own = set(words(row.message))
        nearest = max(len(own & other) / len(own | other) for other in train)
        assert nearest <= NEAREST_TRAIN_ROW, row.message


def test_a_second_product_cannot_be_told_by_position() -> None:
    # Some messages name two products; the right one comes first in some and last in others.
    where = Counter()
    for row in TRAIN + HELDOUT:
        text = row.message.lower()
        named = sorted((p for p in LABELS["product"] if p in text), key=text.index)
        if len(named) > 1:
            where["first" if named[0] == row.combo[1] else "later"] += 1
    assert where["first"] >= 10
    assert where["later"] >= 5


def test_data_card_states_the_counts() -> None:
    card = (SAMPLES / "README.md").read_text(encoding="utf-8")
    for number in (len(TRAIN), len(HELDOUT)):
        assert re.search(rf"\b{number}\b", card)
    for values in LABELS.values():
        assert all(f"`{value}`" in card for value in values)


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_scores_one_against_itself_and_none_against_another(
    split: str,
) -> None:
    scorer = JsonExact(keys=LABELS)
    rows = SPLITS[split]
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        assert scorer(row.answer, row.answer, row.message).value == 1.0
        same = row.combo == other.combo
        assert scorer(other.answer, row.answer).value == float(same)


GOLD = '{"intent": "repair", "product": "lamp", "urgency": "low"}'


@pytest.mark.parametrize(
    "output",
    [
        GOLD,
        f"\n  {GOLD}\t\n",
        '{"urgency":"low","product":"lamp","intent":"repair"}',
        json.dumps(json.loads(GOLD), indent=2),
    ],
)
def test_exact_output_passes(output: str) -> None:
    assert JsonExact()(output, GOLD) == Score(1.0, "exact match")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "the output is empty"),
        (" \n", "the output is empty"),
        (f"```json\n{GOLD}\n```", "not JSON: wrapped in a code fence"),
        (
            f"{GOLD} Hope that helps",
            'not JSON: text after the object: "Hope that helps"',
        ),
        (f"{GOLD}\n{GOLD}", "not JSON: text after the object"),
        (f"Sure: {GOLD}", 'not JSON: starts with "Sure: {'),
        (f"\u00a0{GOLD}", "not JSON: starts with"),
        (GOLD[:-1], "not JSON: Expecting"),
        (GOLD.replace('"', "'"), "not JSON: Expecting property name"),
        (GOLD.replace('"low"', "NaN"), "not JSON: NaN is not JSON"),
        (GOLD[:-1] + ', "intent": "repair"}', 'not JSON: key "intent" appears twice'),
        ("[" * 100_000, "not JSON: "),
        (f"[{GOLD}]", "not an object: "),
        ("null", "not an object: null"),
        (GOLD.replace("lamp", "Lamp"), 'product: got "Lamp", expected "lamp"'),
        (GOLD.replace('"low"', "1"), 'urgency: got 1, expected "low"'),
        ('{"intent": "repair", "product": "lamp"}', 'missing key "urgency"'),
        (GOLD[:-1] + ', "note": 1}', 'unexpected key "note"'),
        (
            '{"intent": "refund", "product": "lamp", "urgency": "high"}',
            'intent: got "refund", expected "repair"; urgency: got "high", expected "low"',
        ),
    ],
)
def test_any_other_output_fails_with_a_reason(output: str, reason: str) -> None:
    score = JsonExact()(output, GOLD)
    assert score.value == 0.0
    assert score.reason.startswith(reason)
    assert "\n" not in score.reason


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1.0}', '{"a": 1}'),
        ('{"a": [0]}', '{"a": [false]}'),
        ('{"a": {"b": null}}', '{"a": {}}'),
    ],
)
def test_types_count(output: str, expected: str) -> None:
    assert JsonExact()(output, expected).value == 0.0
    assert JsonExact()(expected, expected).value == 1.0


def test_keys_limit_the_comparison() -> None:
    scorer = JsonExact(keys=["intent"])
    assert scorer('{"intent": "repair"}', GOLD).value == 1.0
    assert scorer(GOLD, GOLD).reason == 'unexpected key "product"; unexpected key "urgency"'


@pytest.mark.parametrize("expected", ["not json", "[]", '{"product": "lamp"}'])
def test_a_broken_reference_is_an_error_not_a_zero(expected: str) -> None:
    with pytest.raises(ValueError, match="the expected answer"):
        JsonExact(keys=["intent"])(GOLD, expected)


def test_keys_given_as_one_string_are_refused() -> None:
    with pytest.raises(TypeError, match="not the string 'intent'"):
        JsonExact(keys="intent")


def test_it_is_a_scorer() -> None:
    scorer: Scorer = JsonExact()
    assert isinstance(scorer, Scorer)
    assert scorer.name == "json_exact"
