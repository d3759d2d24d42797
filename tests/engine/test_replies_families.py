"""Every template that trl ships: what a row says, its template writes, and the parser gives back. Makes docs/reply-parsing.md."""

from __future__ import annotations

from typing import Any

import pytest

from shadownb.engine.rendering import Renderer
from shadownb.errors import ConfigError
from tests.engine.reply_table import PAGE, row_of, table, trained_text
from tests.engine.template_families import family


@pytest.fixture(scope="module")
def made() -> str:
    return table()


def test_the_page_says_what_is_so(made: str) -> None:
    assert made in PAGE.read_text(encoding="utf-8"), "run: python -m tests.engine.reply_table --write"


def test_nothing_that_a_template_writes_is_misread(made: str) -> None:
    """``dropped``, ``refused`` and ``not trained`` are the template's doing; these two would be the parser's."""
    assert "| NO |" not in made and "| malformed |" not in made


def test_a_template_with_tools_of_its_own_gives_calls_back(made: str) -> None:
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[3:]] for line in made.splitlines()[2:]
    }
    for name in (
        "qwen3",
        "qwen3_5_think",
        "qwen3_6",
        "glm4moe",
        "gptoss",
        "gemma4_v5",
        "lfm2_2_5",
        "llama3_2",
        "nemotron_3_nano",
    ):
        assert (rows[name][2], rows[name][5]) == ("yes", "yes"), name


@pytest.mark.parametrize(
    ("name", "reasoning", "trained_with"),
    [
        ("qwen3_5_nothink", True, True),  # its prompt closes the reasoning unless it is told to think
        ("qwen3_5_nothink", False, None),
        (
            "nemotron_3_nano",
            False,
            False,
        ),  # its prompt opens the reasoning, its answers without any do not go on from that
        ("nemotron_3_nano", True, None),
        ("qwen3", True, None),
        ("qwen3", False, None),
        ("llama3_2", False, None),
    ],
)
def test_what_was_trained_decides_whether_to_think(name: str, reasoning: bool, trained_with: bool | None) -> None:
    renderer = Renderer(family(name))
    answer = {"content": "Fine.", **({"reasoning_content": "Hm."} if reasoning else {})}
    row = row_of(answer)
    assert renderer.thinking_of([row] * 3) is trained_with
    if trained_with is not None:
        renderer.variables = renderer.told(enable_thinking=trained_with)
    found = trained_text(renderer, row)
    assert found is not None
    text, prompt = found
    assert prompt == renderer.render_prompt(row["messages"][:1]), "what is asked is what was trained"
    reply = renderer.read_reply(text, [], prompt=prompt)
    assert (reply.content, reply.reasoning) == ("Fine.", "Hm." if reasoning else "")


def test_thinking_and_effort_are_asked_for_only_where_they_are_known() -> None:
    qwen, harmony, plain = (Renderer(family(name)) for name in ("qwen3", "gptoss", "qwen2_5"))
    question: list[dict[str, Any]] = [{"role": "user", "content": "What is it?"}]

    def prompt(renderer: Renderer, **options: Any) -> str:
        return str(renderer.tokenizer.decode(renderer.render_prompt(question, variables=renderer.told(**options))))

    assert prompt(qwen, enable_thinking=False).endswith("<think>\n\n</think>\n\n")
    assert prompt(qwen, enable_thinking=True) == prompt(qwen)
    assert "Reasoning: high" in prompt(harmony, reasoning_effort="high")
    for renderer, options in ((plain, {"enable_thinking": True}), (qwen, {"reasoning_effort": "low"})):
        (name,) = options
        with pytest.raises(ConfigError, match=f"{name}=.* has no effect"):
            renderer.told(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Did you mean 'high'"):
        harmony.told(reasoning_effort="hgih")
    with pytest.raises(ConfigError, match="neither True nor False"):
        qwen.told(enable_thinking="no")  # type: ignore[arg-type]


def test_tokens_that_end_a_call_end_the_reply() -> None:
    harmony = Renderer(family("gptoss"))
    ends = harmony.tokenizer.convert_ids_to_tokens(list(harmony.stop_token_ids))
    assert {"<|return|>", "<|call|>"} <= set(ends)
