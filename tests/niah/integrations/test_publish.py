"""What is published: folders that load, hashes and licences in them, and nothing that should stay here."""

import gzip
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
import yaml

from niah.integrations.hub.dataset_repo import plain, push
from niah.integrations.hub.publish_run import write_run as write_published_run
from niah.integrations.hub.publish_suite import read_licences, read_published_suite
from niah.suite.folder import read_suite
from niah.types import OptionLikelihood, UserError
from tests.helpers.commands import publish as main
from tests.helpers.commands import verify
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.full_disk import fill_disk
from tests.helpers.small_suite import make_suite

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    return make_suite(tmp_path / "small")


@pytest.fixture
def run(tmp_path):
    """Six cases: two right, one wrong, one without an option named, one failed, one never asked."""
    cases = [make_case("n1", depth=depth) for depth in (0.1, 0.3, 0.5, 0.7, 0.9)] + [make_case("n1", "blind")]
    replies = ["B", "B", "A", "no idea"]
    records = [make_record(case, reply) for case, reply in zip(cases, replies, strict=False)]
    records.append(make_record(cases[4], status="oom", detail="too much"))
    return write_run(tmp_path / "run", cases, records)


def load(folder, name, split, tmp_path):
    return datasets.load_dataset(str(folder), name, split=split, cache_dir=str(tmp_path / "hf"))


def pack(path):
    """Replace a file by its gzipped copy."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def everything_in(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_published_suite_loads_and_holds_every_case(suite, tmp_path):
    out = tmp_path / "out"
    assert main(["suite", str(suite), "-o", str(out), "--licence", "cc-by-4.0"]) == 0
    table = load(out, None, None, tmp_path)["test"]
    assert table.num_rows == 24
    assert table[0]["timeline"][1] == {"source": "n1", "start": 0, "stop": 4}
    assert [case.to_json() for case in read_published_suite(out)[0]] == [
        case.to_json() for case in read_suite(suite).cases
    ]


def test_gzipped_files_of_a_suite_are_read_as_the_files_themselves(suite):
    before = read_suite(suite)
    for name in ("cases.jsonl", "sources.jsonl", "skipped.jsonl", "near_duplicates.jsonl"):
        pack(suite / name)
    assert read_suite(suite) == before


def test_a_folder_with_gzipped_records_is_a_run_and_not_a_suite(suite):
    (suite / "records.jsonl").write_text("")
    pack(suite / "records.jsonl")
    with pytest.raises(UserError, match="is the folder of a run, not of a suite"):
        read_suite(suite)


def test_a_run_with_gzipped_records_is_published_like_any_other(run, tmp_path):
    pack(run / "records.jsonl")
    assert main(["run", str(run), "-o", str(tmp_path / "out")]) == 0
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    assert len(samples.read_text().splitlines()) == 5


def test_a_run_is_published_as_its_suites_rule_scores_it(tmp_path):
    case = make_case("n0")  # B is right; the model's own choice is A, and B has the best sum
    likelihoods = tuple(OptionLikelihood(total, tokens, 1) for total, tokens in ((-4, 8), (-2, 2), (-9, 1), (-9, 1)))
    record = make_record(case, "Left", mode="likelihood", option_likelihoods=likelihoods)
    accuracies = []
    for name, rule in (("own", ""), ("sum", "score_by: sum\n")):
        suite = f"name: fake\nlengths: [2000]\ndepths: [0.5]\n{rule}footage: {{world: fake}}\n"
        folder = write_run(tmp_path / name, [case], [record], suite=suite)
        (tmp_path / f"{name}-out").mkdir()
        write_published_run(folder, tmp_path / f"{name}-out")
        (lines,) = (tmp_path / f"{name}-out").rglob("samples_*.jsonl")
        accuracies.append(json.loads(lines.read_text())["acc"])
    assert accuracies == [0.0, 1.0]


def test_a_published_suite_names_every_video_by_its_hash(suite, tmp_path):
    main(["suite", str(suite), "-o", str(tmp_path / "out"), "--licence", "cc-by-4.0"])
    rows = load(tmp_path / "out", "sources", "test", tmp_path)
    wanted = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in suite.parent.glob("*.mp4")}
    assert {row["name"]: row["sha256"] for row in rows} == wanted and len(wanted) == 5


def test_a_published_suite_keeps_what_is_cropped_off_its_videos(suite, tmp_path):
    file = suite / "sources.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [{**row, "crop": [0, 0, 4, 2]} if row["name"] == "h1" else row for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, again = tmp_path / "out", tmp_path / "again"
    assert main(["suite", str(suite), "-o", str(out), "--licence", "cc-by-4.0"]) == 0
    assert verify([str(out), "--media", str(suite.parent), "-o", str(again)]) == 0
    cropped = {name: source.crop for name, source in read_suite(again).sources.items()}
    assert cropped == {"n1": (), "n2": (), "n3": (), "h1": (0, 0, 4, 2), "h2": ()}


def test_no_video_and_no_folder_of_this_machine_is_published(suite, tmp_path):
    out = tmp_path / "out"
    main(["suite", str(suite), "-o", str(out)])
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert names == ["README.md", "data/cases.parquet", "data/sources.parquet", "hashes.json", "suite.yaml"]
    assert str(tmp_path).encode() not in everything_in(out)


def test_the_card_has_the_hash_by_which_runs_name_the_cases(suite, tmp_path):
    main(["suite", str(suite), "-o", str(tmp_path / "out")])
    assert hashlib.sha256((suite / "cases.jsonl").read_bytes()).hexdigest() in (tmp_path / "out/README.md").read_text()


def test_licences_of_videos_are_told_and_unknown_ones_too(suite, tmp_path):
    digest = hashlib.sha256((suite.parent / "n2.mp4").read_bytes()).hexdigest()
    (tmp_path / "l.csv").write_text(f"source,sha256,licence,attribution\nh1,,CC0,Nobody\nx,{digest},CC-BY-3.0,Ann\n")
    main(["suite", str(suite), "-o", str(tmp_path / "out"), "--licences", str(tmp_path / "l.csv")])
    told = {row["name"]: (row["licence"], row["attribution"]) for row in read_published_suite(tmp_path / "out")[1]}
    unknown = dict.fromkeys(("n1", "n3", "h2"), ("unknown", ""))
    assert told == {"h1": ("CC0", "Nobody"), "n2": ("CC-BY-3.0", "Ann"), **unknown}
    assert "| 3 | unknown |  |" in (tmp_path / "out" / "README.md").read_text()


def test_licences_may_be_json_lines_that_name_files(tmp_path):
    (tmp_path / "l.jsonl").write_text('{"file": "hay/h1.mp4", "licence": "CC0"}\n')
    assert read_licences(tmp_path / "l.jsonl")["hay/h1.mp4"].licence == "CC0"


@pytest.mark.parametrize("what", ["suite", "run"])
def test_a_disk_that_was_full_does_not_make_the_folder_somebody_else_s(suite, run, tmp_path, monkeypatch, what):
    words = [what, str({"suite": suite, "run": run}[what]), "-o", str(tmp_path / "out")]

    with monkeypatch.context() as patch:
        fill_disk(patch)
        assert main(words) == 3
    assert main(words) == 0


def test_a_video_that_two_licences_could_mean_is_refused(suite, tmp_path, capsys):
    words = ["suite", str(suite), "-o", str(tmp_path / "out"), "--licences", str(tmp_path / "l.csv")]
    (tmp_path / "l.csv").write_text("file,licence\na/h1,CC0\nb/h1,CC-BY-3.0\n")
    assert main(words) == 2
    assert "h1 could be any of a/h1, b/h1, which have other licences; name it by its sha256" in capsys.readouterr().err
    (tmp_path / "l.csv").write_text("file,licence\na/h1,CC0\nb/h1,CC0\n")
    assert main(words) == 0
    assert {row["licence"] for row in read_published_suite(tmp_path / "out")[1] if row["name"] == "h1"} == {"CC0"}


@pytest.mark.parametrize("text", ["source\nh1\n", "licence\nCC0\n"])
def test_a_file_of_licences_that_lacks_a_column_is_refused_with_its_row(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UserError, match="l.csv, row 1: wanted source"):
        read_licences(tmp_path / "l.csv")


def test_a_suite_in_use_is_not_overwritten(suite, capsys):
    before = (suite / "suite.yaml").read_text()
    assert main(["suite", str(suite), "-o", str(suite)]) == 2
    assert "in use" in capsys.readouterr().err and (suite / "suite.yaml").read_text() == before


def test_somebody_s_readme_is_not_overwritten(suite, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    assert main(["suite", str(suite), "-o", str(tmp_path / "out")]) == 2
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("what", ["suite", "run"])
@pytest.mark.parametrize("name", ["suite.yaml", "data/cases.parquet", "notes.txt"])
def test_a_folder_of_somebody_else_is_not_written_into(suite, run, tmp_path, capsys, what, name):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert main([what, str({"suite": suite, "run": run}[what]), "-o", str(tmp_path / "out")]) == 2
    assert "name a new or empty folder with -o" in capsys.readouterr().err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [file] and file.read_text() == "mine"


@pytest.mark.parametrize("what", ["suite", "run"])
def test_what_was_published_is_published_anew_and_an_empty_clone_filled(suite, run, tmp_path, what):
    (tmp_path / "out" / ".git").mkdir(parents=True)
    words = [what, str({"suite": suite, "run": run}[what]), "-o", str(tmp_path / "out")]
    assert (main(words), main(words)) == (0, 0)


def test_a_published_run_has_the_accuracies_of_lm_eval(run, tmp_path):
    assert main(["run", str(run), "-o", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out" / "fake").glob("results_*.json")
    results = json.loads(file.read_text())
    told = results["results"]["videoniah_fake"]
    assert told["acc,none"] == 0.5  # 2 right of 4 with an answer: what failed is no wrong answer
    assert told["acc_stderr,none"] == pytest.approx(math.sqrt(4 * 0.25 / 3 / 4))  # sample deviation over root of n
    assert told["unanswered,none"] == 0.25
    assert results["n-samples"] == {"videoniah_fake": {"original": 6, "effective": 4}}
    assert results["config"]["videoniah"]["cases"] == {"ok": 4, "oom": 1, "missing": 1}


def test_a_published_run_loads_with_a_sample_for_each_record(run, tmp_path):
    datasets.disable_progress_bars()
    main(["run", str(run), "-o", str(tmp_path / "out")])
    samples = load(tmp_path / "out", None, None, tmp_path)["latest"]
    assert [row["status"] for row in samples] == ["ok"] * 4 + ["oom"]
    assert [row["acc"] for row in samples] == [1.0, 1.0, 0.0, 0.0, None]
    assert samples[0]["resps"] == [["B"]] and samples[4]["resps"] == [[None]]
    assert samples[0]["prompt_hash"] == hashlib.sha256(samples[0]["doc"]["prompt"].encode()).hexdigest()
    assert load(tmp_path / "out", "results", "latest", tmp_path)[0]["results"]["videoniah_fake"]["acc,none"] == 0.5


@pytest.mark.slow
def test_a_published_run_is_what_lm_eval_itself_writes(tmp_path, monkeypatch):
    """lm-eval's own samples of the same cases: equal in every key that both have, but for the name of the library."""
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    run = ["niah.run", "--model", "seeker", "--suite", "smoke", "--conditions", "full", "--no_figures"]
    other = ["niah.lm_eval", "--model", "seeker", "--tasks", "videoniah_smoke", "--log_samples", "--output_path", "lm"]
    metadata = ["--metadata", json.dumps({"conditions": "full"})]
    for command in ([*run, "--output_path", "run"], [*other, *metadata], ["niah.publish", "run", "run", "-o", "out"]):
        around = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, env=around, check=True, capture_output=True)
    ours, theirs = (
        {row["doc"]["case"]: row for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())}
        for name in ("out", "lm")
        for file in (tmp_path / name).rglob("samples_*.jsonl")
    )
    assert set(ours) == set(theirs) and len(ours) == 24
    for name in ours:
        for row in (ours[name], theirs[name]):
            del row["doc"]["library"], row["arguments"]["gen_args_0"]["arg_2"], row["doc_hash"], row["doc_id"]
        assert {key: ours[name][key] for key in theirs[name]} == theirs[name]


HOSTILE = "<script>alert(1)</script> [x](javascript:y) | `a` *b* _c_\n# head"
TABLE = [
    ("<b>&", "&lt;b&gt;&amp;"),
    ("a|b", "a\\|b"),
    ("[x](y)", "\\[x\\](y)"),
    ("`*_~", "\\`\\*\\_\\~"),
    ("one\n# two", "one \\# two"),
]


@pytest.mark.parametrize("text, shown", TABLE)
def test_words_reach_a_page_as_words(text, shown):
    assert plain(text) == shown


def test_a_card_holds_no_markup_of_other_people(tmp_path):
    case = make_case("n1", suite=HOSTILE)
    folder = write_run(tmp_path / "run", [case], [make_record(case)], model=HOSTILE)
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**about, "suite": HOSTILE}))
    assert main(["run", str(folder), "-o", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert "<script" not in body and "\n# head" not in body
    assert "javascript" in body and re.findall(r"[^\\]\]\(", body) == []  # no link: its bracket is escaped
    assert yaml.safe_load(head)["pretty_name"].startswith("VideoNIAH <script>")  # YAML of the hub, where it is a text
    names = [path.name for path in (tmp_path / "out").rglob("*")]
    assert len(names) == 4 and all(re.fullmatch(r"[\w.-]+", name) for name in names)


class Hub:
    """Keeps what it was told to make and upload."""

    endpoint = "http://127.0.0.1"

    def __init__(self):
        self.told = []

    def create_repo(self, name, **settings):
        self.told.append((name, settings))

    def upload_folder(self, **settings):
        self.told.append(settings)


def test_a_push_takes_only_what_was_written_and_is_private(tmp_path):
    hub = Hub()
    assert push(tmp_path, ["README.md"], "me/it", api=hub) == "http://127.0.0.1/datasets/me/it"
    assert hub.told[0] == ("me/it", {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert hub.told[1]["allow_patterns"] == ["README.md"] and hub.told[1]["folder_path"] == str(tmp_path)


def test_a_public_push_is_public(tmp_path):
    hub = Hub()
    push(tmp_path, ["README.md"], "me/it", public=True, api=hub)
    assert hub.told[0][1]["private"] is False


@pytest.fixture
def endpoint():
    """A hub on 127.0.0.1 that refuses everything. Yields its address and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("flags, asks", [([], False), (["--push", "me/it"], True)])
def test_nothing_is_pushed_without_the_flag(run, tmp_path, endpoint, flags, asks):
    url, asked = endpoint
    token = "hf_notatoken0123456789"
    around = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": token, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}
    around.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "niah", "publish", "run", str(run), "-o", str(tmp_path / "out"), *flags]
    done = subprocess.run([*command, "--licence", "cc0-1.0"], env=around, capture_output=True, text=True, timeout=120)
    assert bool(asked) == asks
    assert done.returncode == (2 if asks else 0), done.stderr
    assert ("was written but not pushed to 'me/it': " in done.stderr) == asks
    assert token not in done.stdout + done.stderr


def test_nothing_is_pushed_without_a_licence(run, tmp_path, capsys):
    assert main(["run", str(run), "-o", str(tmp_path / "out"), "--push", "me/it"]) == 2
    assert "nothing is pushed without a licence" in capsys.readouterr().err
