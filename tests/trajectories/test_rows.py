"""Trajectories as training rows: what is trained, what is kept, what is said; and the leak check."""

from __future__ import annotations

import warnings
from random import Random
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.data.leakage import leakage
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup, episodes, rows
from shadownb.errors import ConfigError, DataError, ShadowWarning

from .calls import Recorded, answer, call, echoed, result, system, user

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather in a given location",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
        },
    }
]


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notice about terms comes once a process; here once a test."""
    monkeypatch.setattr(rows, "_told", set())


@pytest.fixture
def loop() -> list[Recorded]:
    """An example in the prompt, then a loop of two calls with a tool."""
    ask = [
        system("You are a helpful bot."),
        user("Weather in Rome?"),
        {"role": "assistant", "content": "It is sunny in Rome."},
        user("And in Paris?"),
    ]
    wants = answer(None, ("call_1", "get_weather", {"location": "Paris"}))
    history = [*ask, wants, result("call_1", "rainy, 57°F")]
    return [
        call(ask, wants, tools=TOOLS, finish_reason="tool_calls"),
        call(echoed(history, Random(1)), answer("It rains in Paris."), tools=TOOLS),
    ]


@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_every_recorded_answer_is_trained_and_no_other(loop: list[Recorded]) -> None:
    data = snb.Dataset.from_captures(loop)
    (row,) = data.canonical_rows()
    weights = [message.get("weight", 1) for message in row["messages"] if message["role"] == "assistant"]
    assert weights == [0, 1, 1]
    assert row["tools"] == TOOLS
    assert row["messages"][4]["tool_calls"][0]["function"]["arguments"] == {"location": "Paris"}


@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_the_token_inspector_shows_the_trained_answers_of_an_episode(
    loop: list[Recorded], smollm2_tokenizer: Any
) -> None:
    data = snb.Dataset.from_captures(loop)
    inspection = data.inspect(smollm2_tokenizer)
    trained = "".join(token.text for token in inspection.tokens if token.trained)
    context = "".join(token.text for token in inspection.tokens if not token.trained)
    assert "get_weather" in trained and "Paris" in trained and "It rains in Paris." in trained
    assert "It is sunny in Rome." in context and "rainy, 57°F" in context and "Get the weather" in context
    assert "Rome" not in trained
    assert trained.count("<|im_end|>") == 2
    assert "trained" in inspection.to_html()


@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_branches_train_what_they_share_once() -> None:
    ask = [user("Hi")]
    begin = [*ask, answer("Hello."), user("A poem")]
    calls = [call(ask, answer("Hello.")), call(begin, answer("Roses.")), call(begin, answer("Violets."))]
    data = snb.Dataset.from_trajectories(episodes(calls))
    trained = [m["content"] for row in data for m in row["messages"] if m["role"] == "assistant" and m.get("weight", 1)]
    assert sorted(trained) == ["Hello.", "Roses.", "Violets."]


@pytest.mark.filterwarnings("ignore:Answers of frontier-1")
def test_answers_that_did_not_come_whole_are_context() -> None:
    ask = [user("Hi")]
    long = call(ask, answer("Once upon"), finish_reason="length")
    long.choices[0]["finish_reason"] = "length"
    calls = [call([user("Yes?")], answer("Yes.")), long, call([user("No?")], answer("N"), status="client_gone")]
    with pytest.warns(ShadowWarning, match="2 of 3 trajectories are left out"):
        data = snb.Dataset.from_captures(calls)
    assert [row["messages"][1]["content"] for row in data] == ["Yes."]
    with pytest.raises(DataError, match="None of 1"):
        snb.Dataset.from_captures([long])


def test_the_terms_are_mentioned_once_and_not_for_a_local_model() -> None:
    def one(text: str, **facts: Any) -> list[Recorded]:
        return [call([user(text)], answer("Yes."), **facts)]

    with pytest.warns(ShadowWarning, match="frontier-1 become training data.*terms"):
        snb.Dataset.from_captures(one("First"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        snb.Dataset.from_captures(one("Second"))
        snb.Dataset.from_captures(one("Third", model="mine", route="local"))
        snb.Dataset.from_trajectories([Trajectory([user("By hand"), answer("Yes.")])])
    with pytest.warns(ShadowWarning, match="frontier-2"):
        snb.Dataset.from_captures(one("Fourth", model="frontier-2"))


def test_reasoning_refusals_and_old_function_calls_are_kept() -> None:
    made = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "4"}]},
        {"role": "assistant", "content": None, "refusal": "I will not."},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
    ]
    data = snb.Dataset.from_trajectories([Trajectory([user("2+2?"), message]) for message in made])
    assert data.report.ok, data.report
    thought, refused, called = (row["messages"][1] for row in data.canonical_rows())
    assert (thought["content"], thought["reasoning_content"]) == ("4", "Hm.")
    assert refused["content"] == "I will not."
    assert called["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}


def test_pictures_are_reported_row_by_row() -> None:
    seen = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}, answer("A cat.")]
    data = snb.Dataset.from_trajectories([Trajectory([user("Hi"), answer("Hello.")]), Trajectory(seen)])
    assert data.report.valid == 1
    assert "not text" in data.report.bad[0].reason


def test_groups_and_filters() -> None:
    group = TrajectoryGroup([Trajectory([user("a"), answer("1")], reward=1), Trajectory([user("a"), answer("2")])])
    assert len(snb.Dataset.from_trajectories([group])) == 2
    with pytest.raises(DataError, match="type str"):
        snb.Dataset.from_trajectories(["Hi"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="is not a capture"):
        snb.Dataset.from_captures(7)


# -- leaks ------------------------------------------------------------------------------------------------------------------

LONG = (
    "Dear support, my parcel with the number {} should have come last Monday, but the tracking page still says that it "
    "waits in the depot of {}, and nobody answers the phone there. Can you please find out where it is and send it on?"
)
PLACES = ("Lyon", "Porto", "Ghent", "Turin", "Graz", "Malmo", "Riga", "Split", "Bergen", "Cadiz")


def episode(text: str, system_text: str = "Be kind.") -> Trajectory:
    return Trajectory([system(system_text), user(text), answer("Yes.")])


def test_leaks_are_found_row_by_row() -> None:
    train = [
        episode(LONG.format(81, "Lyon")),
        episode("How do I change the address of my account?"),
        episode("Refund?"),
    ]
    heldout = [
        episode("What does delivery to an island cost?"),
        episode("Refund?", "Today is Monday."),
        episode(LONG.format(81, "Lyon").replace("please", "kindly")),
        episode("refund my order at once, it came in pieces"),
    ]
    report = leakage(train, heldout)
    assert [(row.heldout, row.train, row.kind) for row in report.rows] == [(1, 2, "same"), (2, 0, "similar")]
    assert not report.ok and report.leaked == [1, 2]
    assert 0.7 <= report.rows[1].similarity < 1
    assert "held-out row 1 is the same as training row 2" in str(report)
    assert "1 the same, 1 at least 70% alike" in report.summary()
    assert "<li>" in report._repr_html_()
    assert leakage(train, heldout[:1]).ok


def test_the_frame_of_a_prompt_is_no_leak() -> None:
    """All rows stand in one long template: only what differs can be a leak."""
    words = [
        "alpha",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliet",
        "kilo",
        "lima",
    ]
    frame = " ".join(f"rule {number} says that you must answer in case {number}" for number in range(40))
    tasks = [" ".join(Random(seed).choices(words, k=30)) for seed in range(24)]
    train = [episode(f"{frame}. {task}") for task in tasks[:20]]
    fresh = [episode(f"{frame}. {task}") for task in tasks[20:]]
    assert leakage(train, fresh).ok
    nearly = episode(f"{frame}. {tasks[3]} please")
    assert [row.train for row in leakage(train, [nearly]).rows] == [3]


def test_similarity_is_exact_and_the_nearest_row_is_named() -> None:
    random = Random(0)
    words = [f"w{number}" for number in range(5000)]
    texts = [random.choices(words, k=60) for _ in range(300)]
    changed = [list(text) for text in texts[:40]]
    for text in changed:
        text[-3:] = ["x", "y", "z"]
    report = leakage([episode(" ".join(t)) for t in texts], [episode(" ".join(t)) for t in changed], threshold=0.8)
    assert [row.train for row in report.rows] == list(range(40))
    # 56 shingles each, of which the last three differ.
    assert {round(row.similarity, 6) for row in report.rows} == {round(53 / 59, 6)}


def test_data_sets_and_whole_conversations_can_be_compared() -> None:
    train = snb.Dataset.from_list([{"prompt": "2+2?", "completion": "4"}, {"prompt": "3+3?", "completion": "6"}])
    heldout = snb.Dataset.from_list([{"messages": [user("3+3?"), {"role": "assistant", "content": "nine"}]}])
    assert leakage(train, heldout).leaked == [0]
    assert leakage(train, heldout, compare="conversation").ok
    assert leakage(*snb.Dataset.sample().split(0.2)).train == round(len(snb.Dataset.sample()) * 0.8)


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.5}, {"compare": "words"}])
def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        leakage([episode("a")], [episode("b")], **options)
    with pytest.raises(DataError, match="heldout"):
        leakage([episode("a")], "b")


@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_what_providers_send_beside_an_answer_refuses_no_episode() -> None:
    beside = {
        "annotations": [
            {"type": "url_citation", "url_citation": {"title": "A page about piers", "url": "https://a.b"}}
        ],
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "x" * 200}],
        "provider_specific_fields": {"note": "some words of a provider"},
        "refusal": None,
        "audio": None,
    }
    episode = [call([user("Hi")], {**answer("Hello."), **beside})]
    data = snb.Dataset.from_captures(episode)
    assert data.report.ok and data.canonical_row(0)["messages"][1] == {"role": "assistant", "content": "Hello."}
    assert {column.name: column.kind for column in data.report.unread} == {
        "messages[].annotations": "ignored",
        "messages[].reasoning_details": "ignored",
        "messages[].provider_specific_fields": "ignored",
    }
    odd = [call([user("Hi")], {**answer("Hello."), "hint": "words that nobody knows"})]
    assert "messages[].hint (text)" in snb.Dataset.from_captures(odd).report.bad[0].reason
    assert snb.Dataset.from_captures(odd, ignore="messages[].hint").report.ok
