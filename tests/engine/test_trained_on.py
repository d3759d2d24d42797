"""What rows share is learned at the launch, kept wherever the weights are kept, and is where every question starts."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.capture import capture
from shadownb.engine.data import Dataset
from shadownb.engine.data.trained_on import TrainedOn
from shadownb.engine.models.generation import Generation
from shadownb.errors import ConfigError, ShadowWarning
from tests.engine.conftest import until

SORT, NAME = "Sort it: one word.\n", "Name the colour."
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
OTHER_TOOL = {"type": "function", "function": {"name": "find", "description": "d", "parameters": {"type": "object"}}}
FAST: dict[str, Any] = {"background": False, "max_steps": 2, "learning_rate": 0.02, "sample_max_new_tokens": 0}
GREEDY: dict[str, Any] = {"temperature": 0, "max_new_tokens": 8}


def row(number: int, system: str | None = SORT, tools: Any = None, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"Thing {number}?"}, {"role": "assistant", "content": f"KIND {number % 3}"}]
    start = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*start, *turns], **({"tools": tools} if tools else {}), **more}


def learned(rows: list[Any]) -> TrainedOn:
    return TrainedOn.of(Dataset.from_list(rows).canonical_rows())


# -- what is learned of rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "system", "words"),
    [
        ([row(n) for n in range(384)], SORT, "all 384 rows"),
        (
            [row(n, NAME if n < 62 else f"{n % 2}") for n in range(100)],
            NAME,
            "the most common of 3, in 62 % of 100 rows",
        ),
        ([row(n, NAME if n < 7 else None) for n in range(10)], NAME, "in 70 % of 10 rows"),
        ([row(n, None) for n in range(4)], None, "none: no row of 4 has one"),
        ([row(n, NAME if n < 1 else None) for n in range(4)], None, "none: 75 % of 4 rows have none"),
        ([row(n, f"You serve customer {n}.") for n in range(80)], None, "none: the 80 rows have 80 different ones"),
        ([row(0)], SORT, "the one row"),
        ([{"text": f"Once upon a time {n}."} for n in range(5)], None, "none: all 5 rows are plain text"),
    ],
)
def test_the_system_prompt_that_rows_share(rows: list[Any], system: str | None, words: str) -> None:
    known = learned(rows)
    assert (known.system_prompt, known.system_words()) == (system, words)
    assert TrainedOn.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_preference_rows_share_what_stands_before_their_prompt() -> None:
    prompt = [{"role": "system", "content": SORT}, {"role": "user", "content": "Thing?"}]
    said = [[{"role": "assistant", "content": text}] for text in ("KIND 1", "Well.")]
    pairs = [{"prompt": prompt, "chosen": said[0], "rejected": said[1], "tools": [TOOL]}] * 3
    verdicts = [{"prompt": prompt, "completion": said[0], "label": True}] * 3
    for known in (learned(pairs), learned(verdicts)):
        assert (known.system_prompt, known.plain, known.questions) == (SORT, False, 1)
    assert learned(pairs).offered_tools == [TOOL] and learned(verdicts).offered_tools is None


def test_tools_are_shared_where_rows_have_the_same_and_not_where_each_has_its_own() -> None:
    assert learned([row(n, tools=[TOOL]) for n in range(3)]).tools_words() == "all 3 rows"
    own = [{**TOOL, "function": {**TOOL["function"], "name": f"tool_{n}"}} for n in range(9)]  # type: ignore[dict-item]
    known = learned([row(n, tools=[tool]) for n, tool in enumerate(own)])
    assert known.offered_tools is None and known.tools_words() == "none: the 9 rows have 9 different sets"


def ask(system: str | None) -> list[dict[str, Any]]:
    return [*([{"role": "system", "content": system}] if system is not None else []), {"role": "user", "content": "?"}]


@pytest.mark.parametrize(
    ("rows", "system", "tools", "codes"),
    [
        ([row(1), row(2)], SORT, None, []),
        ([row(1), row(2)], None, None, ["no-system"]),
        ([row(1), row(2)], SORT.strip(), None, ["other-system"]),
        ([row(1), row(2, NAME)], NAME, None, []),  # the less common one was trained, too
        ([row(1), row(2, None)], None, None, []),
        ([row(1, None)], SORT, None, ["other-system"]),
        ([row(n, f"Customer {n}") for n in range(80)], "Customer 81", None, []),  # each row had another one
        ([row(n, f"Customer {n}") for n in range(80)], None, None, ["no-system"]),
        ([row(1, tools=[TOOL])], SORT, None, ["no-tools"]),
        ([row(1, tools=[TOOL])], SORT, [OTHER_TOOL], ["other-tools"]),
        ([row(1)], SORT, [TOOL], ["other-tools"]),
        ([{"text": "Once upon a time."}], None, None, ["template"]),
    ],
)
def test_a_question_differs_only_where_no_row_was_like_it(
    rows: list[Any], system: str | None, tools: Any, codes: list[str]
) -> None:
    assert [found.code for found in learned(rows).differences(ask(system), tools)] == codes


# -- where questions start -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model that was trained on rows with a system prompt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        model = snb.load(str(byte_model_dir), dtype="float32")
        model.train([row(n) for n in range(24)], eval_dataset=0.25, **FAST)
        yield model


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text of every prompt that reaches a model's generator."""
    found: list[str] = []
    real = Generation.generator_for

    def spy(generation: Any, use: Any) -> Any:
        generator, tokenizer = real(generation, use), generation._model.tokenizer
        for name in ("generate", "stream"):
            call = getattr(generator, name)

            def told(ids: Any, *args: Any, call: Any = call, **options: Any) -> Any:
                many = ids if ids and isinstance(ids[0], list) else [ids]
                found.extend(tokenizer.decode(one) for one in many)
                return call(ids, *args, **options)

            setattr(generator, name, told)
        return generator

    monkeypatch.setattr(Generation, "generator_for", spy)
    return found


STARTED = f"<|im_start|>system\n{SORT}<|im_end|>\n<|im_start|>user\nThing 1?<|im_end|>\n<|im_start|>assistant\n"
BARE = "<|im_start|>user\nThing 1?<|im_end|>\n<|im_start|>assistant\n"
USER = [{"role": "user", "content": "Thing 1?"}]
WAYS: dict[str, Callable[..., Any]] = {
    "generate": lambda model, **options: model.generate("Thing 1?", **GREEDY, **options),
    "many": lambda model, **options: model.generate(["Thing 1?"], **GREEDY, **options)[0],
    "chat": lambda model, **options: model.chat(USER, **GREEDY, **options).raw,
    "stream": lambda model, **options: "".join(model.stream("Thing 1?", **GREEDY, **options)),
    "stream messages": lambda model, **options: "".join(model.stream(USER, **GREEDY, **options)),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({}, STARTED),
        ({"use": "base"}, STARTED),
        ({"system": None}, BARE),
        ({"system": ""}, BARE),
        ({"system": NAME}, STARTED.replace(SORT, NAME)),
    ],
)
def test_what_is_left_out_is_as_trained_and_none_is_none(
    trained: Any, seen: list[str], way: str, options: dict[str, Any], prompt: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WAYS[way](trained, **options)
    assert seen == [prompt]


def test_an_empty_system_message_of_the_rows_is_asked_with_too(small: Any, seen: list[str]) -> None:
    small._trained_on = learned([row(1, ""), row(2, "")])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShadowWarning)
        small.generate("Thing 1?", **GREEDY)
    assert seen == [STARTED.replace(SORT, "")]


def test_messages_keep_their_own_system_message(trained: Any, seen: list[str]) -> None:
    own = [{"role": "developer", "content": NAME}, *USER]
    trained.chat(own, **GREEDY)
    trained.chat(own, system=NAME, **GREEDY)
    assert seen == [STARTED.replace(SORT, NAME)] * 2
    with pytest.raises(ConfigError, match="messages begin with the system message"):
        trained.chat(own, system=SORT)


def test_a_difference_is_told_once_and_at_the_line_that_asks(trained: Any) -> None:
    trained.generation.told.clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            WAYS["chat"](trained, system=None)
        WAYS["generate"](trained, system=NAME)
        WAYS["generate"](trained)
        WAYS["generate"](trained, use="base", system="Another.")
    messages = [(str(one.message), one.filename) for one in told if one.category is ShadowWarning]
    assert [text.partition(".")[0] for text, _ in messages] == [
        "Asked without a system prompt, but all 18 rows of the training have one",
        "Asked behind another system prompt than any row of the training",
    ]
    assert {file for _, file in messages} == {__file__}


def test_comparing_asks_rows_as_they_are(trained: Any, seen: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snb.compare(trained, [row(1, None), row(1, NAME)], snb.Exact(), max_new_tokens=2)
    assert seen == [BARE, STARTED.replace(SORT, NAME)] * 2


def test_the_model_says_where_its_questions_start(trained: Any) -> None:
    assert 'asked from system prompt "Sort it: one word." (all 18 rows)' in repr(trained)
    assert "asked from" in trained._repr_html_()


# -- kept wherever the weights are kept ------------------------------------------------------------------------------


def test_it_is_kept_with_the_run_its_checkpoints_and_what_is_saved(trained: Any, tmp_path: Path) -> None:
    run_id, known = trained.trained[0], trained.trained_on
    run = snb.runs.load(run_id)
    trained.save(tmp_path / "adapter")
    trained.save(tmp_path / "merged", fmt="merged")
    shutil.copytree(run.checkpoint, tmp_path / "copied")
    for name in (run_id, run.checkpoint, tmp_path / "adapter", tmp_path / "merged", tmp_path / "copied"):
        loaded = snb.load(str(name), dtype="float32")
        assert loaded.trained_on == known, name
        assert WAYS["generate"](loaded) == WAYS["generate"](trained), name
    snb.load(str(tmp_path / "merged"), dtype="float32").save(tmp_path / "again", fmt="merged")
    assert snb.load(str(tmp_path / "again"), dtype="float32").trained_on == known
    assert run.trained_on == known


def test_runs_and_checkpoints_of_before_are_learned_from_their_rows(trained: Any, tmp_path: Path) -> None:
    run = snb.runs.load(trained.trained[0])
    copied = tmp_path / "home" / "runs" / run.id
    shutil.copytree(run.path, copied)
    spec = json.loads((copied / "run.json").read_text())
    del spec["trained_on"]
    (copied / "run.json").write_text(json.dumps(spec))
    from shadownb.engine.loaded import sidecar
    from shadownb.engine.runs.folder import RunFolder

    assert RunFolder(copied).trained_on == trained.trained_on
    checkpoint = next((copied / "checkpoints").iterdir())
    (checkpoint / sidecar.RECORD).unlink()
    assert sidecar.trained_on(checkpoint) == trained.trained_on


@pytest.fixture
def small(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32")


def test_it_follows_the_weights(small: Any) -> None:
    assert small.trained_on is None and "asked from" not in repr(small)
    run = small.train([row(n) for n in range(8)], **{**FAST, "background": True, "max_steps": 500})
    until(run, lambda state: state.step > 1)
    assert small.trained_on.system_prompt == SORT, "live weights are asked as they are being trained"
    run.discard()
    run.wait()
    assert small.trained_on is None
    small.train([row(n) for n in range(8)], **FAST)
    small.train([row(n, NAME) for n in range(8)], start="trained", **FAST)
    assert small.trained_on.system_prompt == NAME
    worker = small.train([row(n) for n in range(8)], start="base", executor="process", **FAST)
    assert worker.status == "succeeded" and small.trained_on.system_prompt == SORT


def test_samples_of_given_prompts_start_as_the_rows_do(small: Any, seen: list[str]) -> None:
    from shadownb.engine.runs.preparation import _as_trained

    class Session:
        model = small
        trained_on = learned([row(1), row(2)])

    assert small.tokenizer.decode(_as_trained(Session(), "Thing 1?")) == STARTED  # type: ignore[arg-type]
    Session.trained_on = learned([{"text": "Once upon a time."}])
    assert small.tokenizer.decode(_as_trained(Session(), "Once")) == "Once"  # type: ignore[arg-type]


def test_after_plain_text_a_prompt_is_gone_on_from(small: Any, seen: list[str]) -> None:
    small.train([{"text": f"Once upon a time {n}."} for n in range(8)], method="cpt", **FAST)
    small.generate("Once", **GREEDY)
    "".join(small.stream("Once", **GREEDY))
    with pytest.warns(ShadowWarning, match="through the chat template"):
        small.generate("Thing 1?", template=True, **GREEDY)
    assert seen == ["Once", "Once", BARE]
    with pytest.raises(ConfigError, match="template=False"):
        small.generate("Once", template=False, system=NAME)
    assert "plain text" in repr(small)


# -- endpoints -------------------------------------------------------------------------------------------------------


def test_an_endpoint_starts_as_trained_unless_a_request_brings_its_own(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    asked: list[Any] = []
    real = type(trained.renderer).render_prompt
    monkeypatch.setattr(
        type(trained.renderer),
        "render_prompt",
        lambda self, *args, **options: asked.append(args) or real(self, *args, **options),
    )
    with capture(trained) as proxy:
        headers = {"authorization": f"Bearer {proxy.token}"}

        def post(path: str, **body: Any) -> None:
            body = {"model": "x", "max_tokens": 2, "max_output_tokens": 2, **body}
            body.pop("max_output_tokens" if "responses" not in path else "max_tokens")
            got = httpx.post(proxy.root_url + path, json=body, headers=headers, timeout=60)
            assert got.status_code == 200, got.text

        post("/v1/chat/completions", messages=USER)
        post("/v1/messages", messages=USER)
        post("/v1/responses", input="Thing 1?")
        post("/v1/chat/completions", messages=[{"role": "system", "content": NAME}, *USER])
        post("/v1/messages", messages=USER, system=NAME)
    assert [messages[0]["content"] for messages, _ in asked] == [SORT, SORT, SORT, NAME, NAME]


@pytest.mark.parametrize(
    ("request_", "tools"),
    [({}, [TOOL]), ({"tools": None}, [TOOL]), ({"tools": []}, None), ({"tool_choice": "none"}, None)],
)
def test_an_endpoint_offers_the_tools_of_the_rows_to_who_does_not_speak_of_tools(
    small: Any, request_: dict[str, Any], tools: Any
) -> None:
    from shadownb.engine.answering.local import LocalModel

    small._trained_on = learned([row(1, tools=[TOOL])])
    messages, offered = LocalModel(small)._start(USER, request_.get("tools") or None, request_)
    assert (messages[0]["content"], offered) == (SORT, tools)
    own = [{"role": "system", "content": NAME}, *USER]
    assert LocalModel(small)._start(own, None, request_) == (own, None), "taken as it is, tools included"
