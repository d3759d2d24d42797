"""Code of several languages as text: which function it defines, what stands before it, what its braces hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FENCES: Mapping[str, tuple[str, ...]] = {
    "cpp": ("cpp", "c++", "cc", "cxx", "c"),
    "go": ("go", "golang"),
    "java": ("java",),
    "js": ("js", "javascript", "node", "ecmascript"),
    "pl": ("pl", "perl"),
    "rs": ("rs", "rust"),
    "sh": ("sh", "bash", "shell"),
    "ts": ("ts", "typescript"),
}
"""Marks of a language's code fences."""

# Words and blanks never match in two ways: a model may write thousands of blanks.
_DEFINES: Mapping[str, str] = {
    "cpp": r"^[ \t]*(?!return\b|else\b)(?:(?:[\w:<>,&*]+\s+)+[&*]*|(?:[\w:<>,&*]+\s+)*[\w:<>,&*]*[>&*]){name}"
    r"\s*\([^;{{]*\)[^;{{]*\{{",
    "go": r"^func\s+{name}\s*\(",
    "java": r"^[ \t]*(?!return\b|new\b)(?:[\w<>\[\],.?@]+[ \t]+)+{name}\s*\([^;{{]*\)[^;{{]*\{{",
    "js": r"^[ \t]*(?:(?:const|let|var)\s+{name}\s*=|(?:async\s+)?function\s*\*?\s*{name}\s*\()",
    "ts": r"^[ \t]*(?:export\s+)?(?:(?:const|let|var)\s+{name}\s*[:=]|(?:async\s+)?function\s*\*?\s*{name}\s*[<(])",
    "pl": r"^[ \t]*sub\s+{name}\b",
    "rs": r"^[ \t]*(?:pub\s+)?fn\s+{name}\b",
    "sh": r"^[ \t]*(?:function\s+)?{name}\s*\(\)",
}


def _definitions(language: str, code: str, name: str) -> list[re.Match[str]]:
    """Return where code defines a function; comments are out of sight, for examples in them look like code."""
    comment = r"#[^\n]*" if language in ("pl", "sh") else r"/\*.*?\*/|//[^\n]*"
    bare = re.sub(comment, lambda found: re.sub(r"[^\n]", "\0", found[0]), code, flags=re.DOTALL)
    return list(re.finditer(_DEFINES[language].format(name=re.escape(name)), bare, re.MULTILINE))


def defines(language: str, code: str, name: str) -> bool:
    """Whether code defines a function."""
    return bool(_definitions(language, code, name))


def last_function(language: str, prompt: str) -> str:
    """Return the name of the function that a prompt begins: the last that it defines; empty where it defines none."""
    for name in reversed(re.findall(r"(\w+)\s*(?:=\s*)?(?:\(|\{|<)", prompt)):
        if defines(language, prompt, name):
            return str(name)
    return ""


def head_of(language: str, prompt: str, name: str) -> str:
    """Return what of a prompt stands before its function: imports, helpers, an opened class."""
    found = _definitions(language, prompt, name)
    return prompt[: found[-1].start()] if found else ""


def body_of(language: str, code: str, tests: str, name: str) -> str:
    """Return what of code goes on from a prompt that has opened the function: of a whole function what its braces hold.

    The closing brace is left out where the tests begin with it.
    """
    found = next(iter(_definitions(language, code, name)), None)
    if found is None:
        return code
    opened = code.find("{", found.end() - 1)
    arrow = code.find("=>", found.end())
    begin = code.find("{", arrow) if language in ("js", "ts") and "=" in found[0] and arrow >= 0 else opened
    end, depth = len(code), 0
    for place in range(begin, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        if depth == 0:
            end = place + 1
            break
    # What stands behind the function belongs to the program, too: helpers that it calls.
    behind = code[end:] if language not in ("java",) else ""
    closes = tests.lstrip().startswith("}")
    return code[begin + 1 : end - 1] + ("" if closes else "}" + behind)


def text_of(row: Mapping[str, Any]) -> str:
    """Return the texts of an item in which the libraries stand that it needs."""
    return "\n".join(str(row.get(key, "")) for key in ("prompt", "canonical_solution", "test", "tests"))
