"""What the Capture panel says about a recording: its state, calls, sums, client forms and code. No widget, no thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shadownb.errors import ConfigError

from ._stores import counted, dollars

PAGE = 20
TOKEN = "{token}"
"""Where a client form holds the token; the page fills it in, so that no trait ever does."""

MARKER = "ShadowNB capture"
RULES = ("email", "phone", "card", "iban", "address", "key")
DEFAULTS: dict[str, Any] = {
    "url": "https://api.openai.com/v1",
    "model": "",
    "api_key_env": "",
    "name": "",
    "redact": [],
    "process": False,
}
STATUS_WORDS = {"ok": "ok", "error": "failed", "cut": "cut off", "client_gone": "client left", "unread": "not readable"}

_TITLE = 120
_SHOWN_MODELS = 8
_SHOWN_TEXT = 4000


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's values with their types held; unknown ones are left out."""
    found: dict[str, Any] = {}
    for name in DEFAULTS:
        if name not in values:
            continue
        value = values[name]
        if name == "redact":
            found[name] = [rule for rule in RULES if rule in value]
        elif name == "process":
            found[name] = bool(value)
        else:
            found[name] = _without_key(name, str(value).strip())
    return found


def _without_key(name: str, text: str) -> str:
    """Return what a field may hold: the form is a trait, and a saved notebook holds those. A pasted key is refused unrepeated."""
    from shadownb.engine.capture.spellings import Spellings
    from shadownb.engine.capture.target import shown

    clean = shown(text) if name == "url" and "@" in text else Spellings().clean_text(text)
    if clean != text:
        field = {"url": "The URL", "api_key_env": "The name of the key's variable"}.get(name, f"The field {name}")
        raise ConfigError(
            f"{field} holds a key or a password, which a saved notebook would keep.",
            fix="Put the key into an environment variable, and name that variable.",
        )
    return text


def options_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``capture`` that a form stands for, without target and model.

    Raises
    ------
    ConfigError
        There is nothing to record against.
    """
    if not form["url"] and not form["model"]:
        raise ConfigError(
            "There is nothing to record against.",
            fix="Give the base URL of a model's API, choose a loaded model, or both.",
        )
    if form["process"] and form["model"]:
        raise ConfigError(
            "A loaded model answers in this kernel, so its recording cannot outlive it.",
            fix='Switch "Keep recording when the kernel ends" off, or record a URL alone.',
        )
    options = {"name": form["name"], "api_key_env": form["api_key_env"], "redact": list(form["redact"])}
    return {name: value for name, value in options.items() if value}


def clients(base_url: str, root_url: str) -> list[dict[str, str]]:
    """Return how clients are pointed at a recording, in three forms; ``{token}`` stands for the token."""
    environment = {
        "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": TOKEN, "ANTHROPIC_BASE_URL": root_url, "ANTHROPIC_API_KEY": TOKEN,
    }  # fmt: skip
    return [
        {
            "id": "environment",
            "title": "Environment",
            "code": "\n".join(f"export {k}={v}" for k, v in environment.items()),
        },
        {
            "id": "openai",
            "title": "openai client",
            "code": f'from openai import OpenAI\n\nclient = OpenAI(base_url="{base_url}", api_key="{TOKEN}")',
        },
        {
            "id": "anthropic",
            "title": "anthropic client",
            "code": f'from anthropic import Anthropic\n\nclient = Anthropic(base_url="{root_url}", api_key="{TOKEN}")',
        },
    ]


def code_of(form: Mapping[str, Any], model_name: str | None, capture_id: str | None) -> dict[str, str]:
    """Return what does the same in a cell, as a magic and in a shell; for a running capture, how to reach it again."""
    if capture_id is not None:
        return {
            "python": f'import shadownb as snb\n\nstore = snb.captures.open("{capture_id}")\nstore.calls(limit=20, '
            f'newest_first=True)\ndata = snb.Dataset.from_captures(store)\n# snb.captures.find("{capture_id}").stop()',
            "magic": f"%shadow capture export {capture_id} --to calls.jsonl",
            "shell": f"shadownb capture status {capture_id}",
        }
    options = [f"{n}={form[n]!r}".replace("'", '"') for n in ("api_key_env", "name", "redact") if form[n]]
    flags = "".join(
        f" {flag} {form[name]}"
        for name, flag in (("api_key_env", "--api-key-env"), ("name", "--as-name"))
        if form[name]
    ) + "".join(f" --redact {rule}" for rule in form["redact"])
    target = json.dumps(form["url"]) if form["url"] else ""
    if form["process"]:
        python = f"import shadownb as snb\n\nproxy = snb.captures.start({', '.join([target, *options])})"
    else:
        given = [x for x in (target, (f"model={model_name}" if target else model_name) if model_name else "") if x]
        python = f"import shadownb as snb\n\nproxy = snb.capture({', '.join([*given, *options])}).start()"
    start = f"capture start {form['url']}".rstrip()
    magic = f"%shadow {start}{f' --model {model_name}' if model_name else ''}{flags}"
    found = {"python": f"{python}\nproxy.base_url"}
    if model_name is None or "." not in model_name:  # what a Studio holds is no variable
        found["magic"] = magic
    return found if model_name else {**found, "shell": f"shadownb {start}{flags}"}


def describe(store: Any, recorder: Any, elsewhere: bool) -> dict[str, Any]:
    """Return where a store is recorded to and from; ``recorder`` is its handle or None."""
    facts = store.files.facts
    running = recorder is not None and recorder.is_running
    return {
        "stage": "recording" if running else "elsewhere" if elsewhere else "stopped",
        "id": store.id,
        "target": facts.get("target"),
        "model": facts.get("model"),
        "key_from": facts.get("key_from"),
        "redact": facts.get("redact") or [],
        "started_at": facts.get("started_at"),
        "folder": str(store.path),
        "base_url": recorder.base_url if running else "",
        "clients": clients(recorder.base_url, recorder.root_url) if running else [],
        "process": type(recorder).__name__ == "CaptureProcess",
    }


def totals_of(store: Any, recorder: Any) -> dict[str, Any]:
    """Return sums over all calls, and what the recorder counts beside them."""
    found = store.summary()
    models = sorted(found.pop("models").items(), key=lambda item: -item[1]["calls"])
    shown = [{"name": name or "(none)", **sums} for name, sums in models[:_SHOWN_MODELS]]
    counters = getattr(recorder, "counters", None) or {}
    return {
        **found,
        "models": shown,
        "more_models": max(0, len(models) - _SHOWN_MODELS),
        **{name: counters.get(name) or 0 for name in ("active", "refused", "failed")},
        "last_error": counters.get("last_error") or "",
    }


def row_of(call: Any) -> dict[str, Any]:
    """Return a call as one line of the list; reads no bodies."""
    usage = call.usage or {}
    return {
        "seq": call.seq,
        "id": call.id,
        "at": call.started_at,
        "model": call.model,
        "status": call.status,
        "words": STATUS_WORDS.get(call.status, call.status),
        "http": call.http_status,
        "route": call.route,
        "stream": call.stream,
        "tokens_in": usage.get("prompt_tokens"),
        "tokens_out": usage.get("completion_tokens"),
        "cost": call.cost,
        "seconds": call.duration_s,
        "title": call.title[:_TITLE],
    }


def detail_of(call: Any) -> dict[str, Any]:
    """Return one call for the page: its facts, the end of what was asked, the answer, and its error as a card."""
    from shadownb.engine.trajectories.identity import calls_of, message_text

    asked, answer = call.messages, call.response_message or {}
    last = message_text(asked[-1]) if asked else ""
    text = message_text(answer) or ("" if call.choices else call.response_body[:_SHOWN_TEXT].decode("utf-8", "replace"))
    return {
        **row_of(call),
        "session": call.session,
        "dialect": call.dialect,
        "finish_reason": call.finish_reason,
        "first_byte": call.first_byte_s,
        "retry_of": call.retry_of,
        "usage": {k: v for k, v in (call.usage or {}).items() if isinstance(v, int)},
        "messages": len(asked),
        "asked": _cut(last),
        "answer": _cut(text),
        "tools": [{"name": c["name"], "arguments": _cut(_as_text(c["arguments"]))} for c in calls_of(answer)],
        "error": _card(call),
        "code": f'import shadownb as snb\n\ncall = snb.captures.open("{call.store.id}").find("{call.id}")\n'
        "call.messages, call.response_message",
    }


def _card(call: Any) -> dict[str, Any] | None:
    # A store of an earlier version does not mark what cannot be read.
    status = "unread" if call.status == "ok" and call.unread else call.status
    if status == "ok":
        return None
    said = str((call.error or {}).get("message") or call.unread or "")
    words = {
        "error": (
            f"The upstream answered {call.http_status}." if call.http_status else "The upstream gave no answer.",
            "The client got exactly this answer; whether it tries again is its choice.",
        ),
        "cut": ("The upstream broke off in the middle of its answer.", "What came is stored. It is never trained on."),
        "unread": (
            "The request or the answer cannot be read.",
            "It went through as it is, and its bytes are stored. It is in no episode and never trained on.",
        ),
        "client_gone": (
            "The client left before the answer was complete.",
            "What came is stored. It is never trained on.",
        ),
    }
    what, fix = words.get(status, (str(status), ""))
    return {"code": f"call-{status}".replace("_", "-"), "what": what, "why": _cut(said), "fix": fix}


def snapshot_text(state: Mapping[str, Any], totals: Mapping[str, Any]) -> str:
    """Return a recording as plain text: where from, how many calls, tokens, cost. No address, no token, no texts."""
    if not state.get("id"):
        return f"{MARKER}: none yet"
    words = {"recording": "recording", "elsewhere": "recording in another kernel", "stopped": "stopped"}
    upstream = " and ".join(str(x) for x in (state.get("target"), state.get("model")) if x)
    lines = [f"{MARKER} {state['id']}: {words.get(state['stage'], state['stage'])}, {counted(totals['calls'], 'call')}"]
    lines.append(f"  upstream  {upstream or '--'}")
    lines.append(f"  tokens    {totals['prompt_tokens']:,} in, {totals['completion_tokens']:,} out")
    unpriced = f", {counted(totals['unpriced'], 'call')} without a price" if totals.get("unpriced") else ""
    lines.append(f"  cost      {dollars(totals.get('cost'))}{unpriced}")
    bad = {STATUS_WORDS.get(k, k): n for k, n in totals["statuses"].items() if k != "ok" and n}
    if bad:
        lines.append("  trouble   " + ", ".join(f"{n:,} {name}" for name, n in bad.items()))
    lines += [f"  {m['name']}: {counted(m['calls'], 'call')}" for m in totals["models"]]
    return "\n".join(lines)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}… ({len(text):,} characters)"
