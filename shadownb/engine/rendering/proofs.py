"""The proofs of a template certificate: each renders probes as rows are rendered, and looks at text, tokens and labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from shadownb.engine.rendering.drops import WORDS
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.engine.rendering.renderer import Renderer
from shadownb.errors import DataError

Message = dict[str, Any]


class Finding(NamedTuple):
    """The outcome of one proof."""

    status: Literal["pass", "fail", "n/a"]
    reason: str
    example: str = ""


def passed(reason: str, example: str = "") -> Finding:
    """Return that it holds."""
    return Finding("pass", reason, example)


def failed(reason: str, example: str = "") -> Finding:
    """Return that it does not hold."""
    return Finding("fail", reason, example)


SYSTEM = {"role": "system", "content": "Answer in one word."}
LATER = {"role": "system", "content": "From now on answer in French."}
ASKED = {"role": "user", "content": "What is the weather in Bern?"}
AGAIN = {"role": "user", "content": "And in Rome?"}
SUNNY = {"role": "assistant", "content": "Sunny in Bern."}
RAINY = {"role": "assistant", "content": "Rainy in Rome."}
# What templates change where they escape, cut or tidy up: tags, quotes, an ampersand, blank lines, both kinds of letters, length.
_EXACT = (
    'Is it "<b>18 & 20</b>", I\'d ask?\n\n- It RAINS:\n  {"https://example.org/": [1, 2]}\n'
    + "and so on " * 30
    + "to the End."
)
THOUGHT = {**SUNNY, "reasoning_content": "Bern has a clear sky."}
_ARGUMENTS = {"town": 'L\'Aquila "north"', "days": 2, "hourly": True}
_OTHER = {"town": "Rome", "days": 1, "hourly": False}
_NAMES = {"type": "string", "description": "A town."}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a town.",
            "parameters": {
                "type": "object",
                "properties": {"town": _NAMES, "days": {"type": "integer"}, "hourly": {"type": "boolean"}},
                "required": ["town"],
            },
        },
    }
]


def _call(number: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"call_{number:08d}", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


CALL: Message = {"role": "assistant", "content": "", "tool_calls": [_call(1, _ARGUMENTS)]}
CALLS: Message = {"role": "assistant", "content": "", "tool_calls": [_call(1, _ARGUMENTS), _call(2, _OTHER)]}
RESULT = {"role": "tool", "tool_call_id": "call_00000001", "name": "get_weather", "content": "18 degrees"}
SECOND = {"role": "tool", "tool_call_id": "call_00000002", "name": "get_weather", "content": "25 degrees"}


class Subject:
    """A renderer under proof, and short ways to try something on it."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer.silent()
        self.tokenizer = renderer.tokenizer
        # A run on replies without reasoning settles whether its prompts open one, as thinking_of says.
        self.told = self.renderer.told(enable_thinking=self.renderer.thinking_of([{"messages": [ASKED, SUNNY]}]))

    def render(self, *messages: Message, tools: bool = False) -> tuple[Rendered, ...]:
        """Return the sequences of a row. Raises :class:`DataError` where the template refuses it."""
        return self.renderer.render_all({"messages": list(messages), **({"tools": TOOLS} if tools else {})})

    def prompt(self, *messages: Message, tools: bool = False) -> list[int]:
        """Return the ids of a prompt."""
        return self.renderer.render_prompt(messages, TOOLS if tools else None, variables=self.told)

    def text(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def turns(self, sequences: tuple[Rendered, ...]) -> list[list[int]]:
        """Return the ids of each unbroken run of trained tokens."""
        found: list[list[int]] = []
        for sequence in sequences:
            run: list[int] = []
            for label in [*sequence.labels, NOT_TRAINED]:
                if label != NOT_TRAINED:
                    run.append(label)
                elif run:
                    found.append(run)
                    run = []
        return found

    def trained(self, *messages: Message, tools: bool = False) -> str:
        """Return the trained text of a row."""
        return " ".join(self.text(turn) for turn in self.turns(self.render(*messages, tools=tools)))

    @property
    def tools(self) -> bool:
        """Whether the template carries tools at all."""
        try:
            self.prompt(ASKED, tools=True)
        except DataError:
            return False
        return True

    def carries(self, *messages: Message, tools: bool = False) -> Finding:
        """Prove that nothing of a row is left out."""
        sequences = self.render(*messages, tools=tools)
        left_out = {WORDS[drop.kind] for drop in sequences[0].left_out}
        shown = self.text(sequences[0].input_ids)
        if left_out:
            return failed(f"left out: {', '.join(sorted(left_out))}", shown[-120:])
        if sequences[0].untrainable_turns:
            return failed("the template never prompts for the reply", shown[-120:])
        return passed("written whole", self.trained(*messages, tools=tools))


def _texts(subject: Subject) -> Finding:
    return subject.carries(ASKED, SUNNY, {**AGAIN, "content": _EXACT}, {**RAINY, "content": _EXACT})


def _system(subject: Subject) -> Finding:
    return subject.carries(SYSTEM, ASKED, SUNNY)


def _later_system(subject: Subject) -> Finding:
    return subject.carries(SYSTEM, ASKED, SUNNY, LATER, AGAIN, RAINY)


def _reasoning(subject: Subject) -> Finding:
    return subject.carries(ASKED, THOUGHT)


def _calls(subject: Subject) -> Finding:
    return subject.carries(ASKED, CALL, tools=True)


def _beside(subject: Subject) -> Finding:
    return subject.carries(ASKED, {**CALL, "content": "I look it up."}, tools=True)


def _parallel(subject: Subject) -> Finding:
    return subject.carries(ASKED, CALLS, tools=True)


def _results(subject: Subject) -> Finding:
    first = subject.carries(ASKED, CALL, RESULT, SUNNY, tools=True)
    if first.status == "fail":
        return first
    try:
        shown = subject.text(subject.prompt(ASKED, CALLS, SECOND, RESULT, tools=True))
    except DataError as error:
        if "tool result" in error.what:
            return failed(f"of two results: {error.what}")
        return passed(f"one result is written whole; of two calls at once: {error.what}")
    if not 0 <= shown.find("18 degrees") < shown.find("25 degrees"):
        return failed("two results do not stand in the order of their calls", shown[-120:])
    return passed("written whole, two of them in the order of their calls")


def _with_tools(prove: Callable[[Subject], Finding]) -> Callable[[Subject], Finding]:
    return lambda subject: prove(subject) if subject.tools else Finding("n/a", "the template carries no tools")


def _masks(subject: Subject) -> Finding:
    turns = [subject.text(turn) for turn in subject.turns(subject.render(ASKED, SUNNY, AGAIN, RAINY))]
    for reply in (SUNNY, RAINY):
        count = sum(turn.count(reply["content"]) for turn in turns)
        if count != 1:
            return failed(f"a reply is trained {count} times", " | ".join(turns))
    if any(asked["content"] in turn for turn in turns for asked in (ASKED, AGAIN)):
        return failed("a question is trained", " | ".join(turns))
    return passed("each reply is trained once, and nothing else", " | ".join(turns))


def _stop(subject: Subject) -> Finding:
    ends = set(subject.renderer.stop_token_ids)
    replies = subject.turns(subject.render(ASKED, SUNNY, AGAIN, RAINY))
    if subject.tools:
        replies += subject.turns(subject.render(ASKED, CALL, tools=True))
    if not replies:
        return failed("no reply can be trained, so none has an end")
    for turn in replies:
        if turn[-1] not in ends:
            return failed("a reply does not end with a token that ends generation", subject.text(turn))
        if ends & set(turn[:-1]) - {subject.tokenizer.eos_token_id}:
            return failed("a reply holds an end before its end", subject.text(turn))
    names = sorted({str(subject.tokenizer.convert_ids_to_tokens(turn[-1])) for turn in replies})
    return passed(f"a reply ends with {' or '.join(names)}, trained once", subject.text(replies[0]))


def _bos(subject: Subject) -> Finding:
    bos = subject.tokenizer.bos_token_id
    if bos is None or bos == subject.tokenizer.eos_token_id:
        return Finding("n/a", "the tokenizer has no token of beginning of its own")
    rows = [subject.render(ASKED, SUNNY)[0]]
    if subject.tools:
        rows.append(subject.render(ASKED, CALL, tools=True)[0])
    counts = [row.input_ids.count(bos) for row in rows]
    begins = [row.input_ids[0] == bos for row in rows]
    wants = subject.tokenizer("x", add_special_tokens=True)["input_ids"][:1] == [bos]
    # SmolLM2's <|im_start|> is also its token of beginning: it stands once a turn, and is doubled where two follow each other.
    longer = subject.render(ASKED, SUNNY, AGAIN, RAINY)
    turns = max(one.input_ids.count(bos) for one in longer) - counts[0]
    doubled = any(pair == (bos, bos) for row in rows for pair in itertools.pairwise(row.input_ids))
    if doubled or (turns <= 0 and max(counts) > 1):
        return failed(f"{max(counts)} tokens of beginning", subject.text(rows[0].input_ids[:8]))
    if len(set(begins)) > 1:
        return failed("rows with tools begin in another way than rows without", subject.text(rows[0].input_ids[:8]))
    if wants and not begins[0]:
        return failed("the template does not write it, though the tokenizer begins texts with it")
    if turns > 0:
        return passed("once a turn, which it opens")
    return passed("once, at the beginning" if begins[0] else "never: the template does not write it")


def _prefix(subject: Subject) -> Finding:
    conversation = [ASKED, SUNNY, AGAIN, RAINY]
    sequences = subject.render(*conversation)
    for turn, sequence in ((3, sequences[0]), (1, sequences[-1])):
        prompt = subject.prompt(*conversation[:turn])
        if sequence.input_ids[: len(prompt)] != prompt:
            return failed("a prompt of inference is not what its reply was trained behind", subject.text(prompt)[-120:])
    if sum(sequence.trained_tokens > 0 for sequence in sequences) > 1:
        return passed("prompts are what was trained; earlier turns are rewritten, so each gets a sequence of its own")
    return passed("prompts are what was trained; earlier turns stay as they were, so one sequence trains all")


def _turns(subject: Subject) -> Finding:
    missing = subject.render(ASKED, SUNNY, AGAIN, RAINY)[0].untrainable_turns
    if subject.tools:
        missing += subject.render(ASKED, CALL, RESULT, SUNNY, tools=True)[0].untrainable_turns
        missing += subject.render(ASKED, {**CALL, "reasoning_content": "Look."}, RESULT, SUNNY, tools=True)[
            0
        ].untrainable_turns
    if missing:
        return failed(f"{missing} of them cannot")
    return passed("every reply to a question or a result is trained")


def _parser(subject: Subject) -> Finding:
    sequences = subject.render(ASKED, CALL, tools=True)
    ends = set(subject.renderer.stop_token_ids)
    ids = subject.turns(sequences)[0]
    written = subject.text(ids[:-1] if ids[-1] in ends else ids)
    content, calls = subject.renderer.parse_reply(written)[:2]
    if [(call["name"], call["arguments"]) for call in calls] != [("get_weather", _ARGUMENTS)]:
        return failed("the call that the template writes is not read back", written)
    if content.strip():
        return failed("something of the call is left in the text", content)
    return passed("the call that the template writes is read back", written)


def _forged(subject: Subject) -> Finding:
    added = sorted(token.content for token in subject.tokenizer.added_tokens_decoder.values())
    forged = {**ASKED, "content": " ".join(["Hi", *added])}
    plain, other = (_control(subject, subject.prompt(message)) for message in (ASKED, forged))
    if plain != other:
        return failed("a control token that a person wrote becomes one", subject.text(subject.prompt(forged))[:120])
    shown = subject.text(subject.prompt(ASKED))
    behind = shown[shown.find(ASKED["content"]) + len(ASKED["content"]) :]
    if not any(token.content in behind for token in subject.tokenizer.added_tokens_decoder.values()):
        return failed("turns are marked by ordinary text, which anybody can write", behind)
    return passed("control tokens that a person writes stay text")


def _control(subject: Subject, ids: list[int]) -> list[int]:
    known = set(subject.renderer.control_ids)
    return [identifier for identifier in ids if identifier in known]


PROOFS: tuple[tuple[str, str, Callable[[Subject], Finding]], ...] = (
    ("texts", "Questions and replies are written whole.", _texts),
    ("system", "A system text is written whole.", _system),
    ("later system", "So is one in the middle of a conversation.", _later_system),
    ("reasoning", "The reasoning of a reply is trained.", _reasoning),
    ("calls", "Schemas and calls of tools are written whole.", _calls),
    ("text beside", "Text beside a call is written whole.", _with_tools(_beside)),
    ("parallel", "Two calls at once are written whole.", _with_tools(_parallel)),
    ("results", "Results of tools are written whole, in the order of their calls.", _with_tools(_results)),
    ("masks", "Replies are trained once, and nothing else is.", _masks),
    ("stop", "A reply ends with a token that ends generation, trained once.", _stop),
    ("BOS", "The token of beginning stands once.", _bos),
    ("prefix", "The prompt of inference is what a reply was trained behind.", _prefix),
    ("turns", "Every reply to a question or a result can be trained.", _turns),
    ("parser", "What the template writes for a call is read back as one.", _with_tools(_parser)),
    ("forged", "Nothing that a person writes becomes a control token.", _forged),
)
