import hashlib
import random

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.tree import DecisionTreeClassifier

from niah.suite.footage.clips import NUMBERS, TYPES, draw_clip
from niah.suite.footage.scenes import reserved_looks

# python -c "import hashlib, niah.suite.footage.clips as f
# print(hashlib.sha256(f.draw_clip('golden', 'needle-000', TYPE).frames()).hexdigest())"
# with numpy 2.4 on x86-64, Python 3.11. Another hash means other scores: then bump FOOTAGE_VERSION too.
GOLDEN = {
    "motion": "e586a13d0d052022e3d1f0f14bb1bb9b84e60683a6a8b1272fa0df23b50b4bb2",
    "colour": "1eade68796f89f6cf3200f370977676d1e9339af52c1a6f6c3ac7b14c481aacc",
    "order": "4e5f81dc554c2849d2e75a8e6dbe4b5cae5acfe40f67c9f56cd32ad6acd75dbe",
    "digit": "cc185251b12cf9a131b1d3fd6db773f79c27a6b65901bf8add21f34ecec9b123",
    "count": "e55aa49c25effe7b004e703d250d8be032f79154bfefa759a7f30756cc15d76d",
}
CLIPS = 60


def clips(type, count=CLIPS):
    return [draw_clip("w", f"needle-{number:03d}", type) for number in range(count)]


def named(made, number):
    """The labels of the target in one frame."""
    return [sprite for sprite in made.sprites(number) if (sprite.shape, sprite.colour) == tuple(made.target)]


def right_option(made):
    return made.options["ABCD".index(made.answer)]


@pytest.mark.parametrize("type", TYPES)
def test_pictures_are_those_of_version_1(type):
    digest = hashlib.sha256(draw_clip("golden", "needle-000", type).frames().tobytes()).hexdigest()
    assert digest == GOLDEN[type]


@pytest.mark.parametrize("type", TYPES)
def test_clips_have_10_to_40_frames_a_reserved_target_and_four_different_options(type):
    for made in clips(type):
        assert 10 <= made.count <= 40
        assert made.frames().shape == (made.count, 64, 64, 3)
        assert made.target in reserved_looks("w")
        assert str(made.target) in made.question
        assert len(set(made.options)) == 4


def test_target_of_a_motion_clip_moves_as_the_answer_says_by_24_to_42_pixels():
    steps = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    for made in clips("motion"):
        (first,), (last,) = named(made, 0), named(made, made.count - 1)
        x, y = steps[right_option(made)]
        along, aside = (last.x - first.x) * x + (last.y - first.y) * y, (last.x - first.x) * y + (last.y - first.y) * x
        assert 24 <= along <= 42
        assert aside == 0


def test_target_of_a_motion_clip_is_never_covered():
    assert all(len(named(made, number)) == 1 for made in clips("motion") for number in range(made.count))


def test_bystanders_of_a_motion_clip_move_another_way():
    for made in clips("motion"):
        ways = {t.look: (np.sign(t.xs[-1] - t.xs[0]), np.sign(t.ys[-1] - t.ys[0])) for t in made.scene.tracks}
        target = ways.pop(made.target)
        assert ways
        assert target not in ways.values()


def test_target_of_a_colour_clip_turns_into_the_answer_where_it_stands():
    for made in clips("colour"):
        before = [number for number in range(made.count) if named(made, number)]
        turn = before[-1] + 1
        assert before == list(range(turn))
        assert turn < made.count
        (old,) = named(made, turn - 1)
        (new,) = [s for s in made.sprites(turn) if s.shape == old.shape and abs(s.x - old.x) + abs(s.y - old.y) <= 4]
        assert new.colour == right_option(made)
        assert made.target.colour not in made.options


def test_a_bystander_of_a_colour_clip_turns_into_a_wrong_option():
    for made in clips("colour"):
        other = {s.colour for s in made.sprites(made.count - 1) if s.shape != made.target.shape}
        assert len(other) == 1
        assert other < set(made.options) - {right_option(made)}


def test_sprites_of_an_order_clip_come_one_at_a_time_and_the_answer_is_beside_the_target():
    for made in clips("order"):
        frames = [made.sprites(number) for number in range(made.count)]
        assert all(len(sprites) == 1 for sprites in frames)
        seen = list(dict.fromkeys(f"{sprite.colour} {sprite.shape}" for (sprite,) in frames))
        assert set(seen) == {*made.options, str(made.target)}
        step = -1 if "right before" in made.question else 1
        assert seen[seen.index(str(made.target)) + step] == right_option(made)


def test_target_of_a_digit_clip_carries_the_answer_and_bystanders_wrong_options():
    for made in clips("digit"):
        for number in range(made.count):
            (target,) = named(made, number)
            others = [str(sprite.digit) for sprite in made.sprites(number) if sprite != target]
            assert str(target.digit) == right_option(made)
            assert others
            assert set(others) < set(made.options) - {right_option(made)}


def test_a_count_clip_shows_as_many_targets_as_the_answer_says():
    for made in clips("count"):
        assert {len(named(made, number)) for number in range(made.count)} == {1 + NUMBERS.index(right_option(made))}
        assert len(made.sprites(0)) > len(named(made, 0))


def test_a_clip_shows_no_reserved_look_but_its_target():
    for type in TYPES:
        for made in clips(type):
            shown = {(s.shape, s.colour) for number in range(made.count) for s in made.sprites(number)}
            assert shown & set(map(tuple, reserved_looks("w"))) == {tuple(made.target)}


def test_type_and_target_can_be_chosen():
    target = reserved_looks("w")[5]
    made = draw_clip("w", "needle-000", "count", target)
    assert (made.type, made.target) == ("count", target)


def test_an_unknown_type_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'speed'; known: motion, colour, order, digit, count"):
        draw_clip("w", "needle-000", "speed")


def bag_of_words(made):
    """Which words the question holds, which words the options hold, and which option text stands where."""
    words = [f"asked {word}" for word in made.question.split()]
    options = [f"option {word}" for option in made.options for word in option.split()]
    return words + options + [f"{place} {option}" for place, option in enumerate(made.options)]


def counts(documents):
    """A row of word counts for each document."""
    columns = {word: number for number, word in enumerate(sorted({word for words in documents for word in words}))}
    table = np.zeros((len(documents), len(columns)))
    for row, words in enumerate(documents):
        for word in words:
            table[row, columns[word]] += 1
    return table


def interval(cases):
    """How many of these a guesser among four gets right in 95 of 100 tries."""
    return binom.interval(0.95, cases, 0.25)


def hits(classifier, features, answers):
    return round(cross_val_score(classifier, features, answers, cv=4).mean() * len(answers))


@pytest.fixture(scope="module")
def asked():
    made = [draw_clip("leak", f"needle-{number}", TYPES[number % 5]) for number in range(2000)]
    return counts([bag_of_words(one) for one in made]), np.array([one.answer for one in made])


@pytest.mark.parametrize(
    "classifier",
    [LogisticRegression(C=0.1, tol=0.01), MultinomialNB(), DecisionTreeClassifier(max_depth=6, random_state=0)],
    ids=["logistic", "bayes", "tree"],
)
def test_question_and_options_give_no_answer_away(asked, classifier):
    features, answers = asked
    low, high = interval(2000)
    assert low <= hits(classifier, features, answers) <= high


@pytest.mark.parametrize("type", TYPES)
def test_question_and_options_of_one_type_give_no_answer_away(asked, type):
    features, answers = asked
    rows = np.arange(2000) % 5 == TYPES.index(type)
    low, high = interval(400)
    assert low <= hits(MultinomialNB(), features[rows], answers[rows]) <= high


def test_right_option_texts_are_as_likely_as_wrong_ones():
    # Not the letter but the text: left is not right more often than up, 7 not more often than 2.
    for type, texts in (("motion", 4), ("digit", 10), ("count", 4)):
        made = clips(type, 400)
        shares = [
            sum(right_option(one) == text for one in made) / sum(text in one.options for one in made)
            for text in {option for one in made for option in one.options}
        ]
        assert len(shares) == texts
        assert max(shares) < 0.25 + 4 * (0.25 * 0.75 / 160) ** 0.5  # four standard errors; a digit is offered 160 times


def test_one_frame_of_a_motion_clip_does_not_tell_the_direction():
    rows, answers = [], []
    for number in range(1000):
        made = draw_clip("leak", f"still-{number}", "motion")
        moment = random.Random(number).randrange(made.count)
        (target,) = named(made, moment)
        others = [place for s in made.sprites(moment) if s != target for place in (s.x, s.y)]
        rows.append([target.x, target.y, target.digit is None, *others, -1, -1, -1, -1][:7])
        answers.append(right_option(made))
    low, high = interval(1000)
    forest = RandomForestClassifier(30, min_samples_leaf=20, random_state=0)
    assert low <= hits(forest, np.array(rows), np.array(answers)) <= high


def test_a_classifier_would_notice_an_answer_that_leaks(asked):
    features, answers = asked
    leaking = np.column_stack([features, (answers == "A") & (np.arange(2000) % 2 == 0)])  # half of the As are marked
    assert hits(MultinomialNB(), leaking, answers) > interval(2000)[1]
