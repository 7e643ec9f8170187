"""A run knows its model: another one under the same name is refused, with what changed and the ways out."""

import json
from datetime import UTC, datetime

import pytest

from niah.run.case_runner import CaseRunner
from niah.run.metadata import read_metadata, update_metadata
from niah.run.pool import ask_all
from niah.run.same_model import ModelCheck, changes, merge_identities
from niah.types import Reply, UserError
from tests.helpers.commands import merge
from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite
from tests.niah.run.test_pool import FakeRecords, FakeWorkers, plan

MODEL = """
import os
from pathlib import Path
from niah.types import Reply
from letters import SAID

class Model:
    def answer(self, video, question):
        return Reply(SAID)

    def identity(self):
        return {"kernel": os.environ.get("KERNEL", "eager")}

def load(pretrained="none"):
    with open("loaded.log", "a") as file:
        file.write("once\\n")
    return Model()
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("same")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


@pytest.fixture
def run(suite, tmp_path, monkeypatch):
    """Return a function that asks mymodel.py of the current folder; its worker is a process of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel.py").write_text(MODEL)
    (tmp_path / "letters.py").write_text("SAID = 'A'\n")
    (tmp_path / "ck").mkdir()
    (tmp_path / "ck" / "model.pt").write_text("first weights")

    def begin(*flags, out="out"):
        words = ["--model", "mymodel:load", "--model_args", "pretrained=ck", "--conditions", "blind,needle_only"]
        return main(["--suite", str(suite), *words, "--output_path", out, "--no_figures", *flags])

    return begin


def replies(folder):
    return [json.loads(line)["reply"] for line in (folder / "out" / "records.jsonl").read_text().splitlines()]


def metadata(folder):
    return json.loads((folder / "out" / "run.json").read_text())


def loads(folder):
    return (folder / "loaded.log").read_text().count("once")


def drop_half(folder):
    path = folder / "out" / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))


def test_edited_model_is_refused_where_everything_is_answered_and_says_what_changed(run, tmp_path, capsys):
    assert run() == 0
    (tmp_path / "letters.py").write_text("SAID = 'B'\n")
    assert run() == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "out holds 6 answers of a model that has changed since: file letters.py (changed)." in said
    assert "--fresh" in said and "--output_path" in said and "--accept_changed_model" in said
    assert replies(tmp_path) == ["A"] * 6 and loads(tmp_path) == 1
    assert run("--fresh") == 0
    assert replies(tmp_path) == ["B"] * 6


def test_model_edited_half_way_is_refused_and_goes_on_once_the_edit_is_undone(run, tmp_path, capsys):
    run()
    drop_half(tmp_path)
    (tmp_path / "mymodel.py").write_text(MODEL + "\n# edited\n")
    before = metadata(tmp_path)
    assert run() == 2
    assert "3 answers of a model that has changed since: file mymodel.py (changed)" in capsys.readouterr().err
    assert replies(tmp_path) == ["A"] * 3 and metadata(tmp_path) == before
    (tmp_path / "mymodel.py").write_text(MODEL)
    assert run() == 0
    assert replies(tmp_path) == ["A"] * 6 and "earlier_identities" not in metadata(tmp_path)


def test_two_models_may_be_mixed_knowingly_and_both_are_recorded(run, tmp_path):
    run()
    drop_half(tmp_path)
    first = metadata(tmp_path)["identity"]
    (tmp_path / "letters.py").write_text("SAID = 'B'\n")
    assert run("--accept_changed_model") == 0
    assert sorted(replies(tmp_path)) == ["A"] * 3 + ["B"] * 3
    assert metadata(tmp_path)["earlier_identities"] == [{"records": 3, "identity": first}]
    assert changes(first, metadata(tmp_path)["identity"]) == ["file letters.py (changed)"]


@pytest.mark.parametrize("half", [False, True])
def test_other_weights_under_the_same_name_are_refused(run, tmp_path, capsys, half):
    run()
    if half:
        drop_half(tmp_path)
    (tmp_path / "ck" / "model.pt").write_text("other weights")
    (tmp_path / "ck" / "adapter.pt").write_text("more")
    assert run() == 2
    assert "pretrained adapter.pt (new), pretrained model.pt (changed)" in capsys.readouterr().err


def test_finished_run_says_when_and_by_whom_and_loads_nothing(run, tmp_path, capsys):
    run()
    capsys.readouterr()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    assert run() == 0
    said = capsys.readouterr().err
    assert f"6 of 6 cases answered on {day} by mymodel:load (pretrained=ck); nothing was asked\n" in said
    assert loads(tmp_path) == 1


def test_finished_run_that_is_kept_although_its_model_changed_says_so(run, tmp_path, capsys):
    run()
    (tmp_path / "letters.py").write_text("SAID = 'B'\n")
    assert run("--accept_changed_model") == 0
    assert "nothing was asked. The model has changed since: file letters.py (changed)" in capsys.readouterr().err
    assert replies(tmp_path) == ["A"] * 6


def test_what_the_adapter_reports_of_itself_is_part_of_the_model(run, tmp_path, capsys, monkeypatch):
    run()
    assert metadata(tmp_path)["identity"]["kernel"] == "eager"
    drop_half(tmp_path)
    monkeypatch.setenv("KERNEL", "flash")
    assert run() == 2
    assert "kernel (eager there, flash now)" in capsys.readouterr().err
    assert replies(tmp_path) == ["A"] * 3


def make_old(folder):
    old = metadata(folder)
    del old["identity"]
    (folder / "out" / "run.json").write_text(json.dumps(old))


def test_finished_run_from_before_identities_says_that_its_model_is_unknown(run, tmp_path, capsys):
    run()
    make_old(tmp_path)
    assert run() == 0
    assert "by mymodel:load (pretrained=ck), identity unknown; nothing was asked" in capsys.readouterr().err


def test_unfinished_run_from_before_identities_goes_on_with_a_note_and_a_record_of_it(run, tmp_path, capsys):
    run()
    make_old(tmp_path)
    drop_half(tmp_path)
    assert run() == 0
    assert "holds 3 answers of a model whose identity is unknown" in capsys.readouterr().err
    assert metadata(tmp_path)["earlier_identities"] == [{"records": 3, "identity": None}]
    assert metadata(tmp_path)["identity"]["kernel"] == "eager"


def test_model_that_only_failed_so_far_may_be_mended(run, tmp_path):
    (tmp_path / "letters.py").write_text("SAID = None\n")  # no reply can hold that
    assert run() == 3
    (tmp_path / "letters.py").write_text("SAID = 'A'\n")
    assert run() == 0
    assert replies(tmp_path) == ["A"] * 6 and not metadata(tmp_path).get("earlier_identities")


CHANGES = [
    ({"version of torch": "2.7.0"}, {"version of torch": "2.8.0"}, ["version of torch (2.7.0 there, 2.8.0 now)"]),
    ({"version of torch": "2.7.0"}, {}, []),  # it may be imported late
    ({}, {"dtype": "float16"}, []),
    ({"dtype": "float16"}, {"dtype": "float16"}, []),
]


@pytest.mark.parametrize("recorded, now, found", CHANGES)
def test_identities_differ_in(recorded, now, found):
    assert changes(recorded, now) == found


FILE = "1 bytes, sha256 " + "0" * 64


def test_files_of_a_kind_that_one_side_does_not_know_at_all_are_no_change():
    one = {"file a.py": FILE, "file b.py": FILE}
    assert changes(one, {"file a.py": FILE}) == ["file b.py (gone)"]
    assert changes(one, {"version of torch": "2"}) == []  # the runner does not find the model that a node has


def test_another_version_of_a_library_is_refused(tmp_path):
    update_metadata(tmp_path, {"identity": {"version of torch": "2.7.0"}})
    with pytest.raises(UserError, match=r"holds 1 answer of .*version of torch \(2.7.0 there, 2.8.0 now\)"):
        ModelCheck(tmp_path, 1).worker({"identity": {"version of torch": "2.8.0"}})


class Changing(FakeWorkers):
    """The workers after the first report another model."""

    def start(self):
        worker = super().start()
        worker.metadata = {**self.metadata, "identity": {"file m.py": FILE if len(self.made) == 1 else FILE[::-1]}}
        return worker


def test_worker_with_another_model_than_those_before_it_ends_the_run(tmp_path):
    update_metadata(tmp_path, {})
    workers, kept = Changing(2, alone=9), FakeRecords()
    runner = CaseRunner(workers.start, "m", {}, stopping=workers.stopping, check_model=ModelCheck(tmp_path, 0))
    with pytest.raises(UserError, match=r"another model than those before it: file m.py"):
        ask_all(plan(6), (), runner, kept, lambda case, record: None, 2)
    assert len(kept.rows) < 6 and all(worker.closed for worker in workers.made)


def test_two_workers_of_one_model_agree(run, tmp_path):
    assert run("--num_workers", "2") == 0
    assert metadata(tmp_path)["identity"]["kernel"] == "eager"


def test_endpoint_whose_name_comes_to_mean_another_model_ends_the_run(tmp_path):
    update_metadata(tmp_path, {"identity": {}})
    check = ModelCheck(tmp_path, 0)
    check.reply(Reply("A", usage={"model": "served-1"}))
    check.reply(Reply("A"))
    assert read_metadata(tmp_path)["identity"] == {"model the endpoint reports": "served-1"}
    for later in (check, ModelCheck(tmp_path, 1)):
        with pytest.raises(UserError, match="answers with served-2, and answers in .* are of served-1"):
            later.reply(Reply("A", usage={"model": "served-2"}))
    ModelCheck(tmp_path, 1, accept_changed=True).reply(Reply("A", usage={"model": "served-2"}))
    assert read_metadata(tmp_path)["identity"] == {"model the endpoint reports": "served-2"}
    assert [entry["records"] for entry in read_metadata(tmp_path)["earlier_identities"]] == [1]


def shard(run, number, out):
    assert run("--shard", f"{number}/2", out=out) == 0
    return out


def test_shards_of_one_model_are_merged_and_those_of_two_are_refused(run, tmp_path, capsys):
    shard(run, 1, "s1")
    shard(run, 2, "s2")
    assert merge(["s1", "s2", "-o", "out", "--no_figures"]) == 0
    assert metadata(tmp_path)["identity"]["kernel"] == "eager"
    (tmp_path / "letters.py").write_text("SAID = 'B'\n")
    shard(run, 2, "s2-again")
    assert merge(["s1", "s2-again", "-o", "both", "--no_figures"]) == 2
    said = capsys.readouterr().err
    assert "s2-again and s1 were answered by different models" in said and "file letters.py (changed)" in said


def test_shard_of_an_unknown_model_is_merged_with_a_note(run, tmp_path, capsys):
    shard(run, 1, "out")
    make_old(tmp_path)
    (tmp_path / "out").rename(tmp_path / "s1")
    shard(run, 2, "s2")
    assert merge(["s1", "s2", "-o", "out", "--no_figures"]) == 0
    assert "the identity of the model is unknown in s1" in capsys.readouterr().err
    assert metadata(tmp_path)["earlier_identities"] == [{"records": 3, "identity": None}]


def test_merging_again_lists_what_is_unknown_once(tmp_path):
    known = {"identity": {"dtype": "float16"}}
    whole = merge_identities([(tmp_path / "a", 3, {}), (tmp_path / "b", 3, known)])
    again = merge_identities([(tmp_path / "a", 3, {}), (tmp_path / "b", 3, known), (tmp_path / "whole", 6, whole)])
    assert again == whole == {**known, "earlier_identities": [{"records": 3, "identity": None}]}
    assert merge_identities([(tmp_path / "a", 3, {}), (tmp_path / "b", 0, known)]) == {}
