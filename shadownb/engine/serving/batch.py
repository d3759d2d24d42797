"""``batch()``: a file of requests in, a file of answers out, in the shape of OpenAI's batches; killed, it goes on where it was."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from shadownb.engine import live
from shadownb.engine.capture.dialects import by_path
from shadownb.engine.serving.serve import serve
from shadownb.engine.serving.server import Server
from shadownb.errors import BusyError, ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model
    from shadownb.engine.runs.handle import Run

_AGAIN = (408, 409, 425, 429, 499, 500, 502, 503, 504)  # what another try may answer


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to.

    Attributes
    ----------
    path
        The file of answers, one line of JSON each, in the order in which they came: ``custom_id``, ``response``
        (``status_code``, ``body``) and ``error``.
    total, completed, failed
        Lines in all; answered with status 200; with another.
    taken_over
        How many of them were there already.
    """

    path: Path
    total: int
    completed: int
    failed: int
    taken_over: int

    def __repr__(self) -> str:
        return (
            f"BatchResult({str(self.path)!r}, {self.completed} of {self.total} answered, {self.failed} failed, "
            f"{self.taken_over} were there)"
        )


def _title(requests: Any, *_: Any, **__: Any) -> str:
    return f"Answering {Path(str(requests)).name}"


def _outcome(result: BatchResult) -> str:
    failed = f", {result.failed} failed" if result.failed else ""
    return f"{result.completed:,} of {result.total:,} requests answered{failed}: {result.path}"


@live.shown(_title, _outcome)
def batch(
    requests: str | Path,
    answers: str | Path,
    model: Model | Run | Server | str | Path | None = None,
    *,
    at_once: int = 32,
    **options: Any,
) -> BatchResult:
    """Answer a file of requests, and write each answer as it comes. The same call again goes on where the last one ended.

    Parameters
    ----------
    requests
        JSON lines as OpenAI's batch API takes them: ``custom_id``, ``method`` (``POST``), ``url`` (``/v1/chat/completions``,
        ``/v1/completions``, ``/v1/responses``, ``/v1/messages`` or ``/v1/embeddings``) and ``body``.
    answers
        Where answers go. Lines that are there and answered are not asked again; those that another try may answer are.
    model
        What :func:`shadownb.serve` takes, or a running server. A body may leave ``model`` out.
    at_once
        How many requests are answered together.
    **options
        Of :func:`shadownb.serve`, for example ``engine``.

    Returns
    -------
    BatchResult
        Counts, and the path of the answers. A request that fails is a line with its error, and no error of the batch.

    Raises
    ------
    DataError
        A line is no request, or two have one ``custom_id``; before anything is asked.
    BusyError
        Another process writes to this file.

    Examples
    --------
    >>> import json, pathlib
    >>> body = {"messages": [{"role": "user", "content": "I paid twice."}], "temperature": 0}
    >>> line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    >>> _ = pathlib.Path("in.jsonl").write_text(json.dumps(line))
    >>> result = snb.batch("in.jsonl", "out.jsonl", model)
    >>> result.completed, result.failed
    (1, 0)
    >>> snb.batch("in.jsonl", "out.jsonl", model).taken_over
    1
    """
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise ConfigError(f"at_once={at_once!r} is out of range.", fix="Give a whole number from 1.")
    target = Path(answers).expanduser()
    asked = list(_read(Path(requests).expanduser()))
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"Another batch writes to {target}.", fix="Wait for it, or give another file.") from None
    try:
        there = _there(target)
        left = [each for each in asked if each["custom_id"] not in there]
        if left:
            _answer(left, target, model, at_once, options, len(asked))
        found = _there(target)
        known = [found[each["custom_id"]] for each in asked if each["custom_id"] in found]
        completed = sum(each == 200 for each in known)
        return BatchResult(target, len(asked), completed, len(asked) - completed, len(asked) - len(left))
    finally:
        lock.release()
        Path(f"{target}.lock").unlink(missing_ok=True)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the requests of a file. Raises :class:`DataError` for the first line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", fix="Give a file of JSON lines.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8.", fix="Give a file of JSON lines.") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        request = _request(line, f"{path.name}, line {number}")
        if (first := seen.setdefault(request["custom_id"], number)) != number:
            raise DataError(
                f"{path.name}, line {number}: custom_id {request['custom_id']!r} is that of line {first}.",
                fix="Give each line one of its own: answers are told apart by it.",
            )
        yield request


def _request(line: str, where: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(line)
    except ValueError:
        raise DataError(f"{where} is no JSON.", fix="Give one JSON object a line.") from None
    shape = isinstance(found, dict) and isinstance(found.get("custom_id"), str) and isinstance(found.get("body"), dict)
    if not shape or not found["custom_id"]:
        raise DataError(f"{where} has no custom_id, or no body.", fix="See OpenAI's batch API for the form of a line.")
    url = found.get("url")
    path = url.removeprefix("/v1") if isinstance(url, str) else ""
    if found.get("method", "POST") != "POST" or (by_path(path) is None and path != "/embeddings"):
        raise DataError(
            f"{where}: {found.get('method')} {url} cannot be answered here.", fix="Use POST and /v1/chat/completions."
        )
    if found["body"].get("stream"):
        raise DataError(f"{where} asks for a stream.", fix="Leave stream out of a batch.")
    return dict(found)


def _there(target: Path) -> dict[str, int]:
    """Return the status of each answer that a file has; one that another try may answer, or that was cut off, is taken out."""
    if not target.exists():
        return {}
    kept: list[bytes] = []
    found: dict[str, int] = {}
    raw = target.read_bytes()
    for line in raw.splitlines(keepends=True):
        try:
            answer = json.loads(line)
            identifier, status = str(answer["custom_id"]), int((answer["response"] or {}).get("status_code", 500))
        except (ValueError, KeyError, TypeError, AttributeError):
            if line.endswith(b"\n") and line.strip():
                raise DataError(
                    f"{target} has a line that is no answer of a batch.", fix="Give another file for the answers."
                ) from None
            continue  # the last one, broken off
        if status not in _AGAIN and line.endswith(b"\n"):
            kept.append(line)
            found[identifier] = status
    if b"".join(kept) != raw:
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(b"".join(kept))
        os.replace(part, target)
    return found


def _answer(
    left: list[dict[str, Any]], target: Path, model: Any, at_once: int, options: dict[str, Any], total: int
) -> None:
    if model is None:
        raise ConfigError("There is no model to ask.", fix="Give model=, what shadownb.serve takes.")
    server = model if isinstance(model, Server) else serve(model, at_once=at_once, **options)
    try:
        default = server.models[0]
        target.parent.mkdir(parents=True, exist_ok=True)
        writing = threading.Lock()
        done = total - len(left)
        with open(target, "ab") as file:

            def one(request: dict[str, Any], post: Callable[[str, Any], tuple[int, Any]]) -> None:
                nonlocal done
                status, body = post(request["url"], {"model": default, **request["body"]})
                line = json.dumps(_line(request["custom_id"], status, body), ensure_ascii=False) + "\n"
                with writing:
                    file.write(line.encode("utf-8", "replace"))
                    file.flush()
                    done += 1
                    live.tell(f"{done:,} of {total:,}")

            _all(left, server, at_once, one)
    finally:
        if server is not model:
            server.stop()


def _all(left: list[dict[str, Any]], server: Server, at_once: int, one: Callable[..., None]) -> None:
    """Ask all, some together; what stops the caller stops them."""
    import httpx

    limits = httpx.Limits(max_connections=at_once)
    headers = {"authorization": f"Bearer {server.token}"}
    with httpx.Client(trust_env=False, timeout=None, limits=limits, headers=headers) as web:

        def post(url: str, body: Any) -> tuple[int, Any]:
            try:
                answer = web.post(server.root_url + ("" if url.startswith("/v1") else "/v1") + url, json=body)
                return answer.status_code, answer.json()
            except (httpx.HTTPError, ValueError) as error:
                return 503, {"error": {"message": f"No answer: {type(error).__name__}.", "type": "server_error"}}

        stopped = threading.Event()

        def ask(request: dict[str, Any]) -> None:
            if not stopped.is_set():
                one(request, post)

        with ThreadPoolExecutor(at_once, thread_name_prefix="shadownb-batch") as threads:
            asking = [threads.submit(ask, request) for request in left]
            try:
                wait(asking)
                for each in asking:
                    each.result()
            finally:
                stopped.set()


def _line(identifier: str, status: int, body: Any) -> dict[str, Any]:
    error = body.get("error") if status != 200 and isinstance(body, dict) else None
    told = None if status == 200 else {"code": (error or {}).get("code"), "message": (error or {}).get("message")}
    mark = secrets.token_hex(8)
    return {
        "id": f"batch_req_{mark}",
        "custom_id": identifier,
        "response": {"status_code": status, "request_id": f"req_{mark}", "body": body},
        "error": told,
    }
