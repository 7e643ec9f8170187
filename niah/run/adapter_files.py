"""The source files of an adapter: its module, and what that imports from the folder it lies in.

Read from the import statements, not from `sys.modules`: so they are known before a model is loaded, imports inside of
functions count, and it does not matter what else this process has imported. Imports on Python 3.9 with NumPy alone.
"""

from __future__ import annotations

import ast
import os
import sys
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Set, Tuple

INSTALLED = {"site-packages", "dist-packages"}
BY_NAME = {"import_module", "__import__", "spec_from_file_location", "run_path", "run_module"}


def adapter_files(target: str) -> Dict[str, Path]:
    """Return the source files of the adapter "module:function" by their names relative to its folder.

    `niah` is no part of an adapter outside it, nor is an installed package of another. Where a file imports modules by
    computed names, all files of the package count, or of the folder of a single file. Nothing is returned for a module
    that this interpreter does not find.
    """
    module = target.partition(":")[0]
    base = _base_folder(module.partition(".")[0])
    if base is None:
        return {}
    found: Dict[str, Path] = {}
    left = [module]
    while left:
        name = left.pop()
        for path in _files_of(base, name):
            relative = path.relative_to(base).as_posix()
            if relative in found:
                continue
            found[relative] = path
            imported, by_name = _imports(path, _package_of(base, path))
            left += [other for other in sorted(imported) if _counts(base, module, other)]
            if by_name:
                found.update((other.relative_to(base).as_posix(), other) for other in _all_files(base, module))
    return dict(sorted(found.items()))


def load_defaults(target: str) -> Dict[str, str]:
    """Return the defaults of "module:function" (or of a class's __init__) that are texts, without importing it."""
    function = _function_of(target)[1]
    return {} if function is None else dict(_text_defaults(function.args))


def required_settings(target: str) -> Tuple[str, ...]:
    """Return the arguments of "module:function" that have no default, without importing it; none if it is unknown."""
    function = _function_of(target)[1]
    if function is None or function.decorator_list:  # a decorator may give them
        return ()
    positional = [*function.args.posonlyargs, *function.args.args]
    positional = positional[int(function.name == "__init__") :]
    required = positional[: len(positional) - len(function.args.defaults)]
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults)
    return tuple(argument.arg for argument in (*required, *(one for one, default in pairs if default is None)))


def literal_constant(target: str, name: str) -> Any:
    """Return the literal that the module of "module:function" assigns to `name` at its top, without importing it.

    None where there is no such assignment, or no literal in it.
    """
    tree = _function_of(target)[0]
    for node in tree.body if tree is not None else []:
        if isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == [name]:
            try:
                return ast.literal_eval(node.value)
            except ValueError:  # it is computed
                return None
    return None


def _function_of(target: str) -> Tuple[Optional[ast.Module], Optional[ast.FunctionDef]]:
    """Return the syntax tree of the module of "module:function", and the function or __init__ that is called."""
    module, _, name = target.partition(":")
    base = _base_folder(module.partition(".")[0])
    files = [] if base is None else _files_of(base, module)
    tree = _parse(files[-1]) if files else None
    for node in tree.body if tree is not None else []:
        if isinstance(node, ast.ClassDef) and node.name == name:
            node = next((item for item in node.body if getattr(item, "name", "") == "__init__"), node)
        elif getattr(node, "name", "") != name:
            continue
        if isinstance(node, ast.FunctionDef):
            return tree, node
    if base is not None and tree is not None:
        for other in _re_exported(tree, _package_of(base, files[-1]), name):
            return _function_of(other)
    return tree, None


def _re_exported(tree: ast.Module, package: str, name: str) -> Iterator[str]:
    """Yield the "module:function" that a package's __init__.py imports under a name."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    yield f"{'.'.join([*parents, node.module])}:{alias.name}"


def package_folder(target: str) -> Optional[Path]:
    """Return the folder of the adapter's top-level package, or the folder of a single file."""
    top = target.partition(":")[0].partition(".")[0]
    base = _base_folder(top)
    return base / top if base is not None and (base / top).is_dir() else base


def _base_folder(top: str) -> Optional[Path]:
    """Return the folder that holds the top-level module or package, as a worker would find it.

    A worker has its folder first on `sys.path`; the console script of the runner has not.
    """
    spec: Optional[ModuleSpec] = None
    if top:
        spec = PathFinder.find_spec(top, [os.getcwd(), *sys.path])
        if spec is None:
            try:
                spec = find_spec(top)  # an editable install brings a finder of its own
            except (ImportError, ValueError):
                return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return None if spec.origin is None or not os.path.isfile(spec.origin) else Path(spec.origin).resolve().parent


def _files_of(base: Path, module: str) -> List[Path]:
    """Return the files that importing a module below `base` runs: its packages' __init__.py, then its own."""
    files: List[Path] = []
    place = base
    for part in module.split("."):
        place = place / part
        for path in (place / "__init__.py", place.with_name(part + ".py")):
            if path.is_file():
                files.append(path)
                break
    return files


def _package_of(base: Path, path: Path) -> str:
    """Return the dotted package that a file's relative imports start from."""
    return ".".join(path.relative_to(base).parent.parts)


def _counts(base: Path, module: str, imported: str) -> bool:
    """Return True if an imported module is part of the adapter, should it lie below its folder."""
    own, top = module.partition(".")[0], imported.partition(".")[0]
    return top == own or (top != "niah" and not INSTALLED & set(base.parts))


def _all_files(base: Path, module: str) -> Iterator[Path]:
    """Return every file of the adapter's package, or those beside a single file."""
    package = base / module.partition(".")[0]
    if package.is_dir():
        return package.rglob("*.py")
    return iter([] if INSTALLED & set(base.parts) else base.glob("*.py"))


def _imports(path: Path, package: str) -> Tuple[FrozenSet[str], bool]:
    """Return the modules that a file may import, and whether it imports some by computed names."""
    status = path.stat()
    return _imports_at(path, package, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _imports_at(path: Path, package: str, size: int, mtime_ns: int) -> Tuple[FrozenSet[str], bool]:
    """Return the imports of one state of a file; workers within one process ask again and again."""
    tree = _parse(path)
    names: Set[str] = set()
    by_name = False
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            above = parts[: len(parts) - node.level + 1] if node.level else []
            whole = ".".join([*above, *([node.module] if node.module else [])])
            names.add(whole)
            names |= {f"{whole}.{alias.name}" if whole else alias.name for alias in node.names}
        elif isinstance(node, ast.Call):
            function = node.func
            by_name = by_name or getattr(function, "attr", getattr(function, "id", "")) in BY_NAME
    return frozenset(names - {""}), by_name


def _parse(path: Path) -> Optional[ast.Module]:
    """Return a file's syntax tree; None for one that this interpreter cannot read, which it cannot import either."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None


def _text_defaults(arguments: ast.arguments) -> Iterator[Tuple[str, str]]:
    """Yield (name, default) of the arguments whose default is a text."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    for argument, default in (*zip(last, arguments.defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)):
        if isinstance(default, ast.Constant) and isinstance(default.value, str):
            yield argument.arg, default.value
