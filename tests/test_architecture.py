"""The rooms of docs/architecture.md: who may import whom, no cycles, and a page that agrees with the tree."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import files_page

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
WAY = ("media", "suite", "run", "analysis", "figures", "report")  # each imports only those before it
SHARED = (
    "types",
    "prompt",
    "scoring",
    "option_scores",
    "io",
    "clock",
    "settings",
    "terminal",
    "typed_lines",
)  # may be imported from anywhere in niah, and import none of the rooms
ABOVE = {"adapters", "integrations", "tools", "cli", "forwarding"}  # may import the rooms
OLD_NAMES = ("niah.forwarding.", "niah.media.bench")  # of commands; they forward to niah.cli for one release
MAY_IMPORT_TORCH = (
    "niah/adapters/",
    "niah/media/decoders/torchcodec.py",
    "niah/tools/doctor/probe.py",  # tries whether it can be imported, in a process of its own
)
FRAMEWORKS = {"torch", "transformers", "torchcodec", "safetensors", "open_clip"}


def modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name."""
    found = {}
    for package in ("niah", "vilamp", "baselines"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


@functools.cache
def imported(name: str, everywhere: bool = True) -> tuple[str, ...]:
    """Return the dotted names a module imports: at its top level, or `everywhere`, functions included."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(_at_import(tree.body))
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if name in MODULES else node.module for name in inner]
    return tuple(names)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported; `if TYPE_CHECKING:` does not."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from _at_import(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            yield from _at_import(node.body)


def room(name: str) -> str:
    """Return the room of a module of `niah`: the name after the first dot."""
    return name.split(".")[1] if "." in name else ""


def edges() -> list[tuple[str, str]]:
    """Return (importer, imported) for all imports inside the project."""
    return [(name, target) for name in MODULES for target in imported(name) if target in MODULES]


def test_a_room_imports_earlier_rooms_only():
    wrong = [
        f"{importer} imports {target}"
        for importer, target in edges()
        if importer.startswith("niah.") and target.startswith("niah.") and room(importer) != room(target)
        if not importer.startswith(OLD_NAMES)
        and not importer.endswith(".__main__")
        and not allowed(room(importer), room(target))
    ]
    assert wrong == []


def allowed(importer: str, target: str) -> bool:
    """Return True if a room of `niah` may import another one."""
    if target in SHARED:
        return True
    if importer in SHARED:
        return False
    if importer in ABOVE:
        return importer == "cli" or target not in {"cli", "forwarding"}
    return target in WAY and WAY.index(target) < WAY.index(importer)


def test_niah_knows_no_model():
    wrong = [pair for pair in edges() if pair[0].startswith("niah") and not pair[1].startswith("niah")]
    assert wrong == []


def test_baselines_and_vilamp_do_not_import_each_other_but_for_the_micro_models():
    crossing = [pair for pair in edges() if {name.split(".")[0] for name in pair} == {"vilamp", "baselines"}]
    assert crossing == [
        ("baselines.micro", "vilamp.checkpoint"),
        ("baselines.micro", "vilamp.adapter"),
    ]  # a rival's compressor in the same small model


def test_only_adapters_and_torchcodec_import_a_framework():
    wrong = [
        f"{name} imports {target}"
        for name, path in MODULES.items()
        if name.startswith("niah") and not path.relative_to(ROOT).as_posix().startswith(MAY_IMPORT_TORCH)
        for target in imported(name)
        if target.split(".")[0] in FRAMEWORKS
    ]
    assert wrong == []


@pytest.mark.parametrize("level", ["files", "packages"])
def test_no_import_cycle(level):
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        if name.startswith(OLD_NAMES) or name.endswith(".__main__"):
            continue  # they put rooms together
        for target in imported(name, everywhere=level == "packages"):
            if target not in MODULES:
                continue
            importer, to = (name, target) if level == "files" else (package(name), package(target))
            if importer != to and not importer.startswith(f"{to}.") and not to.startswith(f"{importer}."):
                graph.setdefault(importer, set()).add(to)
    assert cycle(graph) is None


def package(name: str) -> str:
    """Return the folder a module lies in."""
    if MODULES[name].name == "__init__.py":
        return name
    return name.rpartition(".")[0]


def cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """Return the nodes of one cycle, or None."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return path[path.index(node) :] + [node]
        if node in done:
            return None
        for target in sorted(graph.get(node, ())):
            found = visit(target, [*path, node])
            if found:
                return found
        done.add(node)
        return None

    return next((found for node in sorted(graph) if (found := visit(node, []))), None)


def test_a_cycle_would_be_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert cycle({"a": {"b"}, "b": {"c"}}) is None


def test_the_page_of_files_says_what_each_module_says_of_itself():
    assert files_page.PAGE.read_text(encoding="utf-8") == files_page.page(), "python -m tests.files_page writes it"


def test_every_place_that_the_page_names_exists():
    for name in re.findall(r"`((?:niah|vilamp|baselines|configs|tests)/[\w./]+)`", PAGE.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists(), name
