"""Routing: the fact that is asked for in other words, and none where something else is asked of the same thing."""

from __future__ import annotations

import numpy as np
import pytest

from shadownb.engine.embedding import embedder
from shadownb.engine.routing import Router, Unit
from shadownb.engine.routing.attributes import Attributes, described
from shadownb.engine.routing.units import Fact
from shadownb.engine.routing.words import swapped

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


def test_the_shipped_attributes_are_those_of_their_wordings() -> None:
    by = embedder()
    shipped = Attributes.of(by)
    made = Attributes.fitted(by)
    texts = ["What does it cost?", "How many panes does it have?", "By whom was it carved?"]
    vectors = by.embed(texts)
    again = Attributes(made, shipped._numbers)
    one, other = (described(each.near(vectors)) for each in (shipped, again))
    assert np.abs(one - other).max() < 0.02  # of vectors with 8 and 16 bits, on whichever kind of CPU


def test_an_embedder_without_shipped_attributes_has_its_own() -> None:
    class Turned:
        """MiniLM's vectors in another order of their numbers: nothing that is shipped fits them."""

        id, width = "turned", 384

        def embed(self, texts: list[str]) -> np.ndarray:
            return embedder().embed(texts)[:, ::-1].copy()

    facts = [Unit((Fact(question, answer),)) for question, answer in FACTS.items()]
    assert Router(facts, by=Turned()).route("How expensive is an Ilmari canoe?").units == (1,)


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
