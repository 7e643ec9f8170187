"""Prompts and frames against the release's recorded ones, V-NIAH's grid and scorers, and Table 1."""

import json
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from niah.integrations.benchmarks.frames import Frames, evenly, release_frames
from niah.integrations.benchmarks.item import Item, split_question
from niah.integrations.benchmarks.prompts import NEW_TOKENS, in_style, make_question, user_text
from niah.integrations.benchmarks.subtitles import subtitle_text
from niah.integrations.benchmarks.table1 import our_rows, published_rows, table_markdown
from niah.integrations.benchmarks.tables import read_egoschema, read_longvideobench, read_mlvu
from niah.integrations.benchmarks.vniah import Grid, score
from niah.integrations.benchmarks.vniah import load_documents as vniah
from niah.integrations.case_library import resolve_reference, video_reference
from niah.integrations.lm_eval.cli import TASKS, register
from niah.media.writer import write_mp4
from niah.types import Question, Span, UserError
from tests.helpers.commands import benchmarks as main

REFERENCE = Path(__file__).parents[2] / "reference" / "vilamp"


def recorded(name):
    return json.loads((REFERENCE / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", recorded("prompts.json"), ids=lambda case: case["benchmark"])
def test_prompt_is_the_releases_to_the_letter(case):
    said = user_text(case["benchmark"], case["question"], case.get("options"), case.get("subtitle", ""))
    assert said == case["user_text"]
    assert NEW_TOKENS[case["benchmark"]] == case["max_new_tokens"]


def test_item_of_a_table_is_asked_in_the_releases_words():
    case = next(case for case in recorded("prompts.json") if case["benchmark"] == "mlvu")
    item = Item("1", "v.mp4", case["question"], ("Yard", "Roof"), "A")
    assert make_question("mlvu", None, item).prompt == case["user_text"]


def test_vlmevalkits_words_are_those_of_videochat_flashs_evaluation():
    asked = make_question("video_mme", "vlmevalkit", Item("1", "a.mp4", "What is it?", ("x", "y", "z"), "A"))
    assert asked.prompt == (
        "These are the frames of a video. Select the best answer to the following multiple-choice question based on the "
        "video. Respond with only the letter (A, B, or C) of the correct option.\nQuestion: What is it?\nOption:\n"
        "A. x\nB. y\nC. z\nAnswer with the option's letter from the given choices directly."
    )
    item = Item("1", "a.mp4", "What is it?", ("x", "y"), "A", printed=("A. x", "B. y"))
    assert make_question("video_mme_subtitles", "vlmevalkit", item, "hello").prompt == (
        "This video's subtitles are listed below: \nhello\nThese are the frames and subtitles of a video. Select the best "
        "answer to the following multiple-choice question based on the video and the subtitles. Respond with only the "
        "letter (A, or B) of the correct option.\nQuestion: What is it?\nOption:\nA. x\nB. y\nThe best answer is:"
    )


def test_a_suites_question_is_asked_in_a_scripts_words_unless_it_brings_a_prompt():
    suites = Question("Which way?", ("left", "right"))
    assert in_style(suites, "harness") is suites
    sentence = "Which way?. Please choose the right answer from the following options: ['A. left', 'B. right']."
    assert in_style(suites, "release").prompt == sentence
    given = Question("Which way?", ("left", "right"), prompt="Say it.")
    assert in_style(given, "release") is given and in_style(given, "vlmevalkit") is given


@pytest.mark.parametrize("case", recorded("subtitles.json")["subtitle_extraction"])
def test_subtitles_are_what_the_release_makes_of_them(case):
    assert subtitle_text(case["srt"]) == case["text"]


@dataclass
class Film:
    """What is measured of a file, as far as frames are taken by it."""

    native_rate: Fraction
    frames: int

    def count(self, rate):
        return self.frames


@pytest.mark.parametrize("case", recorded("frame_sampling.json"), ids=lambda case: f"{case['fps']} fps")
def test_frames_are_the_releases(case):
    film = Film(Fraction(str(case["fps"])), case["decoded_frames"])
    timeline = Frames("release", case["max_frames"]).timeline(film, "film")
    taken = [number for span in timeline for number in range(span.start, span.stop)]
    assert (len(taken), sum(taken)) == (case["count"], case["sum"])
    assert taken[:12] == case["first"] and taken[-12:] == case["last"]


def test_a_model_that_samples_by_itself_is_shown_every_frame():
    assert Frames("all").timeline(Film(Fraction(25), 100), "film") == (Span("film", 0, 100),)
    with pytest.raises(UserError, match="a limit of frames"):
        Frames("all", 5)


def test_below_one_frame_a_second_is_refused_as_the_release_cannot_divide():
    with pytest.raises(UserError, match="at least 1 frame a second, got 0.5; take frame_sampling=paper"):
        release_frames(0.5, 10)


@pytest.mark.parametrize("frames, count", [(40, 7), (9, 9), (1000, 128), (5, 1)])
def test_frames_lie_evenly_as_numpy_says(frames, count):
    assert evenly(range(frames), count) == np.linspace(0, frames - 1, count, dtype=int).tolist()


QUESTIONS = [
    ("Which?\n(A) one\n(B) two", ("Which?", ("one", "two"))),
    ("Which?\nA. one\nB. two\nAnswer with the letter.", ("Which?", ("one", "two"))),
    (
        "Which?\n(A) one,\nand more\n(B) two\nlines\nAnswer with the letter.",
        ("Which?", ("one,\nand more", "two\nlines")),
    ),
    ("Which?\n(A) one\n(B) two\n\nBe short.", ("Which?", ("one", "two"))),
    ("Which?\nB. two\nA. one", ("Which?\nB. two\nA. one", ())),
    ("Describe it.\nA. man walks", ("Describe it.\nA. man walks", ())),
]


@pytest.mark.parametrize("text, parts", QUESTIONS)
def test_options_are_read_out_of_lettered_lines(text, parts):
    assert split_question(text) == parts


@pytest.fixture
def needles(tmp_path, monkeypatch):
    """Write a haystack of 60 frames and a table as LongVA's dataset.json has it."""
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    frames = (np.full((16, 16, 3), 2 * number, np.uint8) for number in range(60))
    write_mp4(tmp_path / "movie.mp4", frames, Fraction(1))
    Image.new("RGB", (20, 12), (230, 230, 230)).save(tmp_path / "note.png")
    rows = [
        {"path": "note.png", "prompt": "\nFind the note. What is its colour?\nAnswer the question using a single word "
         "or phrase.", "answer": "White"},
        {"path": "note.png", "prompt": "\nFind the note. Where is it?\nA. Here\nB. There\nAnswer with the letter.",
         "answer": "B"},
    ]  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    return tmp_path


def test_picture_lies_before_the_frame_its_depth_says(needles):
    grid = {"lengths": [10, 20], "depths": [0.0, 0.5, 1.0], "spread": 30, "haystack": str(needles / "movie.mp4")}
    made = vniah(table=str(needles / "dataset.json"), **grid)["test"]
    assert len(made) == 2 * 2 * 3
    shown = resolve_reference(video_reference(made[4]["library"], made[4]["case"]))
    assert (made[4]["length"], made[4]["depth"]) == (20, 0.5)
    picture = next(span for span in shown.case.timeline if span.source.endswith(shown.case.needle_source[7:19]))
    before = shown.case.timeline[: shown.case.timeline.index(picture)]
    assert sum(len(span) for span in before) == 10 == shown.case.needles[0].start  # int(0.5 * 20)
    assert shown.case.length == 21
    haystack = [n for span in shown.case.timeline if span != picture for n in range(span.start, span.stop)]
    assert haystack == np.linspace(0, 59, 30, dtype=int)[:20].tolist()  # the first 20 of 30 over the whole film


def test_picture_is_asked_about_in_the_tables_own_words(needles):
    grid = {"lengths": [10], "depths": [0.5], "spread": 30, "haystack": str(needles / "movie.mp4")}
    made = vniah(table=str(needles / "dataset.json"), **grid)["test"]
    asked = [resolve_reference(video_reference(row["library"], row["case"])).case.to_question() for row in made]
    assert asked[0].text == "Find the note. What is its colour?" and asked[0].options == ()
    assert asked[0].prompt.endswith("single word or phrase.")
    assert asked[1].options == ("Here", "There")


def test_lm_eval_scores_pictures_in_both_ways(needles):
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    grid = {"lengths": [10], "depths": [0.0, 1.0], "spread": 30, "haystack": str(needles / "movie.mp4")}
    named = {"table": str(needles / "dataset.json"), "frame_size": 16, **grid}
    register("tests.helpers.fake_adapters:spotting")
    told = simple_evaluate(
        model="tests.helpers.fake_adapters:spotting",
        model_args={"in_process": True},
        tasks=["videoniah_vniah"],
        task_manager=TaskManager(include_path=list(TASKS), include_defaults=False, metadata=named),
        bootstrap_iters=0,
    )
    metrics = told["results"]["videoniah_vniah"]
    # "White, in frame N" at both depths of both pictures: begins with the first's answer, names no option of the second
    assert (metrics["teacher_forced,none"], metrics["generated,none"]) == (0.5, 0.5)
    replies = [sample["resps"][0][0] for sample in told["samples"]["videoniah_vniah"]]
    assert replies == ["White, in frame 0", "White, in frame 10"] * 2


def test_haystack_shorter_than_its_spread_is_refused(needles):
    grid = {"lengths": [10], "depths": [0.5], "haystack": str(needles / "movie.mp4")}
    made = vniah(table=str(needles / "dataset.json"), **grid)["test"]
    with pytest.raises(UserError, match="has 60 frames, spread=3000 needs as many"):
        resolve_reference(video_reference(made[0]["library"], made[0]["case"]))


@pytest.mark.parametrize(
    "path, words", [("../note.png", "leads out of"), ("a\0.png", "row 1: column 'path' must hold text")]
)
def test_picture_outside_of_the_tables_folder_is_refused(needles, path, words):
    row = {"path": path, "prompt": "Find it.", "answer": "White"}
    (needles / "dataset.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match=words):
        vniah(table=str(needles / "dataset.json"), haystack=str(needles / "movie.mp4"))


def asked(read, row):
    """Read one row; return its options and answer."""
    (item,) = read(row, "table, row 1")
    return item.options, item.answer


NUMBERS = ["2", "3", "4"]


@pytest.mark.parametrize(
    "candidates, answer, options",
    [
        (["2 ", "3 ", "4"], "3 ", ("2 ", "3 ", "4")),  # the prompt keeps the blank, the answer is found all the same
        ([2, 3, 4], 3, ("2", "3", "4")),
        (NUMBERS, 3, ("2", "3", "4")),
    ],
)
def test_an_answer_of_mlvu_is_found_among_its_candidates(candidates, answer, options):
    row = {"video": "a.mp4", "question": "How many?", "question_type": "count", "candidates": candidates}
    assert asked(read_mlvu, {**row, "answer": answer}) == (options, "B")


@pytest.mark.parametrize("answer", ["01", "12", "34", "", "-1", "5"])
def test_an_answer_of_egoschema_is_one_number_below_five(answer):
    row = {"video_idx": "a", "question": "Who?", "option": ["Ann", "Bob", "Eve", "Kim", "Lee"]}
    assert asked(read_egoschema, {**row, "answer": "1"})[1] == "B"
    with pytest.raises(UserError, match=f"row 1: answer is a number below 5, got '{answer}'"):
        asked(read_egoschema, {**row, "answer": answer})


def test_options_of_longvideobench_are_counted_as_correct_choice_does():
    names = ("option0", "option1", "option2", "option3", "option4")
    row = {"id": "1", "video_path": "a.mp4", "question": "Who?", "duration_group": 15, "correct_choice": 2}
    whole = dict(zip(names, ["Ann", "Bob", "Eve", "N/A", "N/A"], strict=True))
    assert asked(read_longvideobench, {**row, **whole}) == (("Ann", "Bob", "Eve"), "C")
    with pytest.raises(UserError, match="row 1: an option is missing before others"):  # C would be Kim, not Eve
        asked(read_longvideobench, {**row, **whole, "option1": "N/A", "option3": "Kim"})
    with pytest.raises(UserError, match="row 1: correct_choice is a number below 3, got True"):
        asked(read_longvideobench, {**row, **whole, "correct_choice": True})


def test_grid_is_longvas():
    grid = Grid("movie.mp4")
    assert (grid.lengths[0], grid.lengths[-1], len(grid.lengths)) == (200, 3000, 15)
    assert grid.depths == tuple(round(depth, 1) for depth in np.arange(0, 1.2, 0.2))


SCORES = [
    ("White", [], "White", 1, 1),
    ("White.", [], "White", 1, 1),
    ("The note is white.", [], "White", 0, 1),
    ("Whitewashed", [], "White", 1, 0),
    ("200", [], "2", 1, 0),
    ("B", ["Here", "There"], "B", 1, 1),
    ("It is There", ["Here", "There"], "B", 0, 1),
    ("A", ["Here", "There"], "B", 0, 0),
]


@pytest.mark.parametrize("reply, options, answer, forced, generated", SCORES)
def test_reply_is_scored_in_both_ways(reply, options, answer, forced, generated):
    told = score({"options": options, "answer": answer}, [reply])
    assert told == {"teacher_forced": forced, "generated": generated}


def test_teacher_forcing_is_right_exactly_where_greedy_decoding_begins_with_the_answer():
    draw = random.Random("table")
    best = {(a, b): draw.choice("abc") for a in "abc" for b in "abc"}  # a model: the likeliest token after two
    for answer in (x + y + z for x in "abc" for y in "abc" for z in "abc"):
        text, forced = "ab", []
        for token in answer:  # the slow way: the answer's own tokens stand behind the prompt
            forced.append(best[text[-2], text[-1]] == token)
            text += token
        text = "ab"
        for _ in range(5):
            text += best[text[-2], text[-1]]
        assert all(forced) == text[2:].startswith(answer)


def results(folder, task, metrics, asked, date=1.0, **config):
    """Write a result file as lm-eval does."""
    told = {
        "results": {task: {f"{name},none": value for name, value in metrics.items()}},
        "n-samples": {task: {"original": asked, "effective": asked}},
        "config": {"model": "vilamp", "model_args": {}, "videoniah": {"adapter": "vilamp"}, **config},
        "date": date,
    }
    (folder / f"results_{task}_{date}.json").write_text(json.dumps(told))


def test_table_1_has_ours_below_the_published(tmp_path):
    results(tmp_path, "videoniah_video_mme", {"acc": 0.5, "acc_long": 0.25}, 2700, date=2.0)
    results(tmp_path, "videoniah_video_mme", {"acc": 0.1, "acc_long": 0.1}, 2700, date=1.0)
    results(tmp_path, "videoniah_mlvu", {"m_avg": 0.305, "acc": 0.9}, 12, model_args={"pretrained": "weights/mine"})
    lines = table_markdown(published_rows(), our_rows([tmp_path])).splitlines()
    assert "| ViLaMP 7B (1 frame/s) (published) | 45.2 | 70.2 | 61.2 | 72.6 | 67.5 | 73.5 | 57.8 | 68.1 |" in lines
    assert "| vilamp (here) | – | – | – | – | 50.0 | – | 25.0 | – |" in lines
    assert "| vilamp, mine (here) | – | – | – | 30.5 (a run of 12 of 2,174 questions) | – | – | – | – |" in lines


def test_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["table1", str(tmp_path)]) == 2
    assert "holds no results_*.json" in capsys.readouterr().err


WRONG = [{"n-samples": {}}, {"results": []}, {"config": {}}, {"config": []}, {"date": "later"}]


@pytest.mark.parametrize("changed", WRONG)
def test_a_result_that_lm_eval_does_not_write_is_refused_by_name(tmp_path, capsys, changed):
    results(tmp_path, "videoniah_mlvu", {"m_avg": 0.5}, 12)
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    assert main(["table1", str(tmp_path)]) == 2
    assert f"{file} is no result file of lm-eval" in capsys.readouterr().err


def test_table_1_names_the_model_of_a_result_without_an_adapter(tmp_path):
    results(tmp_path, "videoniah_mlvu", {"m_avg": 0.5}, 2174, model="seeker", videoniah={"cases": {}})
    assert our_rows([tmp_path]) == {"seeker": {"mlvu": "50.0"}}


def test_table_1_alone_is_the_published(capsys):
    assert main(["table1"]) == 0
    assert "(here)" not in (printed := capsys.readouterr().out) and printed.count("(published)") == 4


def test_spans_join_neighbouring_frames():
    assert Frames("uniform", 5).timeline(Film(Fraction(10), 5), "film") == (Span("film", 0, 5),)
