import ast
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from niah.run.registry import find_adapter, load_adapter, parse_model_args
from niah.types import UserError

ROOT = Path(__file__).resolve().parents[3]
SLICE = "niah.types, niah.media, niah.scoring, niah.run.registry, niah.run.identity, niah.run.worker, niah.adapters.sampling"


def test_entry_point_is_found_by_name():
    assert find_adapter("seeker") == "baselines.seeker:load"


def test_model_in_development_names_itself():
    assert find_adapter("my.module:make") == "my.module:make"


def test_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(UserError) as refused:
        find_adapter("seekr")
    words = str(refused.value)
    assert words.startswith("no model is called 'seekr'. Did you mean 'seeker'? Known: chance, ")
    assert words.endswith("A model in development can be named as 'module:function'.")


SETTINGS = [
    ("frames=8", {"frames": 8}),
    ("a=-2,b=0.5,c=1e-3", {"a": -2, "b": 0.5, "c": 0.001}),
    ("a=True,b=false,c=None", {"a": True, "b": False, "c": None}),
    ("path=/x=y, name=llava 7b", {"path": "/x=y", "name": "llava 7b"}),
    ("", {}),
]


@pytest.mark.parametrize("text, settings", SETTINGS)
def test_model_args_are_read_as(text, settings):
    assert parse_model_args(text) == settings


@pytest.mark.parametrize("text", ["frames", "frames:8", "=8", "a=1,b"])
def test_model_args_without_a_key_are_refused(text):
    with pytest.raises(UserError, match="k=v,k=v"):
        parse_model_args(text)


def test_numbers_in_model_args_keep_their_kind():
    assert type(parse_model_args("frames=8")["frames"]) is int


def test_settings_reach_the_adapter():
    adapter = load_adapter("tests.helpers.fake_adapters:settings", {"seed": 3})
    assert adapter.answer((), None).text == "[('seed', 3)]"


BAD_TARGETS = [
    ("tests.no_such:load", {}, "no module is called 'tests.no_such'"),
    ("no_such.deep:load", {}, "no module is called 'no_such'"),
    ("tests.helpers.fake_adapters:rigth", {}, "has no function 'rigth'; its functions: .*right"),
    ("tests.helpers.fake_adapters:not_a_function", {}, "has no function 'not_a_function'"),
    ("tests.helpers.fake_adapters:", {}, "'module:function'"),
    ("tests.helpers.fake_adapters:nothing", {}, "must return an adapter.* got NoneType"),
    ("tests.helpers.fake_adapters:slow", {"second": 1}, r"takes \(seconds=0.1\), got {'second': 1}.*--model_args"),
]


@pytest.mark.parametrize("target, settings, words", BAD_TARGETS)
def test_target_that_makes_no_adapter_is_refused(target, settings, words):
    with pytest.raises(UserError, match=words):
        load_adapter(target, settings)


def test_what_loading_raises_passes_through():
    with pytest.raises(ImportError, match="libfoo"):
        load_adapter("tests.helpers.fake_adapters:broken", {})


def test_module_that_a_model_needs_is_named(tmp_path, monkeypatch):
    (tmp_path / "needy_model.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="needs the module 'no_such_package'"):
        load_adapter("needy_model:load", {})


def imports_of(path: Path) -> set[str]:
    """Return every dotted name a file imports: for `from a import b` both a and a.b."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_in(files: Iterable[Path], packages: set[str]) -> set[tuple[str, str]]:
    """Return which file imports which name of some packages."""
    return {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in imports_of(path)
        if any((name + ".").startswith(package + ".") for package in packages)
    }


ADAPTERS = set((ROOT / "niah" / "adapters").rglob("*.py"))  # what torch adapters share, so the one folder with torch
PROBES = {
    ROOT / "niah" / "tools" / "doctor" / "probe.py"
}  # each probe is a process of its own, asked what it can import
HARNESS = set((ROOT / "niah").rglob("*.py")) - ADAPTERS - PROBES


def test_harness_imports_no_model_and_no_framework():
    assert imported_in(HARNESS, {"vilamp", "baselines", "torch", "transformers"}) == set()


def test_what_adapters_share_knows_none_of_them():
    assert imported_in(ADAPTERS, {"vilamp", "baselines"}) == set()


def test_baselines_import_no_vilamp_but_for_its_micro_models():
    files = set((ROOT / "baselines").rglob("*.py")) - {ROOT / "baselines" / "micro.py"}
    assert imported_in(files, {"vilamp"}) == set()


def test_a_worker_loads_no_torch():
    code = "import sys\nimport niah.run.worker\nprint(*sorted({n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "niah" in done.stdout.split()
    assert not {"torch", "transformers", "safetensors", "jaxtyping"} & set(done.stdout.split())


def test_worker_loads_nothing_heavy():
    code = f"import sys\nimport {SLICE}\nprint(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "numpy" in done.stdout.split()
    assert not {"pandas", "yaml", "torch", "scipy", "matplotlib", "psutil", "decord"} & set(done.stdout.split())


@pytest.mark.skipif("VIDEONIAH_PYTHON39" not in os.environ, reason="VIDEONIAH_PYTHON39 names no Python 3.9 with av")
def test_worker_slice_imports_on_python_39():
    code = f"import sys\nimport {SLICE}\nprint(sys.version_info[:2])"
    python = os.environ["VIDEONIAH_PYTHON39"]
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 9)\n"
