"""Find an adapter by name, and make it.

A model is named by its entry point (group `videoniah.adapters`) or, while in development,
as `module:function`; `niah` itself knows no model. The runner finds the adapter and the
worker loads it, as the worker's interpreter need not have the entry points.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.settings import unknown_name
from niah.types import Adapter, UserError

GROUP = "videoniah.adapters"


def find_adapter(name: str) -> str:
    """Return the "module:function" that makes the adapter called `name`.

    Raises UserError naming the installed adapters, and the one that may have been meant.
    """
    if looks_like_file(name):
        raise UserError(f"a model of your own is named by its module, not by its file: {as_module(name)}")
    if ":" in name:
        return name
    known = adapters()
    if name not in known:
        if Path(f"{name}.py").is_file():
            raise UserError(f"a model of your own is named with the function that makes it: {as_module(name)}")
        problem = unknown_name("model", name, sorted(known))
        raise UserError(f"{problem} A model in development can be named as 'module:function'.")
    return known[name]


def adapters() -> dict[str, str]:
    """Return the installed adapters, name to "module:function"."""
    from importlib.metadata import entry_points  # grouped only from Python 3.10 on, where the runner lives

    return {point.name: point.value for point in entry_points(group=GROUP)}


def looks_like_file(name: str) -> bool:
    """Return True if a model is named by a path, or by the name of a Python file."""
    file = name.partition(":")[0]
    return file.endswith(".py") or "/" in file or os.sep in file


def as_module(name: str) -> str:
    """Return the flag for a model that was named by its file, and the folder to type it in if that is not this one."""
    file, _, function = name.partition(":")
    path = Path(file if file.endswith(".py") else f"{file}.py")
    parts = [part for part in path.with_suffix("").parts if part != "."]
    if path.is_absolute() or ".." in parts or not all(part.isidentifier() for part in parts):
        return f"--model {path.stem}:{function or 'load'}, typed in the folder {path.parent}"
    return f"--model {'.'.join(parts)}:{function or 'load'}"


def load_adapter(target: str, settings: Mapping[str, Any]) -> Adapter:
    """Import "module:function", call it with `settings`, and return the adapter it makes.

    Raises UserError where the module or function is missing, the function does not accept the
    settings, or its result cannot answer. Exceptions of the function itself pass through.
    """
    function = _function(target)
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        takes = inspect.signature(function)
        remedy = "change --model_args, --device or --seed"
        raise UserError(f"{target} takes {takes}, got {dict(settings)!r}: {error}; {remedy}") from None
    adapter = function(**settings)
    if not callable(getattr(adapter, "answer", None)):
        raise UserError(
            f"{target} must return an adapter, an object with answer(video, question), got {type(adapter).__name__}"
        )
    return adapter


def parse_model_args(text: str) -> dict[str, Any]:
    """Read `k=v,k=v` as lm-eval does: numbers, True, False and None are converted, the rest stays text.

    `k.a=v,k.b=w` are the values a and b of one setting k.
    """
    settings: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            raise UserError(f"model_args are written k=v,k=v, got {part!r} in {text!r}")
        *groups, name = key.strip().split(".")
        inner = settings
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise UserError(f"model_args give {group} a value and, by {key.strip()!r}, values by name; give one")
        inner[name] = _value(value.strip())
    return settings


def _value(text: str) -> Any:
    """Read one value of model_args."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _function(target: str) -> Any:
    """Import the function that "module:function" names."""
    module_name, _, function_name = target.partition(":")
    if not module_name or not function_name:
        raise UserError(f"a model in development is named as 'module:function', got {target!r}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise UserError(
                f"no module is called {error.name!r} (wanted for {target!r}); run from the folder it lies in, "
                "or install it into the interpreter that --python names"
            ) from None
        raise UserError(f"{target!r} needs the module {error.name!r}, which is not installed") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = ", ".join(name for name, value in vars(module).items() if inspect.isfunction(value)) or "none"
        raise UserError(f"module {module_name!r} has no function {function_name!r}; its functions: {functions}")
    return function
