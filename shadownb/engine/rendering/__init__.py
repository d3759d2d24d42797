"""One renderer for training and inference: chat templates, loss masks, tool markup, the token inspector."""

from shadownb.engine.rendering.inspect import Inspection
from shadownb.engine.rendering.masks import LossOn, Rendered
from shadownb.engine.rendering.renderer import Renderer
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.engine.replies import ParsedReply, ReplyParser, parse_reply, register_parser

__all__ = [
    "Inspection",
    "LossOn",
    "ParsedReply",
    "Rendered",
    "Renderer",
    "ReplyParser",
    "Tokenizer",
    "parse_reply",
    "register_parser",
]
