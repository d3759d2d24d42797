"""MarkupReader: takes a reply apart while it is written, at the markers of its family.

What it hands out is final, and the same in whatever pieces the text comes: the beginning of a marker is held back, a call is
held until it is whole, and white space until it is known whether content or a call follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from shadownb.engine.replies.decoders import BadCall, Call
from shadownb.engine.replies.families import Frame, Markup, Span
from shadownb.engine.replies.parts import Part, call_id
from shadownb.engine.replies.schema import Tools, names_of, typed
from shadownb.engine.replies.texts import Code, Flow, held_back, inside_string

_BARE_JSON = ('{"name":"', '{"type":"function"', '{"function":', '[{"name":"')


class MarkupReader:
    """Reads replies whose reasoning and calls stand between markers.

    Attributes
    ----------
    reasoning_open
        Whether the text so far ends inside the reasoning.
    """

    def __init__(self, markup: Markup, *, tail: str = "", tools: Tools = None, calls: bool = True) -> None:
        self._tools = tools
        self._names = names_of(tools)
        self._frames = {frame.open: frame for frame in markup.frames} if calls else {}
        self._spans = {span.open: span for span in markup.reasoning}
        self._hidden = markup.hidden
        # Without a marker only the tools that were offered tell a call from an answer in JSON.
        self._bare = markup.bare if calls and tools != [] else None
        self._text = ""
        self._content, self._thoughts = Flow(), Flow()
        self._code = Code()
        self._span = markup.begins_inside(tail)
        self._may_repeat = True
        self._frame: Frame | None = None
        self._undecided = self._bare is not None
        self._calls = 0
        self._parts: list[Part] = []
        if self._span is not None:
            self._content.marked = self._thoughts.marked = True

    @property
    def reasoning_open(self) -> bool:
        return self._span is not None

    def feed(self, text: str) -> list[Part]:
        self._text += text
        while self._step(ended=False):
            pass
        return self._taken()

    def finish(self) -> list[Part]:
        while self._step(ended=True):
            pass
        self._say("content", self._content.end())
        self._say("reasoning", self._thoughts.end())
        return self._taken()

    def _taken(self) -> list[Part]:
        parts, self._parts = self._parts, []
        return parts

    def _step(self, *, ended: bool) -> bool:
        """Do one thing; False where nothing can be done until more text comes."""
        if not self._text:
            return False
        if self._frame is not None:
            return self._read_call(self._frame, ended)
        if self._span is not None:
            return self._read_reasoning(self._span, ended)
        if self._undecided and (done := self._read_bare(ended)) is not None:
            return done
        return self._read_content(ended)

    # -- content --------------------------------------------------------------------------------------------------

    def _markers(self) -> list[str]:
        first = self._content.started or self._calls
        spans = [mark for mark, span in self._spans.items() if not (span.first and first)]
        return [*self._frames, *spans, *self._hidden]

    def _read_content(self, ended: bool) -> bool:
        markers = self._markers()
        found = min(((at, -len(m), m) for m in markers if (at := self._text.find(m)) >= 0), default=None)
        if found is None:
            keep = 0 if ended else held_back(self._text, markers)
            return self._add_content(len(self._text) - keep) and False
        at, _, mark = found
        if at:
            self._add_content(at)
            return True  # what was said may have changed which markers count
        if self._code.open:
            self._add_content(len(mark))
        elif mark in self._hidden:
            self._text = self._text[len(mark) :]
            self._content.marked = True
        elif mark in self._spans:
            self._text = self._text[len(mark) :]
            self._span = self._spans[mark]
            self._may_repeat = not self._thoughts.started
            self._content.marked = self._thoughts.marked = True
            self._thoughts.again()
        else:
            self._frame = self._frames[mark]
        return True

    def _add_content(self, size: int) -> bool:
        piece, self._text = self._text[:size], self._text[size:]
        self._code.add(piece)
        self._say("content", self._content.add(piece))
        return bool(piece)

    # -- reasoning ------------------------------------------------------------------------------------------------

    def _read_reasoning(self, span: Span, ended: bool) -> bool:
        if self._may_repeat and not self._thoughts.started and self._text.lstrip().startswith(span.open):
            self._text = self._text.lstrip()[len(span.open) :]  # some repeat what the prompt has opened already
            self._may_repeat = False  # once: whole and in pieces alike
        at = self._text.find(span.close)
        if at < 0:
            marks = [span.close, span.open] if self._may_repeat and not self._thoughts.started else [span.close]
            keep = 0 if ended else held_back(self._text, marks)
            end = len(self._text) - keep
            self._say("reasoning", self._thoughts.add(self._text[:end]))
            self._text = self._text[end:]
            return False
        self._say("reasoning", self._thoughts.add(self._text[:at]))
        self._thoughts.end()
        self._text = self._text[at + len(span.close) :]
        self._span = None
        return bool(self._text)

    # -- calls ----------------------------------------------------------------------------------------------------

    def _read_call(self, frame: Frame, ended: bool) -> bool:
        start = len(frame.open)
        body = self._text[start:]
        if self._mentioned(frame, body, ended):
            self._frame = None
            self._add_content(start)
            return True
        ends = [mark for mark in (frame.close, frame.open) if mark]
        at = self._end_of_body(body, ends, ended)
        if at is None:
            return False
        end, close = at
        text = self._text[: start + end + close]
        self._text = self._text[len(text) :]
        self._frame = None
        self._content.marked = True
        if frame.close and not close and end == len(body) and "<arg_key>" in body:
            # Other calls end by their own form; of these nobody knows whether more arguments were to come.
            self._parts.append(Part("malformed", text, reason="it breaks off before its end"))
        else:
            self._add_calls(text, body[:end], frame.decode)
        return True

    def _end_of_body(self, body: str, ends: list[str], ended: bool) -> tuple[int, int] | None:
        """Return where a call's body ends and how long the marker is that closes it; None where that is not known yet."""
        found = sorted((m.start(), mark) for mark in ends for m in re.finditer(re.escape(mark), body))
        for at, mark in found:
            if not inside_string(body[:at]):
                return at, 0 if mark == ends[-1] else len(mark)
        if not ended:
            return None
        if found:  # no string was meant to go on so far
            return found[0][0], 0 if found[0][1] == ends[-1] else len(found[0][1])
        cut = held_back(body, ends)  # the limit came within the closing marker
        return len(body) - cut, cut

    def _mentioned(self, frame: Frame, body: str, ended: bool) -> bool:
        """Whether a marker is only spoken of: in the middle of a line, with nothing behind it that a call begins with."""
        behind = body.lstrip()
        if not behind:
            return ended
        if frame.name != "hermes":  # other markers are tokens of their own, which nobody writes in passing
            return False
        if behind.startswith(frame.close):
            return not self._code.line_empty
        if behind[0] in "{[<" or (self._code.line_empty and (frame.close in body or "<arg_key>" in body)):
            return False
        return ended or not self._code.line_empty

    def _add_calls(self, text: str, body: str, decode: Callable[[str], list[Call]]) -> None:
        try:
            found = decode(body)
        except BadCall as error:
            self._parts.append(Part("malformed", text, reason=str(error)))
            return
        for number, (name, written) in enumerate(found):
            arguments = typed(name, written, self._tools)
            call = {"id": call_id(self._calls, name, arguments), "name": name, "arguments": arguments}
            self._parts.append(Part("call", "" if number else text, call))
            self._calls += 1

    # -- calls without a marker -----------------------------------------------------------------------------------

    def _read_bare(self, ended: bool) -> bool | None:
        """Read a reply that is nothing but calls; None where it is something else."""
        assert self._bare is not None
        begins = re.sub(r"\s", "", self._text)
        if self._content.started:
            self._undecided = False
            return None
        if begins[:1] not in ("{", "["):
            return None  # white space or reasoning may come first
        if not self._may_be_call(begins):
            self._undecided = False
            return None
        if not ended:
            return False
        self._undecided = False
        text = self._text
        calls: list[Call] = []
        reason = ""
        try:
            calls = self._bare(text)
        except BadCall as error:
            reason = str(error)
        known = self._names
        sure = all(name in known for name, _ in calls) if known else re.search(r'"(parameters|arguments)":|\(', begins)
        if calls and sure:
            self._text = ""
            self._content.marked = True
            self._add_calls(text, text, self._bare)
            return True
        if reason and any(f'"name":"{name}"' in begins or f"[{name}(" in begins for name in known):
            self._text = ""
            self._content.marked = True
            self._parts.append(Part("malformed", text, reason=reason))
            return True
        return None

    def _may_be_call(self, begins: str) -> bool:
        if re.match(r"\[[A-Za-z_][\w.]*(\(|$)|\[$", begins):
            return True
        return any(form.startswith(begins[: len(form)]) or begins.startswith(form) for form in _BARE_JSON)

    def _say(self, kind: str, text: str) -> None:
        if text:
            self._parts.append(Part("content" if kind == "content" else "reasoning", text))
