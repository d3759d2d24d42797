"""How a trajectory and a group look in a cell: a conversation, tool calls and system text folded, on light and dark pages.

Plain HTML: no script, no style sheet, colours inherited and lines translucent. Everything that was recorded is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import facts_html
from shadownb.engine.trajectories.identity import calls_of, message_text, reasoning_of, role_of

if TYPE_CHECKING:
    from shadownb.engine.trajectories.group import TrajectoryGroup
    from shadownb.engine.trajectories.trajectory import Trajectory

SHOWN_MESSAGES = 200
SHOWN_CHARACTERS = 20_000
SHOWN_ATTEMPTS = 20

_BOX = "color:inherit;max-width:100ch"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;color:inherit"
_CODE = f"{_TEXT};font-family:monospace;margin:.2em 0"
_TURN = "border-left:3px solid rgba(128,128,128,.45);padding:.15em .8em;margin:.5em 0;color:inherit"
_SAMPLED = _TURN.replace("rgba(128,128,128,.45)", "rgba(46,160,67,.8)")
_CELL = "border:1px solid rgba(128,128,128,.4);padding:.25em .6em;text-align:left;vertical-align:top;color:inherit"


def trajectory_html(trajectory: Trajectory) -> str:
    """Return the conversation with its facts above."""
    produced = set(trajectory.sampled_turns)
    shown = trajectory.messages[:SHOWN_MESSAGES]
    turns = "".join(_turn(message, index in produced) for index, message in enumerate(shown))
    more = len(trajectory.messages) - len(shown)
    rest = f"<p>and {more:,} more messages</p>" if more > 0 else ""
    label = escape(f"Conversation of {len(trajectory.messages)} messages", quote=True)
    return (
        f'<div style="{_BOX}">{facts_html("Trajectory", trajectory_facts(trajectory))}{_tools(trajectory)}'
        f'<div role="list" aria-label="{label}">{turns}</div>{rest}</div>'
    )


def trajectory_facts(trajectory: Trajectory) -> dict[str, str]:
    """Return what the table above a conversation says; what is not known is left out."""
    facts = {"messages": f"{len(trajectory.messages)}, {len(trajectory.assistant_turns)} of them answers"}
    if trajectory.calls:
        facts["recorded answers"] = str(len(trajectory.sampled_turns))
    if trajectory.tool_calls:
        facts["tool calls"] = str(len(trajectory.tool_calls))
    figures = [f"{name} {value:g}" for name, value in trajectory.metrics.items()]
    if trajectory.reward is not None:
        facts["reward"] = ", ".join([f"{trajectory.reward:g}", *figures])
    elif figures:
        facts["metrics"] = ", ".join(figures)
    if trajectory.models:
        facts["model"] = ", ".join(trajectory.models)
    usage = trajectory.usage
    if usage:
        facts["tokens"] = ", ".join(f"{count:,} {name.removesuffix('_tokens')}" for name, count in usage.items())
    if trajectory.cost is not None:
        facts["cost"] = f"${trajectory.cost:.4f}"
    if trajectory.duration_s is not None:
        facts["time"] = f"{trajectory.duration_s:.1f} s"
    return facts | {name: _short(value) for name, value in trajectory.metadata.items()}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:199] + "…"


def _tools(trajectory: Trajectory) -> str:
    tools = trajectory.tools or []
    if not tools:
        return ""
    body = "".join(f'<pre style="{_CODE}">{_code(tool.get("function", tool))}</pre>' for tool in tools)
    count = f"{len(tools)} tool{'' if len(tools) == 1 else 's'}"
    return f'<details style="{_TURN}"><summary>{count} offered</summary>{body}</details>'


def _turn(message: Mapping[str, Any], produced: bool) -> str:
    role = role_of(message)
    name = f" {escape(str(message['name']))}" if message.get("name") else ""
    text = message_text(message)
    body = f'<div style="{_TEXT}">{_clip(text)}</div>' if text else ""
    unseen = _not_text(message)
    if role in ("system", "tool"):
        body = f"<details><summary>{_summary(text)}</summary>{body}</details>" if body else ""
    reasoning = reasoning_of(message)
    if reasoning:
        body = f'<details><summary>reasoning</summary><div style="{_TEXT}">{_clip(reasoning)}</div></details>{body}'
    calls = "".join(
        f"<details><summary>calls <code>{escape(call['name'])}</code></summary>"
        f'<pre style="{_CODE}">{_code(call["arguments"])}</pre></details>'
        for call in calls_of(message)
    )
    mark = " (recorded)" if produced else ""
    head = f'<span style="opacity:.75;font-size:.9em">{escape(role)}{name}{mark}</span>'
    return f'<div role="listitem" style="{_SAMPLED if produced else _TURN}">{head}{body}{unseen}{calls}</div>'


def _not_text(message: Mapping[str, Any]) -> str:
    parts = message.get("content")
    if not isinstance(parts, (list, tuple)):
        return ""
    kinds = [
        str(part.get("type")) for part in parts if isinstance(part, Mapping) and not message_text({"content": [part]})
    ]
    others = [kind for kind in kinds if kind not in ("text", "thinking", "redacted_thinking", "reasoning")]
    return f"<em>[{escape(', '.join(others))}]</em>" if others else ""


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return _clip(text)


def _clip(text: str) -> str:
    if len(text) <= SHOWN_CHARACTERS:
        return escape(text)
    return f"{escape(text[:SHOWN_CHARACTERS])} … <em>{len(text) - SHOWN_CHARACTERS:,} more characters</em>"


def _summary(text: str) -> str:
    line = " ".join(text.split())
    return escape(line if len(line) <= 80 else line[:79] + "…")


def _reward(attempt: Trajectory) -> str:
    return "none" if attempt.reward is None else f"{attempt.reward:g}"


def group_html(group: TrajectoryGroup) -> str:
    """Return a table of the attempts, each with its conversation folded below it."""
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL}">{number}</th><td style="{_CELL}">{_reward(attempt)}</td>'
        f'<td style="{_CELL}">{advantage:+.2f}</td><td style="{_CELL}"><details><summary>'
        f"{_summary(attempt.final_content()) or '(no text)'}</summary>{trajectory_html(attempt)}</details></td></tr>"
        for number, (attempt, advantage) in enumerate(zip(group, group.advantages(), strict=True))
        if number < SHOWN_ATTEMPTS
    )
    names = ("", "reward", "advantage", "last answer")
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in names)
    more = f"<p>and {len(group) - SHOWN_ATTEMPTS:,} more attempts</p>" if len(group) > SHOWN_ATTEMPTS else ""
    title = f"<strong>{len(group)} attempts</strong>" + (f" at: {_summary(group.task)}" if group.task else "")
    return (
        f'<div style="{_BOX}"><p>{title}</p><table style="border-collapse:collapse;background:none" '
        f'aria-label="Attempts at one task"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}</div>'
    )
