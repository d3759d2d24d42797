"""Runs inside of the sandbox, as a program of its own: takes the answer in, tries the tests, and says which fail.

The word that makes its verdict valid is read only when all tests are done, so that an answer that ends the process, or prints
what a verdict looks like, has none.
"""

import ast
import builtins
import json
import os


def _read(count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = os.read(_channel, count - len(got))
        if not piece:
            break
        got += piece
    return got


def _said(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"[:200].rstrip(": ")


class _Equals(ast.NodeTransformer):
    """Lets what the answer returns be compared by the expected value, so that an object that equals everything does not."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
            return node
        call = ast.Call(ast.Name("_same_", ast.Load()), [node.left, node.comparators[0]], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))


def _same(left: object, right: object) -> object:
    return False if _made_by_answer(left) != _made_by_answer(right) else left == right


def _made_by_answer(value: object, depth: int = 0) -> bool:
    if type(value).__module__ == "answer" and getattr(type(value), "__eq__", None) is not object.__eq__:
        return True
    parts: list[object] = []
    if isinstance(value, dict):
        parts = list(dict.values(value))
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    return depth < 4 and any(_made_by_answer(part, depth + 1) for part in parts)


# What the answer may read and write is not what the verdict goes through.
_channel, _verdict = os.dup(0), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDWR), 0)
os.dup2(0, 1)
_length = b""
while not _length.endswith(b"\n"):
    _length += _read(1)
_tests = json.loads(_read(int(_length)))["tests"]
_failed = {}
_world: dict[str, object] = {"__name__": "answer", "__file__": "answer.py"}
_builtins = builtins.__dict__.copy()
try:
    with open("answer.py", "rb") as _file:
        exec(compile(_file.read(), "answer.py", "exec"), _world)
except BaseException as _error:
    _failed = dict.fromkeys(range(len(_tests)), _said(_error))
else:
    builtins.__dict__.update(_builtins)
    _world.update(_same_=_same, __name__="tests")
    for _number, _test in enumerate(_tests):
        try:
            exec(compile(_Equals().visit(ast.parse(_test)), "tests", "exec"), _world)
        except BaseException as _error:
            _failed[_number] = _said(_error)
os.write(_verdict, _read(32) + json.dumps(_failed).encode())
os._exit(0)
