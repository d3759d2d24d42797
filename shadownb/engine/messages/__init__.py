"""Conversations in one form: canonical messages, tool calls and tool schemas, read from whatever form they come in."""

from shadownb.engine.messages.asked import conversations_of
from shadownb.engine.messages.calls import canonical_tool_calls, canonical_tools
from shadownb.engine.messages.canonical import ROLES, canonical_messages, is_message_list
from shadownb.engine.messages.texts import RowProblem

__all__ = [
    "ROLES",
    "RowProblem",
    "canonical_messages",
    "canonical_tool_calls",
    "canonical_tools",
    "conversations_of",
    "is_message_list",
]
