"""Generated text taken apart: reasoning, content and tool calls, each as its model's template writes them.

What was looked at before writing this, and what each lacks: the parser in transformers (``tokenizer.parse_response``) raises
at the first call that cannot be decoded, so that the whole reply is lost, and takes a call in a code fence for a call; trl
finds its response templates by the exact text of a chat template, and those for Python-style calls read ``False`` as text
and no escapes. llama.cpp's parser has no Python interface. So the markup is read here, by one reader for whole replies and
for streams.
"""

from shadownb.engine.replies.channels import ChannelReader
from shadownb.engine.replies.decoders import BadCall
from shadownb.engine.replies.families import Frame, Markup, choose_markup
from shadownb.engine.replies.parts import ParsedReply, Part, Reader, TextReader, collected
from shadownb.engine.replies.reader import MarkupReader
from shadownb.engine.replies.registry import ReplyParser, WholeReader, parsers, register_parser

__all__ = [
    "BadCall",
    "ChannelReader",
    "Frame",
    "Markup",
    "MarkupReader",
    "ParsedReply",
    "Part",
    "Reader",
    "ReplyParser",
    "TextReader",
    "WholeReader",
    "choose_markup",
    "collected",
    "open_reader",
    "parse_reply",
    "parsers",
    "register_parser",
]


def open_reader(
    markup: Markup, *, tail: str = "", tools: list[dict[str, object]] | None = None, calls: bool = True
) -> Reader:
    """Return the reader of one reply.

    Parameters
    ----------
    tail
        The end of the prompt: where it opens the reasoning, the reply begins inside it.
    tools
        The schemas that were offered; they give arguments their types. None where they are not known, empty where none were.
    calls
        False leaves calls in the content as they were written.
    """
    if calls and parsers():
        return WholeReader(markup, tail=tail, tools=tools)
    make = ChannelReader if markup.channels else MarkupReader
    return make(markup, tail=tail, tools=tools, calls=calls)


def parse_reply(
    text: str,
    markup: Markup | None = None,
    *,
    tail: str = "",
    tools: list[dict[str, object]] | None = None,
    calls: bool = True,
) -> ParsedReply:
    """Take a whole reply apart; without a markup as Hermes and Qwen write it. Parameters as :func:`open_reader` has them."""
    reader = open_reader(markup or choose_markup(""), tail=tail, tools=tools, calls=calls)
    parts = [*reader.feed(text), *reader.finish()]
    return collected(parts, reasoning_open=reader.reasoning_open)
