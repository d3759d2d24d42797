"""Programs of several languages put together from an item, an answer and the item's tests.

An answer goes on from the item's prompt, or defines the whole function again; models do either, whatever they are asked. What it
brings besides (a main of its own, a class around, imports) must neither be lost nor stand in the way of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shadownb.engine.evals.suites.coding.languages import defines, head_of

# What may stand at the top of a file alone.
_IMPORTS: Mapping[str, str] = {
    "cpp": r"^[ \t]*(?:#\s*include|using\s).*$",
    "java": r"^[ \t]*import\s.*$",
    "rs": r"^[ \t]*(?:use|extern crate)\s[^;]*;",
}
# What solutions and tests take for granted. No more: <cstring> brings a strlen of its own, which is called in the answer's place.
_CPP = "".join(
    f"#include<{name}>\n" for name in ("algorithm", "map", "math.h", "set", "stdio.h", "stdlib.h", "string", "vector")
)
_GO_PACKAGES = {
    "assert": "github.com/stretchr/testify/assert", "rand": "math/rand", "md5": "crypto/md5", "big": "math/big",
    "utf8": "unicode/utf8", "heap": "container/heap", "list": "container/list", "hex": "encoding/hex", "bits": "math/bits",
    **{name: name for name in ("bytes", "errors", "fmt", "math", "os", "reflect", "regexp", "sort", "strconv", "strings", "testing",
                               "time", "unicode")},
}  # fmt: skip
_CRATES = r"(?m)^[ \t]*use (?:rand|regex|md5)\b[^;]*;"  # not part of Rust; what needs one cannot be told here


def sources(
    language: str, prompt: str, code: str, tests: str, name: str, mark: str, *, goes_on: bool = False
) -> list[str]:
    """Return the programs that an answer may stand for, the likeliest first; the first that can be built is meant.

    Parameters
    ----------
    language
        A key of :data:`FENCES`.
    prompt
        What the answer may go on from, or the head of which a whole function needs.
    code
        The answer's code.
    tests
        What stands behind it: a closing brace first where the prompt's function is not closed by the answer.
    name
        The function's name.
    mark
        What is printed behind the last test.
    goes_on
        Whether it goes on from the prompt as it stands, whatever it looks like.
    """
    if goes_on:
        return _PUT.get(language, _plain)(_Parts(language, prompt, code, tests, name, mark, whole=False))[:1]
    code = code.strip("\n") + "\n"  # so that what rules agree on is one program
    if not code.strip():
        return []
    whole = defines(language, code, name)
    put = _PUT.get(language, _plain)
    found = put(_Parts(language, prompt, code, tests, name, mark, whole))
    if not whole and tests.lstrip().startswith("}"):  # a body may bring the brace that closes it
        found += put(_Parts(language, prompt, code, re.sub(r"\A\s*\}", "", tests, count=1), name, mark, whole))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Parts:
    language: str
    prompt: str
    code: str
    tests: str
    name: str
    mark: str
    whole: bool

    @property
    def open_tests(self) -> str:
        """The tests without the brace that closes the prompt's function, which a whole function brings."""
        return re.sub(r"\A\s*\}", "", self.tests, count=1) if self.whole else self.tests

    @property
    def head(self) -> str:
        """What stands before the answer: the prompt, or of it what a whole function needs and does not bring itself."""
        if not self.whole:
            return self.prompt
        head = head_of(self.language, self.prompt, self.name)
        helpers = set(re.findall(r"(\w+)\s*(?:=\s*)?\(", head)) - {self.name}
        if any(defines(self.language, self.code, helper) for helper in helpers):
            return "\n".join(re.findall(_IMPORTS.get(self.language, r"(?!)"), head, re.MULTILINE)) + "\n"
        return head


def _plain(parts: _Parts) -> list[str]:
    ends = {"js": f"require('fs').writeSync(1, '\\n{parts.mark}')", "ts": f"console.log('{parts.mark}')"}
    end = ends.get(parts.language, f"echo {parts.mark}" if parts.language == "sh" else f'print "{parts.mark}";')
    return [f"{parts.head}{parts.code}\n{parts.open_tests}\n{end}\n"]


def _js(parts: _Parts) -> list[str]:
    # Tests of HumanEvalPack call console.assert, which only prints.
    strict = "console.assert = (ok) => { if (!ok) throw new Error('assertion failed') };"
    (whole,) = _plain(parts)
    return [whole.replace(parts.open_tests, f"{strict}\n{parts.open_tests}", 1)]


def _behind_last_test(tests: str, statement: str, closing: int) -> str:
    """Return tests with a statement before so many of their last braces: at the end of the function that runs them."""
    end = len(tests)
    for _ in range(closing):
        end = tests.rindex("}", 0, end)
    return f"{tests[:end]}{statement}\n{tests[end:]}"


def _cpp(parts: _Parts) -> list[str]:
    tests = _behind_last_test(parts.open_tests, f'std::puts("{parts.mark}");', 1)
    # A main of the answer's own is another function.
    before = f"{_CPP}#include<cstdio>\n"
    code = f"{parts.head}\n#define main answer_main\n{parts.code}"
    return [f"{before}{code}\n#undef main\n{tests}"]


def _java(parts: _Parts) -> list[str]:
    code = re.sub(r"\bpublic\s+((?:final\s+|abstract\s+)*(?:class|interface|enum|record)\b)", r"\1", parts.code)
    wanted = "Problem" if "class Problem" in parts.prompt else "Solution"  # what the tests call
    around = re.search(r"\bclass\s+(\w+)[^{]*\{", code)
    if (
        around is not None
        and not re.search(rf"\bclass\s+{wanted}\b", code)
        and defines("java", code[around.end() :], parts.name)
    ):
        code = re.sub(rf"\b{around[1]}\b", wanted, code)
    code = re.sub(r"\bclass\s+Main\b", "class AnswerMain", code)
    said = f'System.out.println("{parts.mark}");'
    prompt = re.sub(r"import org\.javatuples\.\*;", "", parts.prompt) if not _tuples(parts) else parts.prompt
    inside = wanted == "Problem"  # the tests are methods of the answer's class
    tests = _behind_last_test(parts.open_tests, said, 2)
    opened = re.search(rf"\bclass\s+{wanted}\b[^{{]*\{{", code)
    imports = "\n".join(re.findall(_IMPORTS["java"], code, re.MULTILINE))
    bare = re.sub(_IMPORTS["java"], "", code, flags=re.MULTILINE)
    if not parts.whole:
        return [f"{prompt}{code}\n{tests}", *([] if inside else [f"{prompt}{code}\n}}\n{tests}"])]
    top = "\n".join(re.findall(_IMPORTS["java"], prompt, re.MULTILINE))
    if opened is None:
        head = head_of("java", prompt, parts.name)
        return [f"{imports}\n{head}{bare}\n{tests}", *([] if inside else [f"{imports}\n{head}{bare}\n}}\n{tests}"])]
    if inside:
        inner = bare[bare.index(opened[0]) + len(opened[0]) :].rpartition("}")[0]
        before = bare[: bare.index(opened[0])]
        return [f"{top}\n{imports}\n{before}class Problem {{\n{_without_main(inner)}\n{tests}"]
    return [f"{top}\n{imports}\n{bare}\n{tests}"]


def _tuples(parts: _Parts) -> bool:
    used = parts.code + parts.tests + re.sub(r"import.*", "", parts.prompt)
    return re.search(r"\b(?:Unit|Pair|Triplet|Quartet|Quintet|Sextet)\b", used) is not None


def _without_main(code: str) -> str:
    """Return methods of a class without a main, which the tests have."""
    return re.sub(r"\bstatic\s+void\s+main\s*\(", "static void answerMain(", code)


def _rust(parts: _Parts) -> list[str]:
    prompt = re.sub(_CRATES, "", parts.prompt)
    code = re.sub(_CRATES, "", parts.code)
    in_module = "#[cfg(test)]" in parts.tests
    tests = _behind_last_test(parts.open_tests, f'println!("{parts.mark}");', 2 if in_module else 1)
    prompt = re.sub(r"\bfn main\s*\(\s*\)\s*\{\s*\}", "", prompt)
    code = code if not parts.whole else re.sub(r"\bfn main\s*\(", "fn answer_main(", code)
    head = _Parts("rs", prompt, code, tests, parts.name, parts.mark, parts.whole).head
    found = [f"{head}{code}\n{tests}"]
    if parts.whole:  # the same name imported twice is an error
        found.append(f"{re.sub(_IMPORTS['rs'], '', head, flags=re.MULTILINE)}{code}\n{tests}")
    return found


def _go(parts: _Parts) -> list[str]:
    def bare(text: str) -> str:
        return re.sub(r"(?ms)^package \w+|^import\s*\(.*?^\)|^import\s+\S+\s*$", "", text)

    code = re.sub(r"^func main\s*\(", "func answerMain(", bare(parts.code), flags=re.MULTILINE)
    body = f"{bare(parts.head)}{code}\n{bare(parts.open_tests)}"
    body += f'\nfunc TestMain(m *testing.M) {{ code := m.Run(); if code == 0 {{ fmt.Println("{parts.mark}") }}; os.Exit(code) }}\n'
    told = re.findall(r'"([\w./-]+)"', "\n".join(re.findall(r"(?ms)^import\s*\(.*?^\)|^import\s+\S+\s*$", parts.code)))
    packages = {**{path.rpartition("/")[2]: path for path in told}, **_GO_PACKAGES}
    unquoted = re.sub(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|//[^\n]*', "", body)
    used = [path for name, path in packages.items() if re.search(rf"(?<![\w.]){name}\.\w", unquoted)]
    return ["package answer\nimport (\n" + "".join(f'"{path}"\n' for path in sorted(set(used))) + ")\n" + body]


_PUT: Mapping[str, Callable[[_Parts], list[str]]] = {"cpp": _cpp, "go": _go, "java": _java, "js": _js, "rs": _rust}
