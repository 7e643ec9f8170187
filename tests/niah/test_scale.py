"""What grows with the number of cases is done once: counted in operations, as seconds say nothing on a busy machine."""

import dataclasses
import errno
import io
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hypergeom

from niah.analysis import load
from niah.analysis import table as table_module
from niah.analysis.scored import luck
from niah.analysis.stats.observations import Observations
from niah.analysis.stats.paired import unpaired_difference
from niah.analysis.stats.proportions import share_of
from niah.analysis.stats.regression import mean
from niah.io import CannotWrite
from niah.media import frame_keys
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.run.plan import Plan
from niah.run.progress import Progress
from niah.run.records import Records, read_records
from niah.run.time_left import TimeLeft
from niah.suite import near_duplicates
from niah.suite.config import Footage, Suite
from niah.suite.folder import GeneratedSuite, NearDuplicate
from niah.suite.library import Library
from niah.types import OptionLikelihood, Sampling, Source, Span
from tests.helpers.commands import table
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.generate_fakes import FakeIndex
from tests.helpers.media_samples import make


def test_a_table_with_all_its_checks_reads_and_scores_each_reply_once(tmp_path, monkeypatch):
    cases = [make_case(f"n{n}", condition) for n in range(4) for condition in ("full", "needle_only", "blind")]
    folder = write_run(tmp_path / "run", cases, [make_record(case) for case in cases])
    scored, read, score_case, read_records = [], [], load.score_case, load.read_records
    monkeypatch.setattr(load, "score_case", lambda case, *rest: scored.append(case.id) or score_case(case, *rest))
    monkeypatch.setattr(load, "read_records", lambda *args, **more: read.append(1) or read_records(*args, **more))
    assert table([str(folder)]) == 0
    assert sorted(scored) == sorted(case.id for case in cases)
    assert read == [1]


def test_the_rows_of_a_run_are_counted_once_for_its_table_and_its_summary(tmp_path, monkeypatch):
    cases = [make_case(f"n{n}", condition) for n in range(4) for condition in ("full", "needle_only", "blind")]
    folder = write_run(tmp_path / "run", cases, [make_record(case) for case in cases])
    counted, row = [], table_module._row
    monkeypatch.setattr(table_module, "_row", lambda run, key, *rest: counted.append(key) or row(run, key, *rest))
    assert table([str(folder)]) == 0
    assert len(counted) == len(set(counted)) > 5


def test_statistics_of_many_clusters_hold_numbers_for_each_and_none_for_each_pair():
    answers = Observations.of((f"n{n}", "", (n % 3 > asked,)) for n in range(2000) for asked in range(2))
    tracemalloc.start()
    for estimate in (share_of, mean, lambda some: unpaired_difference(some[::2], some[1::2])):
        assert estimate(answers) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000**2  # bytes: pairs of clusters would take eight each


def test_numbers_and_names_of_many_lines_are_held_once(tmp_path):
    cases = [make_case(f"n{n}", question=f"Which way does number {n % 2} go?") for n in range(50)]
    records = [
        make_record(case, frames_kept=tuple(range(n % 5, 2000, 25)), sources=("h@00", "c@11"))
        for n, case in enumerate(cases)
    ]
    run = load.read_run(write_run(tmp_path / "run", cases, records))
    kept = [frame for record in run.records.values() for frame in record.frames_kept]
    assert len({id(frame) for frame in kept}) == len(set(kept)) < len(kept) / 2
    assert len({id(record.frames_kept) for record in run.records.values()}) == 5
    held = [text for case in run.cases for text in (case.question, case.haystack, *case.options)]
    held += [text for record in run.records.values() for text in (record.model, *record.sources)]
    assert len({id(text) for text in held}) == len(set(held)) == 2 + 1 + 4 + 1 + 2


def test_the_disk_is_waited_for_once_a_second_and_keeps_what_it_had(tmp_path, monkeypatch):
    waited, now, fsync = [], [0.0], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: waited.append(1) or fsync(file))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path, cases = tmp_path / "records.jsonl", [make_case(f"n{n}") for n in range(60)]
    open_records = Records(path)
    for case in cases[:50]:
        now[0] += 0.1
        open_records.append(make_record(case))
    assert len(waited) == 5
    open_records.append(make_record(cases[50]))
    assert path.read_bytes().count(b"\n") == 51

    def full(file):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    now[0] += 9.0
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="Disk quota exceeded"):
        open_records.append(make_record(cases[51]))
    kept = [record.case for record in read_records(path)]
    assert kept == [case.id for case in cases[: len(kept)]] and 41 <= len(kept) <= 50


def test_the_time_left_is_only_reckoned_when_the_bar_is_drawn(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    cases = tuple(make_case(f"n{n}") for n in range(300))
    plan = Plan(GeneratedSuite(Suite("many", footage=Footage("many")), cases, {}), cases, frozenset())
    reckoned = []
    monkeypatch.setattr(TimeLeft, "seconds", lambda left: reckoned.append(1))
    with Progress(plan, []) as progress:
        for case in cases:
            progress.add(case, make_record(case, measured={"file_to_answer_seconds": 0.001}))
    assert 0 < len(reckoned) < 10


def test_the_sum_of_what_is_left_is_kept_and_not_added_up_again():
    cases = [make_case(f"n{n}", length=1000 + n) for n in range(9)]
    left = TimeLeft(cases, {cases[0].id}, {cases[1].id}, lambda: 1.0)
    for case in (cases[0], cases[4], cases[4]):
        left.add(make_record(case, measured={"file_to_answer_seconds": 0.1}))
    assert list(left._rest)[:2] == [6, sum(case.length for case in cases[2:]) - cases[4].length]


def test_a_library_finds_what_it_knows_without_looking_through_it():
    class Sources(dict):
        def values(self):
            pytest.fail("looked through")

    files = {f"f{n}": FakeIndex(f"{n % 400:04}", 10, 1) for n in range(500)}
    library = Library("1", lambda path: files[path.name])
    library.sources = Sources()
    names = [library.add(Path(name), name).name for name in [*files, *files]]
    assert names == [f"f{n % 400}" for n in range(500)] * 2
    assert list(library.indexes) == [f"f{n}" for n in range(400)]


@pytest.mark.parametrize("frames, of_needle, kept", [(2000, 10, 32), (100, 40, 7), (10, 4, 8), (5, 5, 1), (50, 0, 9)])
def test_luck_is_that_of_the_hypergeometric_distribution(frames, of_needle, kept):
    assert luck(frames, of_needle, kept) == pytest.approx(hypergeom.sf(0, frames, of_needle, kept), abs=1e-12)


def test_lines_are_written_without_copying_and_say_what_a_copy_would():
    case = make_case("n0", asked=("n0", "n1"))
    likelihoods = (OptionLikelihood(-1.5, 2, 6), OptionLikelihood(-2.5, 1, 4, -3.0))
    record = make_record(case, frames_kept=(1, 2), option_likelihoods=likelihoods, settings={"a": [1]})
    wanted = {name: value for name, value in dataclasses.asdict(case).items() if name not in ("kind", "confused")}
    assert json.dumps(case.to_json()) == json.dumps(wanted)
    wanted = {name: value for name, value in dataclasses.asdict(record).items() if name != "samples"}
    assert json.dumps(record.to_json()) == json.dumps(wanted)
    assert record.to_json()["frames_kept"] is record.frames_kept


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    return make(tmp_path / "film.mp4", 60)  # 10 frames a second


def test_the_keys_of_a_source_are_made_once_for_all_cases_that_show_it(film, monkeypatch):
    index = scan(film)
    source = Source("h", "id", str(film), index.sha256, index.count("3"), float(index.seconds))
    made, seconds = [], frame_keys._seconds
    monkeypatch.setattr(frame_keys, "_seconds", lambda *given: made.append(1) or seconds(*given))
    for start in range(5):
        spans = (Span("h", start, 18), Span("h", 0, start + 1))
        video = SplicedVideo(spans, {"h": source}, Sampling("3", 16, 16), load_decoder("pyav"), 3.0, film.parent)
        keys = video.keys(0, len(video))
        ordinals = index.ordinals(start, 18, "3") + index.ordinals(0, start + 1, "3")
        assert [key.time for key in keys] == [str(index.time_of(ordinal)) for ordinal in ordinals]
        assert [key.number for key in keys] == [*range(start, 18), *range(start + 1)]
    assert len(made) == 18
    with pytest.raises(IndexError):
        frame_keys.frame_keys(index, (0, 19), "3", "id", "", "")


def hashed(draw, count, bases, noise):
    """Return pieces of footage whose hashes are those of `bases` kinds of pictures, with some bits changed."""
    kinds = draw.random((bases, 64)) < 0.5
    pieces = []
    for n in range(count):
        bits = kinds[draw.integers(0, bases, draw.integers(0, 6))]
        numbers = list(range(3, 3 + len(bits)))
        pieces.append((f"p{n}", f"s{n // 2 if n % 5 == 0 else n}", bits ^ (draw.random(bits.shape) < noise), numbers))
    return pieces


def slow_pairs(pieces, first):
    """Compare every frame of a needle with every frame of what comes before it."""
    for one in range(first, len(pieces)):
        for other in range(one):
            distances = (pieces[one][2][:, None] != pieces[other][2][None]).sum(axis=2)
            if pieces[one][1] != pieces[other][1] and distances.size and distances.min() <= near_duplicates.LIMIT:
                i, j = np.unravel_index(distances.argmin(), distances.shape)
                frames = pieces[one][3][i], pieces[other][3][j]
                yield NearDuplicate(pieces[one][0], frames[0], pieces[other][0], frames[1], int(distances.min()))


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_are_those_of_comparing_everything(seed):
    pieces = hashed(np.random.default_rng(seed), 60, 30, 0.05)
    found = list(near_duplicates._pairs(pieces, 20))
    assert found == list(slow_pairs(pieces, 20)) and len(found) > 50


def test_a_needle_takes_hardly_more_work_among_thirty_two_times_as_much_footage(monkeypatch):
    work, ranges = [], near_duplicates._ranges

    def counting(begin, end):
        work.append((end - begin).sum())  # each frame is looked up and found, and so are those it is compared with
        return ranges(begin, end)

    monkeypatch.setattr(near_duplicates, "_ranges", counting)
    done = []
    for count in (8000, 256_000):
        bits = np.random.default_rng(0).random((count, 64)) < 0.5
        found = near_duplicates.close_frames(bits, 3, count - 1000)
        assert all((rows == others).all() for rows, others, _ in found)
        done.append(sum(work))
        work.clear()
    assert done[1] < 3 * done[0]


def test_footage_that_is_all_alike_is_compared_in_blocks(monkeypatch):
    monkeypatch.setattr(near_duplicates, "BLOCK", 1000)
    sizes = [len(rows) for rows, _, _ in near_duplicates.close_frames(np.zeros((300, 64), bool), 6)]
    assert max(sizes) <= 1000 and sum(sizes) == 7 * 300**2  # a pair comes for each part that it shares
