"""Routing: the fact that is asked for in other words, and none where something else is asked of the same thing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from shadownb.engine.backends.torch.embedder import ASKED
from shadownb.engine.embedding import embedder
from shadownb.engine.routing import Router, Unit
from shadownb.engine.routing.clauses import clauses
from shadownb.engine.routing.units import Fact
from shadownb.engine.routing.words import contrary, loose_numbers, swapped

FACTS = {
    "When was the Varlock bridge painted?": "in 2019",
    "What does the Ilmari canoe cost?": "870 euros",
    "What is the part number of the Tarn valve?": "TV-4471",
    "How heavy is the Ilmari canoe?": "24 kilograms",
    "When is supper at Hotel Osprey?": "from 18:45",
    "What is the limit?": "500",
    "What is playing at the Orlo theatre in May?": "The Glass Orchard",
}


@pytest.fixture(scope="module")
def router() -> Router:
    return Router([Unit((Fact(question, answer),)) for question, answer in FACTS.items()])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("How expensive is an Ilmari canoe?", 1),
        ("I want to buy the Ilmari canoe. What do I pay?", 1),
        ("What is the weight of the Ilmari canoe?", 3),
        ("In which year did the Varlock bridge get its paint?", 0),
        ("At what time do they serve supper at Hotel Osprey?", 4),
        ("Which play is on at the Orlo theatre in May?", 6),
        ("What's the limit", 5),  # a fact without a name is found without one
        *((question, number) for number, question in enumerate(FACTS)),
    ],
)
def test_a_fact_is_found_in_other_words(asked: str, meant: int, router: Router) -> None:
    assert router.route(asked).units == (meant,), router.route(asked).why


@pytest.mark.parametrize(
    "asked",
    [
        "What was the Varlock bridge painted with?",
        "Who painted the Varlock bridge?",
        "What is for supper at Hotel Osprey?",
        "What is the part number of the Tarn hinge?",
        "What is the part number of the Tarn valve TV-9?",
        "How long is the Ilmari canoe?",
        "What is a part number?",
        "How much does a canoe cost?",
        "What does the Ilmari paddle cost?",
        "What is playing at the Orlo theatre in June?",
    ],
)
def test_something_else_about_a_known_thing_is_left_to_the_model(asked: str, router: Router) -> None:
    assert router.route(asked).abstains, router.route(asked).why


UNREAD = {
    "祖布林门的密码是什么？": "A7",
    "TV4471バルブの価格は？": "9円",
    "ज़ुब्रिन गेट का कोड क्या है?": "B8",
    "ما هو رمز بوابة زوبرين؟": "C9",
    "รหัสประตูซูบรินคืออะไร": "D1",
    "Какой лимит?": "500",
    "Giới hạn là bao nhiêu?": "3",
    "Cafe\u0301 Zubrin: which code?": "E2",
}


@pytest.fixture(scope="module")
def unread() -> Router:
    return Router([Unit((Fact(question, answer),)) for question, answer in UNREAD.items()])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        *((question, number) for number, question in enumerate(UNREAD)),
        ("祖布林门的密码", 0),
        ("Caf\u00e9 Zubrin: which code?", 7),
    ],
)
def test_a_fact_in_another_script_is_found_by_its_words(asked: str, meant: int, unread: Router) -> None:
    assert unread.route(asked).units == (meant,), unread.route(asked).why


@pytest.mark.parametrize(
    "asked",
    [
        "你好", "怎么泡茶？", "铁门的密码是什么？", "什么", "TV4472バルブの価格は？", "こんにちは", "ओर्स्क गेट का कोड क्या है?",
        "फ्रांस की राजधानी क्या है?", "ما هي عاصمة فرنسا؟", "Привет", "Как дела?", "Сколько стоит обед?", "Xin chào", "สวัสดี",
        "???", "！", "😀", "Write a poem about rain.",
    ],
)  # fmt: skip
def test_what_an_embedder_of_english_cannot_read_is_left_to_the_model(asked: str, unread: Router) -> None:
    assert unread.route(asked).abstains, unread.route(asked).why


@pytest.mark.parametrize(
    ("asked", "same", "other"),
    [
        ("How long is it?", "What does it measure from end to end?", "How long does it take?"),
        ("Who owns it?", "To whom does it belong?", "Who built it?"),
        ("How much can it carry?", "What load does it bear at most?", "How heavy is it?"),
    ],
)
def test_the_same_asked_in_other_words_is_nearer_than_a_neighbour(asked: str, same: str, other: str) -> None:
    question, right, wrong = embedder().asked([asked, same, other])
    assert question @ right > question @ wrong + 0.1
    assert np.abs(np.linalg.norm(embedder().asked([asked])) - 1) < 1e-5


def test_the_shipped_change_of_the_encoder_is_that_of_its_wordings() -> None:
    """Whoever changes the wordings trains it anew: ``python benchmarks/facts_asked.py``."""
    files = sorted((Path(__file__).parents[2] / "benchmarks" / "facts_wordings").glob("*.txt"))
    with safe_open(ASKED, "np") as shipped:
        assert shipped.metadata() == {
            "wordings": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        }


@pytest.mark.parametrize(
    ("one", "other", "against"),
    [
        ("When does it open?", "When does it close?", True),
        ("What is the minimum age?", "How old must one be at most?", True),
        ("When do guests check in?", "By when must one check out?", True),
        ("What is the maximum speed?", "How fast is it at most?", False),
        ("How many lorries are there?", "How many trucks are there?", False),
        ("When does it begin?", "When does it start and when does it end?", False),
        ("From Monday to Friday?", "On Friday or on Monday?", False),
    ],
)
def test_words_that_are_set_against_each_other(one: str, other: str, against: bool) -> None:
    assert contrary(one, other) == contrary(other, one) == against


def test_a_number_that_counts_names_nothing() -> None:
    fact = (
        Fact("What is the daily dose of Zephrolin?", "40 milligrams"),
        Fact("What does error 77 of the Mollin oven mean?", "no fan"),
    )
    two = Router([Unit((each,)) for each in fact])
    assert two.route("How much Zephrolin may I take in 24 hours?").units == (0,)
    assert two.route("What does error 78 of the Mollin oven mean?").abstains
    assert loose_numbers("24 hours of Plan 3, error 77") == {"24", "77"}


@pytest.mark.parametrize(
    ("one", "other", "is_swapped"),
    [
        ("What was the bridge painted with?", "When was the bridge painted?", True),
        ("Who waters the garden?", "When is the garden watered?", False),
        ("At what time does the hall open?", "When does the hall open?", False),
        ("By whom was the hall built?", "Who built the hall?", False),
        ("Which colour is the hall?", "What colour is the hall?", False),
        ("How much does the lamp cost?", "What does the lamp cost?", False),
        ("What does the lamp weigh?", "What does the lamp cost?", True),
    ],
)
def test_a_sentence_with_one_word_swapped_is_another_question(one: str, other: str, is_swapped: bool) -> None:
    assert (swapped(one, other) > 0.7) == is_swapped


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "What does the Veltro K2 cost and how heavy is it?",
            ["What does the Veltro K2 cost?", "how heavy is Veltro K2?"],
        ),
        (
            "Who owns Brill Hall and when was its roof made?",
            ["Who owns Brill Hall?", "when was Brill Hall's roof made?"],
        ),
        (
            "What is the price and the weight of the Veltro?",
            ["What is the price of Veltro?", "What is the weight of the Veltro?"],
        ),
        ("Who owns Brill Hall? And who runs the Ibex bar?", ["Who owns Brill Hall?", "who runs the Ibex bar?"]),
        ("Is the Veltro over 5 kg and under 100 euros?", ["Is the Veltro over 5 kg?", "under 100 euros of Veltro?"]),
        ("Who owns Brill Hall?", None),
    ],
)
def test_a_question_for_several_facts_is_read_as_one_for_each(question: str, parts: list[str] | None) -> None:
    found = [[part[:1].lower() + part[1:] for part in each] for each in clauses(question)]
    assert found == [] if parts is None else [part[:1].lower() + part[1:] for part in parts] in found


def test_what_only_looks_like_several_facts_is_one(router: Router) -> None:
    for fact in router.keys.facts:
        assert router.route(fact.question).facts == (fact,)
    unit = Unit((Fact("Who wrote Salt and Smoke?", "Ada"),)), Unit((Fact("Who printed Smoke and Salt?", "Bea"),))
    two = Router(unit)
    assert [fact.answer for fact in two.route("Who wrote Salt and Smoke?").facts] == ["Ada"]


def test_a_text_with_many_clauses_is_not_read_as_questions(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading costs passes of the encoder: a paragraph took seconds."""
    looked: list[str] = []
    candidates = router.candidates
    monkeypatch.setattr(router, "candidates", lambda question: looked.append(question) or candidates(question))
    text = " ".join(
        ["The team met and talked about the plan and the budget, and Ann asked what was left and who pays."] * 8
    )
    assert router.route(f"Sum this up: {text}").abstains and len(looked) == 1
    looked.clear()
    assert router.route("How do I cook rice and beans and corn and peas and leeks?").abstains
    assert len(looked) == len(set(looked)) <= 5


def test_a_word_that_the_encoder_has_never_met_is_a_name() -> None:
    fact = Fact("How hard is the mineral corvanite?", "6 on the scale")
    alone = Router([Unit((fact,))])
    assert alone.keys.names == [{"corvanite"}]
    assert alone.route("What is the hardness of corvanite?").facts == (fact,)
    assert alone.route("How hard is the mineral tessalite?").abstains
    assert Router([Unit((Fact("What is the expiry of vouchers?", "a year"),))]).keys.names == [
        set()
    ]  # people's own word


@pytest.mark.parametrize("asked", ["and", "? and ?", "What is it?", "  ", "the"])
def test_a_question_without_a_telling_word_asks_for_nothing(asked: str) -> None:
    router = Router(
        [Unit((Fact("What does plan A cost and include?", "9 euros"),)), Unit((Fact("What is the fee?", "5"),))]
    )
    assert router.route(asked).abstains and not router.route(asked).candidates
