"""The tools that a request offers, in OpenAI's chat form: those that the client runs, however a dialect describes them.

Tools that the provider runs itself (web search, code execution, MCP servers) have no schema that a model could be trained on, and
what they return is never sent to the client. They are left out, and an answer that used one is not trained.
"""

from __future__ import annotations

from typing import Any

Tool = dict[str, Any]

_TEXT_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
# What clients of the Responses API run without being given a schema, by the name that its calls have here.
_RUN_BY_CLIENTS = ("local_shell", "shell", "apply_patch", "computer", "computer_use_preview")
_ANTHROPIC_RUNS = ("web_search", "web_fetch", "code_execution", "tool_search", "mcp_toolset", "advisor")


def function(name: Any, description: Any = None, parameters: Any = None) -> Tool:
    """Return a tool in chat form; what is None is left out."""
    given = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {key: value for key, value in given.items() if value is not None}}


def of_chat(tool: Tool) -> list[Tool]:
    """Return a tool of chat completions: a function, a custom tool, or one that a provider runs."""
    if isinstance(tool.get("function"), dict):
        return [tool]
    if isinstance(custom := tool.get("custom"), dict):
        return [_custom(custom)]
    if tool.get("type", "function") == "function" and isinstance(
        tool.get("name"), str
    ):  # flat, as in the Responses API
        return [_flat(tool)]
    return []


def of_responses(tool: Tool) -> list[Tool]:
    """Return a tool of the Responses API; a namespace has several."""
    kind = tool.get("type")
    if kind == "namespace":
        inner = tool.get("tools")
        return [
            each
            for one in (inner if isinstance(inner, list) else [])
            if isinstance(one, dict)
            for each in of_responses(one)
        ]
    if kind == "custom":
        return [_custom(tool)]
    if kind in _RUN_BY_CLIENTS:
        return [function("computer" if kind == "computer_use_preview" else kind)]
    return of_chat(tool)


def of_messages(tool: Tool) -> list[Tool]:
    """Return a tool of Anthropic's Messages; of those that it has trained its models on only the name is known."""
    if "input_schema" in tool:
        return [function(tool.get("name"), tool.get("description"), tool["input_schema"])]
    if str(tool.get("type")).startswith(_ANTHROPIC_RUNS) or not isinstance(tool.get("name"), str):
        return []
    return [function(tool["name"], tool.get("description"))]


def _flat(tool: Tool) -> Tool:
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _custom(tool: Tool) -> Tool:
    """Return a tool that takes free text, as one whose only argument is that text: so its calls read here."""
    return function(tool.get("name"), tool.get("description"), _TEXT_INPUT)
