"""What a model is, read from files: sources from import statements, checkpoints from settings."""

import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from niah.run import identity
from niah.run.adapter_files import adapter_files, load_defaults
from niah.run.config import RunConfig
from niah.run.identity import hub_revision, known_before_loading, loaded_identity, origin_of
from niah.run.same_model import identity_before_loading
from niah.types import UserError

PACKAGE = {
    "hide/__init__.py": "",
    "hide/models/__init__.py": "from .base import Base",
    "hide/models/base.py": "class Base: ...",
    "hide/models/net.py": "from ..words import LETTER",
    "hide/words/__init__.py": "from . import letters\nLETTER = 'A'",
    "hide/words/letters.py": "",
    "hide/adapter.py": "import numpy\nfrom niah.types import Reply\ndef load():\n    import hide.models.net\n",
    "hide/unused.py": "",
    "beside.py": "import hide.adapter",
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes files into the current folder, a new one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))

    def put(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return put


def test_sources_are_what_the_module_imports_from_its_package_however_deep(write):
    write(PACKAGE)
    assert list(adapter_files("hide.adapter:load")) == sorted(set(PACKAGE) - {"hide/unused.py", "beside.py"})


def test_single_file_brings_what_it_imports_from_its_folder(write):
    write({"mine.py": "import words, json, numpy, niah.types", "words.py": "", "other.py": ""})
    assert list(adapter_files("mine:load")) == ["mine.py", "words.py"]


def test_checkout_of_niah_is_no_part_of_a_model_beside_it(write):
    write({"mine.py": "import niah.types", "niah/__init__.py": "", "niah/types.py": ""})
    assert list(adapter_files("mine:load")) == ["mine.py"]


def test_installed_file_brings_none_of_its_neighbours(write, monkeypatch):
    folder = write({"site-packages/mine.py": "import other", "site-packages/other.py": ""})
    monkeypatch.syspath_prepend(folder / "site-packages")
    assert list(adapter_files("mine:load")) == ["mine.py"]


def test_imports_by_computed_names_make_all_of_the_package_count(write):
    write({**PACKAGE, "hide/adapter.py": "import importlib\nimportlib.import_module('hide.' + 'unused')"})
    assert list(adapter_files("hide.adapter:load")) == sorted(set(PACKAGE) - {"beside.py"})


def test_module_that_is_not_here_has_no_files(write):
    write({})
    assert adapter_files("no_such_module:load") == {} and known_before_loading("no_such_module:load", {}).keys() <= {
        "version of torch",
        "version of transformers",
    }


DEFAULTS = [
    ("def load(a, b='x', *, c='y', d=3): ...", {"b": "x", "c": "y"}),
    ("class load:\n    def __init__(self, cases, b='x'): ...", {"b": "x"}),
    ("from elsewhere import load", {}),
    ("def load(: broken", {}),
]


@pytest.mark.parametrize("text, defaults", DEFAULTS)
def test_defaults_are_read_without_importing(write, text, defaults):
    write({"mine.py": text})
    assert load_defaults("mine:load") == defaults


def file_of(text):
    return f"{len(text)} bytes, sha256 {sha256(text.encode()).hexdigest()}"


def without_versions(parts):
    return {name: part for name, part in parts.items() if not name.startswith("version of")}


def test_checkpoint_is_the_files_that_a_setting_names(write):
    write({"mine.py": "", "ck/model.bin": "weights", "ck/sub/config.json": "{}", "ck/.git/x": "", "ck/README.md": ""})
    write({"ck/old-run/run.json": "{}", "ck/old-run/records.jsonl": "", "one.pt": "1", "notes": "written"})
    settings = {"pretrained": "ck", "lora": "one.pt", "log": "notes", "device": "cpu", "frames": 8, "empty": ""}
    assert without_versions(known_before_loading("mine:load", settings)) == {
        "file mine.py": file_of(""),
        "pretrained model.bin": file_of("weights"),
        "pretrained sub/config.json": file_of("{}"),
        "lora one.pt": file_of("1"),
    }


def test_name_of_weights_shipped_with_the_package_stands_for_their_files_default_or_given(write):
    write({**PACKAGE, "hide/adapter.py": "def load(pretrained='tiny'): ...", "hide/checkpoints/tiny/w.pt": "w"})
    for settings in ({}, {"pretrained": "tiny"}):
        assert known_before_loading("hide.adapter:load", settings)["pretrained w.pt"] == file_of("w")


def test_folder_of_very_many_files_is_one_part(write, monkeypatch):
    monkeypatch.setattr(identity, "MAX_FILES", 2)
    write({"mine.py": "", **{f"repo/{number}.py": str(number) for number in range(3)}})
    before = known_before_loading("mine:load", {"repository": "repo"})["repository"]
    write({"repo/1.py": "7"})
    after = known_before_loading("mine:load", {"repository": "repo"})["repository"]
    assert before.startswith("3 files of 3 bytes, sha256 ") and after != before


def test_hash_of_a_large_file_is_computed_once_for_each_state(write, monkeypatch):
    hashed = []
    whole = identity._sha256
    monkeypatch.setattr(identity, "LARGE", 4)
    monkeypatch.setattr(identity, "_sha256", lambda path: hashed.append(path.name) or whole(path))
    write({"mine.py": "", "model.pt": "weights"})
    ask = lambda: known_before_loading("mine:load", {"pretrained": "model.pt"})["pretrained model.pt"]  # noqa: E731
    assert [ask(), ask()] == [file_of("weights")] * 2 and hashed.count("model.pt") == 1
    write({"model.pt": "WEIGHTS"})  # as long as before
    assert ask() == file_of("WEIGHTS")


def test_hub_checkpoint_is_its_revision_in_the_cache(write, monkeypatch):
    cached = "hub/models--owner--model"
    folder = write({"mine.py": "", f"{cached}/refs/main": "c0ffee\n", f"{cached}/snapshots/abc/config.json": "{}"})
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(folder))
    assert (
        known_before_loading("mine:load", {"pretrained": "owner/model"})["pretrained owner/model"] == "revision c0ffee"
    )
    assert (hub_revision("owner/model", "abc"), hub_revision("owner/model", "no"), hub_revision("a/b")) == (
        "abc",
        None,
        None,
    )


def test_process_that_has_imported_a_file_reports_that_state_of_it(write, monkeypatch):
    write({"mine.py": "A"})
    monkeypatch.setitem(sys.modules, "mine", object())
    report = lambda: loaded_identity(origin_of("mine:load", {}), None)["file mine.py"]  # noqa: E731
    before = report()
    write({"mine.py": "B"})
    assert report() == before == file_of("A")  # the code in memory is still that
    monkeypatch.setitem(sys.modules, "mine", object())  # imported anew
    assert report() == file_of("B")


class Adapter:
    def __init__(self, parts):
        self.parts = parts

    def identity(self):
        return self.parts


def test_adapter_may_add_what_it_alone_knows(write):
    write({"mine.py": ""})
    parts = loaded_identity(origin_of("mine:load", {}), Adapter({"dtype": "bfloat16"}))
    assert without_versions(parts) == {"file mine.py": file_of(""), "dtype": "bfloat16"}


@pytest.mark.parametrize("wrong", [None, {"layers": 3}, ["dtype"]])
def test_identity_that_is_no_texts_is_refused(write, wrong):
    write({"mine.py": ""})
    with pytest.raises(UserError, match="returns texts by name"):
        loaded_identity(origin_of("mine:load", {}), Adapter(wrong))


def test_versions_are_those_of_libraries_that_were_imported(write, monkeypatch):
    write({"mine.py": ""})
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", object())
    monkeypatch.setattr(identity, "version", {"torch": "9.1"}.__getitem__)
    parts = loaded_identity(origin_of("mine:load", {}), Adapter({}))
    assert {name for name in parts if name.startswith("version")} == {"version of torch"}
    assert parts["version of torch"] == "9.1"


def test_other_interpreter_is_asked_itself(write):
    write({**PACKAGE, "ck.pt": "w"})
    target, settings = "hide.adapter:load", {"pretrained": "ck.pt"}
    config = RunConfig(model=target, model_args=settings, python=sys.executable)
    assert identity_before_loading(config, target) == known_before_loading(target, settings)
    assert identity_before_loading(RunConfig(python="/no/such/python"), target) == {}


def test_no_part_names_a_folder_of_this_machine(write):
    folder = write({**PACKAGE, "ck/model.pt": "w"})
    parts = known_before_loading("hide.adapter:load", {"pretrained": str(folder / "ck")})
    assert str(folder) not in json.dumps(parts) and Path(folder).name not in json.dumps(parts)
