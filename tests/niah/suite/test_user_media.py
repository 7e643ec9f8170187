"""The user's own videos: how they are named, laid end to end, left out, and refused."""

import dataclasses
import os
from fractions import Fraction

import pytest

from niah.media.errors import MediaError
from niah.suite.config import Haystacks, Needles
from niah.suite.folder import Skip
from niah.suite.library import Haystack, Library, cut_timeline
from niah.suite.needles import NeedleRow
from niah.suite.user_media import (
    _clip,
    _scan_haystacks,
    find_videos,
    join_into_haystacks,
    mark_cuts,
    refuse_folder,
    resolve,
)
from niah.types import Sampling, Span, UserError
from tests.helpers.generate_fakes import FakeIndex, library_of, needle, suite


def own(**changes):
    values = {"lengths": (500, 1000), "footage": None, "haystacks": Haystacks("hay"), "needles": Needles("n.jsonl")}
    return suite(**{**values, **changes})


def lay(frames, rate="1", **changes):
    library = library_of({f"v{number}": FakeIndex(f"h{number}", size, 1) for number, size in enumerate(frames)}, rate)
    sources = list(library.sources.values())
    return join_into_haystacks(own(**changes), sources, library), library


def used(haystacks):
    return [(span.source, n) for stack in haystacks for span in stack.timeline for n in range(span.start, span.stop)]


def test_cut_takes_a_range_across_spans():
    timeline = (Span("a", 10, 20), Span("b", 0, 5), Span("c", 3, 9))
    assert cut_timeline(timeline, 8, 17) == (Span("a", 18, 20), Span("b", 0, 5), Span("c", 3, 5))


def test_videos_are_laid_end_to_end_and_cut_into_as_many_haystacks_as_fit():
    haystacks, _ = lay([900, 900, 700])
    assert [sum(len(span) for span in stack.timeline) for stack in haystacks] == [1000, 1000]
    assert len(set(used(haystacks))) == 2000


def test_footage_that_just_fits_is_used_to_the_last_frame():
    haystacks, _ = lay([400, 600])
    assert len(used(haystacks)) == 1000


def test_the_order_of_videos_is_drawn_from_the_suite_s_name():
    orders = {tuple(dict.fromkeys(s for s, _ in used(lay([200] * 5, name=f"s{n}")[0]))) for n in range(6)}
    assert len(orders) > 1


def test_count_limits_the_haystacks():
    assert len(lay([5000], haystacks=Haystacks("hay", count=2))[0]) == 2


def test_too_little_footage_says_how_much_there_is_and_every_way_out():
    with pytest.raises(UserError) as error:
        lay([400, 500])
    for words in ("2 usable videos have 900 frames", "needs 1,000", "add footage", "rate", "shorter", "allow_repeat"):
        assert words in str(error.value)


def test_a_haystack_more_than_the_footage_fills_is_refused():
    with pytest.raises(UserError, match="2 haystack.* need 2,000"):
        lay([1999], haystacks=Haystacks("hay", count=2))


def test_no_usable_video_is_refused_even_where_frames_may_repeat():
    with pytest.raises(UserError, match="0 usable videos"):
        lay([], allow_repeat=True)


def test_too_little_footage_says_which_videos_were_left_out_and_why():
    library = library_of({})
    with pytest.raises(UserError) as error:
        join_into_haystacks(own(), [], library, [Skip("cut.mp4", "it is truncated")])
    assert str(error.value).endswith("\n  left out: cut.mp4: it is truncated")
    assert "native gives" not in str(error.value)  # nor would a higher rate help


def test_with_allow_repeat_the_footage_starts_over_and_repeats_are_counted():
    haystacks, library = lay([400], allow_repeat=True)
    timeline = haystacks[0].timeline
    assert timeline == (Span("v0", 0, 400), Span("v0", 0, 400), Span("v0", 0, 200))
    assert library.repeats(timeline) == 600
    assert library.repeats(cut_timeline(timeline, 0, 500)) == 100
    assert library.repeats(cut_timeline(timeline, 0, 400)) == 0


def test_scenes_begin_at_a_source_s_cuts_and_where_a_source_ends():
    timeline = (Span("a", 10, 20), Span("b", 0, 5), Span("a", 0, 10))
    stack = Haystack("haystack-0", timeline, frozenset())
    marked = mark_cuts(stack, {"a": (4, 10, 13, 19), "b": (5,)})  # 10 opens the first span, 5 closes the second
    assert marked.cuts == (3, 9, 10, 15, 19)
    assert mark_cuts(stack, {"a": (), "b": ()}).cuts == (10, 15)


def test_a_rate_above_the_source_s_own_counts_as_repeats():
    library = library_of({"slow": FakeIndex("s", 100, 5)}, "10")
    assert library.sources["slow"].frames == 200
    assert library.repeats((Span("slow", 0, 200),)) == 100


class Files:
    """Measures files by name; a name it lacks is broken."""

    def __init__(self, **indexes):
        self.indexes = indexes

    def __call__(self, path):
        if path.stem not in self.indexes:
            raise MediaError(path, "it is empty", "leave it out")
        return self.indexes[path.stem]


def measured(names, files, tmp_path, **changes):
    skips: list[Skip] = []
    settings = own(**changes)
    library = Library(settings.sampling.rate, files)
    sources = _scan_haystacks([(name, tmp_path / name) for name in names], settings, library, skips)
    return [source.name for source in sources], skips


def test_a_broken_haystack_is_skipped_with_the_reader_s_reason(tmp_path):
    names, skips = measured(["good.mp4", "bad.mp4"], Files(good=FakeIndex("g", 50, 1)), tmp_path)
    assert names == ["good.mp4"]
    assert skips[0].what == "bad.mp4" and "it is empty" in skips[0].why


def test_a_copy_of_a_haystack_is_used_once(tmp_path):
    files = Files(one=FakeIndex("same", 50, 1), two=FakeIndex("same", 50, 1))
    names, skips = measured(["one.mp4", "two.mp4"], files, tmp_path)
    assert names == ["one.mp4"] and skips == [Skip("two.mp4", "it is the same file as one.mp4")]


def test_a_source_slower_than_the_rate_is_skipped_with_a_rate_that_would_do(tmp_path):
    sampling = Sampling("10", 64, 64)
    names, skips = measured(["slow.mp4"], Files(slow=FakeIndex("s", 100, 5)), tmp_path, sampling=sampling)
    assert names == [] and "use rate: 5 or lower" in skips[0].why


def test_a_source_slower_than_the_rate_is_used_where_frames_may_repeat(tmp_path):
    files = Files(slow=FakeIndex("s", 100, 5))
    names, skips = measured(["slow.mp4"], files, tmp_path, sampling=Sampling("10", 64, 64), allow_repeat=True)
    assert names == ["slow.mp4"] and not skips


@pytest.mark.parametrize("frames, used", [(299, True), (297, False)])
def test_a_source_that_shows_less_than_one_frame_in_a_hundred_twice_is_used(tmp_path, frames, used):
    """300 seconds at rate 1: a video cut without re-encoding often has 0.999 frames per second."""
    names, skips = measured(["cut.mp4"], Files(cut=FakeIndex("s", frames, Fraction(frames, 300))), tmp_path)
    assert (names == ["cut.mp4"]) == used and bool(skips) != used


def test_two_files_of_one_name_are_two_sources(tmp_path):
    library = Library("1", Files(a=FakeIndex("aaaaaaaaaa", 50, 1), b=FakeIndex("bbbbbbbbbb", 60, 1)))
    assert library.add(tmp_path / "a.mp4", "clip.mp4").name == "clip.mp4"
    assert library.add(tmp_path / "b.mp4", "clip.mp4").name == "clip.mp4#bbbbbbbb"


def placed(start, stop, rate="1", **changes):
    library = library_of({"cat.mp4": FakeIndex("c", 400, 10)}, rate)  # 40 s
    row = NeedleRow(needle("cat", start=start, stop=stop), "needles.jsonl, line 2")
    return _clip(row, library.sources["cat.mp4"], own(sampling=Sampling(rate, 64, 64), **changes), library)


def test_a_span_in_seconds_becomes_frames_at_the_rate():
    assert placed(10.0, 30.5, rate="2").span == Span("cat.mp4", 20, 61)


def test_a_missing_span_is_the_whole_clip():
    assert placed(None, None).span == Span("cat.mp4", 0, 40)


def test_a_stop_rounded_a_little_past_the_end_is_the_end():
    assert placed(0.0, 40.05, rate="native").span == Span("cat.mp4", 0, 400)


@pytest.mark.parametrize("start, stop", [(0.0, 41.0), (40.0, None), (50.0, 60.0)])
def test_a_span_beyond_the_clip_s_end_is_refused_with_its_line(start, stop):
    with pytest.raises(UserError, match=r"needles.jsonl, line 2: the span .* lasts 40.000 s"):
        placed(start, stop)


def test_a_clip_of_another_duration_is_skipped_with_the_reason():
    settings = Needles("n.jsonl", seconds=(30.0, 120.0))
    assert placed(0.0, 20.0, needles=settings) == Skip("cat", "its clip lasts 20 s, not 30 to 120 s")
    assert placed(0.0, 30.0, needles=settings).span == Span("cat.mp4", 0, 30)


def test_the_paper_design_drops_clips_outside_30_to_120_seconds():
    assert isinstance(placed(0.0, 29.0, design="paper", lengths=(2000, 4000, 6000, 8000, 10000)), Skip)


def test_a_needle_longer_than_the_shortest_haystack_is_refused_with_its_line():
    with pytest.raises(UserError, match="line 2: needle 'cat' has 40 frames .* is 40 frames"):
        placed(None, None, lengths=(40,))


def test_a_folder_s_videos_are_found_at_any_depth_by_name(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("z.mp4", "b/a.WEBM", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert [name for name, _ in find_videos(Haystacks(str(tmp_path)))] == ["b/a.WEBM", "z.mp4"]


def test_listed_files_are_used(tmp_path):
    (tmp_path / "z.mp4").touch()
    assert find_videos(Haystacks(files=(str(tmp_path / "z.mp4"),))) == [("z.mp4", tmp_path / "z.mp4")]


def test_a_listed_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="gone.mp4 does not exist"):
        find_videos(Haystacks(files=(str(tmp_path / "gone.mp4"),)))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no video file"):
        find_videos(Haystacks(str(tmp_path)))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot list .*gone"):
        find_videos(Haystacks(str(tmp_path / "gone")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_an_unreadable_folder_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    (tmp_path / "z.mp4").touch()
    with pytest.raises(UserError, match="cannot list .*locked"):
        find_videos(Haystacks(str(tmp_path)))


def test_a_folder_without_permission_is_named_with_the_system_s_reason():
    with pytest.raises(UserError, match=r"cannot list hay/locked \(Permission denied\)"):
        refuse_folder(PermissionError(13, "Permission denied", "hay/locked"))


def test_neither_folder_nor_files_is_refused():
    with pytest.raises(UserError, match="folder: or files:"):
        find_videos(Haystacks())


def test_paths_of_a_suite_start_at_its_folder(tmp_path):
    settings = resolve(own(haystacks=Haystacks("../hay", ("x.mp4",))), tmp_path / "suites")
    assert settings.haystacks == Haystacks(str(tmp_path / "hay"), (str(tmp_path / "suites" / "x.mp4"),))
    assert settings.needles == Needles(str(tmp_path / "suites" / "n.jsonl"))


def test_a_hub_name_is_not_taken_for_a_path(tmp_path):
    settings = resolve(own(needles=Needles(dataset="someone/needles")), tmp_path)
    assert settings.needles is not None and settings.needles.dataset == "someone/needles"


def test_a_resolved_suite_resolves_to_itself(tmp_path):
    settings = resolve(own(), tmp_path)
    assert resolve(settings, tmp_path / "elsewhere") == settings


def test_haystacks_know_the_sources_in_them():
    haystacks, _ = lay([600, 600], lengths=(500, 600), haystacks=dataclasses.replace(Haystacks("hay"), count=2))
    assert {stack.identities for stack in haystacks} == {frozenset({"sha256:h0"}), frozenset({"sha256:h1"})}
