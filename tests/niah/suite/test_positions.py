from collections import Counter

import pytest

from niah.suite.positions import bin_of, draw_start, nearest, starts_in_bin


def test_bins_share_every_start_once():
    for room in (1, 4, 5, 99, 1970):
        starts = [start for number in range(5) for start in starts_in_bin(number, 5, room)]
        assert starts == list(range(room + 1))
        assert all(start in starts_in_bin(bin_of(start, 5, room), 5, room) for start in starts)


def test_a_bin_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="expected a bin from 0 to 4, got 5"):
        starts_in_bin(5, 5, 100)
    with pytest.raises(ValueError, match="expected a start from 0 to 100, got 101"):
        bin_of(101, 5, 100)


def test_a_start_follows_from_its_name_alone():
    one = draw_start("suite/needle-3/2000/1", 1, 5, 1970, ())
    assert one == draw_start("suite/needle-3/2000/1", 1, 5, 1970, ())
    assert one in starts_in_bin(1, 5, 1970)
    assert one != draw_start("suite/needle-4/2000/1", 1, 5, 1970, ())


def test_without_cuts_starts_are_uniform_in_their_bin():
    counts = Counter(draw_start(f"{number}", 2, 5, 49, ()) for number in range(3000))
    assert sorted(counts) == list(range(20, 30))  # bin 2 of 5: depths 0.4 up to 0.6 of 49
    assert max(abs(count - 300) for count in counts.values()) < 5 * 300**0.5


def test_a_start_moves_to_the_nearest_cut_of_its_bin():
    cuts = (0, 390, 410, 600, 805)
    for number in range(50):
        assert draw_start(f"{number}", 1, 5, 2000, cuts) in (410, 600)  # 390 and 805 belong to the bins beside it
    assert {draw_start(f"{number}", 1, 5, 2000, cuts) for number in range(50)} == {410, 600}


def test_a_bin_without_a_cut_keeps_the_start_that_was_drawn():
    assert draw_start("a", 1, 5, 2000, (10, 1900)) == draw_start("a", 1, 5, 2000, ())


def test_a_bin_without_a_frame_has_no_start():
    assert draw_start("a", 1, 5, 2, ()) is None  # three starts in five bins: 0, 1 and 2 lie in bins 0, 2 and 4


def test_of_two_equally_near_cuts_the_earlier_is_taken():
    assert nearest(15, (10, 20)) == 10
    assert nearest(16, (10, 20)) == 20
    assert (nearest(3, (10, 20)), nearest(99, (10, 20))) == (10, 20)
