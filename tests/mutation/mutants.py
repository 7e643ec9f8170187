"""Make mutants of a module: one operator, comparison or number changed, as a slip of the hand would."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "max"}
UNTOUCHED = ("strict", "maxsize", "frozen")  # keyword arguments that change no number


@dataclass(frozen=True)
class Mutant:
    """A changed module, and what was changed."""

    line: int
    change: str  # the statement's part before and after
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module's source, in the order of its nodes."""
    tree = ast.parse(source)
    places = list(ast.walk(tree))
    skipped = _untouched(tree)
    for number, node in enumerate(places):
        if id(node) in skipped:
            continue
        for way in range(_ways(node)):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[number]
            before = ast.unparse(target)
            _change(target, way)
            yield Mutant(getattr(node, "lineno", 0), f"{before}  ->  {ast.unparse(target)}", ast.unparse(changed))


def _untouched(tree: ast.Module) -> set[int]:
    """Return the ids of nodes in annotations and in keyword arguments that change no number."""
    parts: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            parts.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        elif isinstance(node, ast.keyword) and node.arg in UNTOUCHED:
            parts.append(node.value)
    return {id(node) for part in parts if part is not None for node in ast.walk(part)}


def _ways(node: ast.AST) -> int:
    """Return in how many ways a node can be changed."""
    if isinstance(node, ast.Compare):
        return len(node.ops)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        return int(type(node.op) in SWAPS)
    if isinstance(node, ast.UnaryOp):
        return int(isinstance(node.op, ast.Not | ast.USub))
    if isinstance(node, ast.Constant):
        return int(isinstance(node.value, bool | int | float))
    return int(isinstance(node, ast.Name) and node.id in NAMES)


def _change(node: ast.AST, way: int) -> None:
    """Change a node in place."""
    if isinstance(node, ast.Compare):
        node.ops[way] = SWAPS[type(node.ops[way])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):  # `not x` becomes `x`'s truth, -x becomes +x
        node.op, node.operand = (
            (ast.Not(), ast.UnaryOp(ast.Not(), node.operand))
            if isinstance(node.op, ast.Not)
            else (ast.UAdd(), node.operand)
        )
    elif isinstance(node, ast.Constant):
        node.value = _other(node.value)
    elif isinstance(node, ast.Name):
        node.id = NAMES[node.id]


def _other(value: object) -> bool | int | float:
    """Return another number of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, float)
    return 2 * value if value else 1.0
