"""Read what a package's wheel says without installing it: on few machines does a serving engine install."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "build"


def sources(package: str, version: str) -> dict[str, str]:
    """Return the modules of the wheel in build/PACKAGE by name; skips the test where there is none."""
    found = sorted((BUILD / package).glob(f"{package}-*.whl"))
    if not found:
        pytest.skip(f"no wheel in build/{package}: pip download --no-deps {package}=={version} -d build/{package}")
    with zipfile.ZipFile(found[-1]) as file:
        return {name: file.read(name).decode() for name in file.namelist() if name.endswith(".py")}


def class_of(wheel: dict[str, str], name: str) -> ast.ClassDef:
    """Return the body of a class."""
    found = [
        node
        for text in wheel.values()
        if f"class {name}" in text
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    assert found, f"the wheel has no class {name}"
    return found[0]


def members(wheel: dict[str, str], name: str) -> set[str]:
    """Return the fields of a class, its attributes, and the parameters of its methods."""
    body = class_of(wheel, name)
    named = {
        node.target.id
        for node in ast.walk(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    named |= {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    return named | {node.arg for node in ast.walk(body) if isinstance(node, ast.arg)}
