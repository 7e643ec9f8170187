"""Every benchmark's task really run by lm-eval, on a tiny table in its public schema with real clips."""

import json
import logging
from pathlib import Path

import pytest

from niah.integrations.benchmarks.prompts import STYLES
from niah.integrations.benchmarks.scoring import circular, mean_over_types
from niah.integrations.lm_eval.cli import TASKS, register
from niah.types import UserError
from tests.helpers import benchmark_tables as tables
from tests.helpers.benchmark_tables import write_clips, write_table

lm_eval = pytest.importorskip("lm_eval")
RIGHT = "tests.helpers.fake_adapters:right"
SRT = '1\n00:00:01,000 --> 00:00:03,000\n<font color="white" size=".72c">It is {word}.</font>\n'


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield write_clips(folder / "videos")


@pytest.fixture(autouse=True)
def quiet():
    """Keep lm-eval's own progress out of the test report."""
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)


def evaluated(task, table, clips, model=RIGHT, **metadata):
    """Let lm-eval run one task; return (metrics by name, samples)."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    register(model)
    named = {"table": str(table), "videos": str(clips), "frame_size": 16, **metadata}
    manager = TaskManager(include_path=list(TASKS), include_defaults=False, metadata=named)
    made = {"in_process": True}
    told = simple_evaluate(model=model, model_args=made, tasks=[task], task_manager=manager, bootstrap_iters=0)
    metrics = {name.split(",")[0]: value for name, value in told["results"][task].items() if name.endswith(",none")}
    return {name: value for name, value in metrics.items() if "stderr" not in name}, told["samples"][task]


THIRD, HALF = pytest.approx(1 / 3), 0.5
RUNS = [
    ("videoniah_video_mme", tables.video_mme, {"acc": 0.75, "acc_short": 1, "acc_medium": 1, "acc_long": HALF}),
    # plotQA 2 of 2, count 1 of 1, ego 0 of 1: the mean of the types is 2/3, of the questions 3/4
    ("videoniah_mlvu", tables.mlvu_published, {"m_avg": pytest.approx(2 / 3), "acc": 0.75}),
    ("videoniah_mlvu", tables.mlvu_hub, {"m_avg": pytest.approx(2 / 3), "acc": 0.75}),
    ("videoniah_longvideobench", tables.longvideobench_published, {"acc": 0.75, "acc_15s": 1, "acc_3600s": HALF}),
    ("videoniah_longvideobench", tables.longvideobench_hub, {"acc": 0.75, "acc_60s": 1, "acc_3600s": HALF}),
    ("videoniah_egoschema", tables.egoschema_hub, {"acc": HALF}),
    ("videoniah_egoschema", tables.egoschema_published, {"acc": HALF}),
    ("videoniah_lvbench", tables.lvbench_published, {"acc": pytest.approx(2 / 3), "acc_entity_recognition": 1}),
    ("videoniah_lvbench", tables.lvbench_hub, {"acc": pytest.approx(2 / 3), "acc_reasoning": HALF}),
    # all four tries of the first question are right, three of the second's: one of two types counts
    ("videoniah_vnbench", tables.vnbench, {"acc": HALF, "acc_ret": 1, "acc_cnt": 0, "acc_single": 7 / 8}),
]


@pytest.mark.parametrize("task, rows, expected", RUNS, ids=[rows.__name__ for _, rows, _ in RUNS])
def test_benchmark_scores_a_tiny_table(tmp_path, clips, task, rows, expected):
    metrics, _ = evaluated(task, write_table(tmp_path / "table.jsonl", rows()), clips)
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["unanswered"] == 0


def test_subtitles_stand_in_the_prompt_where_there_are_any(tmp_path, clips):
    table = write_table(tmp_path / "table.jsonl", tables.video_mme())
    (tmp_path / "srt").mkdir()
    (tmp_path / "srt" / "dark.srt").write_text(SRT.format(word="dark"))
    metrics, samples = evaluated("videoniah_video_mme_subtitles", table, clips, subtitles=str(tmp_path / "srt"))
    prompts = {sample["doc"]["case"]: sample["arguments"][0][0] for sample in samples}
    assert prompts["000-1"] == (
        "This video's subtitles are listed below:\nIt is dark..\nBased on this video, please answer the following "
        "question:\nHow bright is the clip?.\nPlease think carefully and choose the best answer from the following "
        "options:\n['A. 150', 'B. 185', 'C. 220', 'D. 253']\nThe answer is: "
    )
    assert prompts["001-1"] == (  # light.mp4 has none
        "How bright is the clip?. Please choose the right answer from the following options: "
        "['A. 150', 'B. 185', 'C. 220', 'D. 253']."
    )
    assert metrics["acc_long"] == HALF


def test_adapter_reads_the_prescribed_prompt_and_the_bare_question(tmp_path, clips):
    table = write_table(tmp_path / "table.jsonl", tables.video_mme()[:1])
    _, samples = evaluated(
        "videoniah_video_mme", table, clips, model="tests.helpers.fake_adapters:echoing", prompt="letters"
    )
    assert samples[0]["resps"][0][0] == (
        "How bright is the clip?|How bright is the clip?\nA. 150\nB. 185\nC. 220\nD. 253\n"
        "Answer with the option's letter from the given choices directly.|4 frames"  # one a second, for four seconds
    )


def test_frames_are_sampled_as_named(tmp_path, clips):
    table = write_table(tmp_path / "table.jsonl", tables.video_mme()[:1])
    for sampling, limit, frames in (("release", 3, 3), ("release", None, 4), ("uniform", 7, 7), ("uniform", None, 40)):
        given = {"frame_sampling": sampling, "frame_limit": limit, "prompt": "harness"}
        _, samples = evaluated(
            "videoniah_video_mme", table, clips, model="tests.helpers.fake_adapters:echoing", **given
        )
        assert samples[0]["resps"][0][0].endswith(f"|{frames} frames")


REFUSED = [
    ({"table": None}, r"name its table, a file or a folder: --metadata table=PATH; or let `datasets` download"),
    ({"table": "nowhere.parquet"}, "nowhere.parquet does not exist"),
    ({"videos": "nowhere"}, "--metadata videos=FOLDER names the folder of the videos"),
    ({"prompt": "paper"}, "prompt is one of release, letters, vlmevalkit, harness for this benchmark, got 'paper'"),
    ({"frame_sampling": "every"}, "no way to take frames is called 'every'"),
    ({"frame_size": "big"}, "--metadata: frame_size must be of type int"),
    ({"frame_size": 0}, "frame_size is 1 or more, got 0"),
    ({"frame_limit": 5}, "a limit of frames is 1 or more, and of release, uniform"),
]


@pytest.mark.parametrize("metadata, words", REFUSED)
def test_a_setting_that_cannot_be_is_refused_in_words(tmp_path, clips, metadata, words):
    table = write_table(tmp_path / "table.jsonl", tables.video_mme())
    given = {"table": str(table), **metadata}
    with pytest.raises(UserError, match=words):
        evaluated("videoniah_video_mme", given.pop("table"), clips, **given) if given["table"] else documents(clips)


def documents(clips):
    """Ask for Video-MME without naming a table."""
    from niah.integrations.benchmarks.tables import video_mme

    return video_mme(videos=str(clips))


ROWS = [
    ({"videoID": "absent"}, "1 videos of 3 are not in"),
    ({"videoID": "../secret"}, r"video '../secret' leads out of"),
    ({"duration": "endless"}, "row 1: duration is one of short, medium, long, got 'endless'"),
    ({"answer": "E"}, "000-1: the answer 'E' is not one of 4 options"),
    ({"answer": "F"}, "table.jsonl, row 1: 000-1: the answer 'F' is not one of 4 options; fix the row"),
    ({"options": tables.LETTERED[:1]}, "row 1: 000-1: a question needs 2 to 10 options, got 1"),
    ({"options": [f"{letter}. {letter}" for letter in "ABCDEFGHIJKL"]}, "row 1: 000-1: a question needs .* got 12"),
    ({"videoID": "dark\0"}, "row 1: column 'videoID' must hold text"),
    ({"options": "A. 150"}, "row 1: column 'options' must hold a list of texts"),
    ({"question_id": "001-1"}, "row 2: '001-1' was already given at .*row 1; remove one"),
]


@pytest.mark.parametrize("change, words", ROWS)
def test_a_row_that_cannot_be_read_is_named(tmp_path, clips, change, words):
    from niah.integrations.benchmarks.tables import video_mme

    rows = tables.video_mme()
    rows[0].update(change)
    if isinstance(rows[0]["options"], str):
        rows = rows[:1]  # a column of one type, as a table has
    with pytest.raises(UserError, match=words):
        video_mme(table=str(write_table(tmp_path / "table.jsonl", rows)), videos=str(clips))


def test_a_row_whose_columns_hold_something_else_is_named(tmp_path, clips):
    from niah.integrations.benchmarks.tables import lvbench

    table = write_table(tmp_path / "table.jsonl", [{"key": "dark", "qa": ["How bright is it?"]}])
    with pytest.raises(UserError, match="row 1: it cannot be read"):
        lvbench(table=str(table), videos=str(clips))


def test_a_link_out_of_the_folder_of_videos_is_followed_with_leave_only(tmp_path, clips):
    from niah.integrations.benchmarks.tables import video_mme

    (tmp_path / "snapshot").mkdir()  # as the hub's cache lays files out
    for clip in clips.glob("*.mp4"):
        (tmp_path / "snapshot" / clip.name).symlink_to(clip)
    table = str(write_table(tmp_path / "table.jsonl", tables.video_mme()))
    named = {"table": table, "videos": str(tmp_path / "snapshot")}
    with pytest.raises(UserError, match="'dark' leads out of .* or say --metadata allow_outside=True if you trust"):
        video_mme(**named)
    assert len(video_mme(**named, allow_outside=True)["test"]) == 4


def test_another_video_of_the_same_name_and_size_is_another_library(tmp_path, clips):
    from niah.integrations.benchmarks.tables import video_mme

    def library():
        return video_mme(table=table, videos=str(tmp_path / "videos"))["test"][0]["library"]

    table = str(write_table(tmp_path / "table.jsonl", tables.video_mme()))
    write_clips(tmp_path / "videos")
    before = library()
    assert library() == before  # by which lm-eval's cache finds replies
    clip = tmp_path / "videos" / "dark.mp4"
    clip.write_bytes(clip.read_bytes()[:-1] + b"!")
    assert library() != before


def test_a_table_without_rows_is_refused(tmp_path, clips):
    from niah.integrations.benchmarks.tables import video_mme

    with pytest.raises(UserError, match="video_mme: cannot load .*table.jsonl': it has no row"):
        video_mme(table=str(write_table(tmp_path / "table.jsonl", [])), videos=str(clips))


def test_questions_of_missing_videos_can_be_left_out(tmp_path, clips):
    from niah.integrations.benchmarks.tables import video_mme

    rows = tables.video_mme()
    rows[0]["videoID"] = "absent"
    table = write_table(tmp_path / "table.jsonl", rows)
    made = video_mme(table=str(table), videos=str(clips), missing="skip")["test"]
    assert made["case"] == ["001-1", "002-1", "003-1"]


def test_table_is_read_from_a_datasets_folder_too(tmp_path, clips):
    import datasets

    from niah.integrations.benchmarks.tables import video_mme

    (tmp_path / "hub" / "data").mkdir(parents=True)
    datasets.Dataset.from_list(tables.video_mme()).to_parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet")
    assert len(video_mme(table=str(tmp_path / "hub"), videos=str(clips))["test"]) == 4


def test_circular_evaluation_wants_all_four_tries_of_a_question():
    right = [("ret_edit1", "a", 1.0)] * 4
    wrong_once = [("ret_edit1", "b", 1.0)] * 3 + [("ret_edit1", "b", 0.0)]
    assert circular(right) == 1
    assert circular(right + wrong_once) == 0.5
    assert circular(right[:3]) == 0  # a try that was not asked is none that was right


@pytest.mark.parametrize(
    "rows, words",
    [
        (lambda rows: rows[:7], "cnt_insert1 of light.mp4 is asked 3 times, circular evaluation asks 4"),
        (lambda rows: [*rows, {**rows[0], "try": 4}], "ret_edit1 of dark.mp4 is asked 5 times"),
        (lambda rows: [{**row, "type": "sum"} for row in rows], "row 1: type begins with one of ret, ord, cnt, got"),
    ],
    ids=["a try too few", "a try too many", "a type without a metric"],
)
def test_a_table_without_four_tries_of_every_question_is_refused(tmp_path, clips, rows, words):
    from niah.integrations.benchmarks.tables import vnbench

    with pytest.raises(UserError, match=words):
        vnbench(table=str(write_table(tmp_path / "table.jsonl", rows(tables.vnbench()))), videos=str(clips))


def test_types_count_alike_however_many_questions_they_have():
    assert mean_over_types([("count", 1.0), ("ego", 0.0), ("ego", 0.0), ("ego", 1.0)]) == pytest.approx((1 + 1 / 3) / 2)


def test_every_task_file_of_a_benchmark_is_found_by_lm_eval():
    from lm_eval.tasks import TaskManager

    known = TaskManager(include_path=list(TASKS), include_defaults=False).all_subtasks
    made = {path.stem for path in TASKS[1].glob("*.yaml")}
    assert len(made) == 8 and made <= set(known)


def test_page_names_every_style_of_prompt_and_every_task():
    page = (Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert all(f"`{style}`" in page for style in STYLES)
    assert all(f"`{path.stem}`" in page for path in TASKS[1].glob("*.yaml"))


def test_answer_is_not_in_what_lm_eval_hands_the_model(tmp_path, clips):
    table = write_table(tmp_path / "table.jsonl", tables.video_mme())
    _, samples = evaluated("videoniah_video_mme", table, clips)
    handed = samples[0]["arguments"][0][2]
    assert set(handed["visual"]) == {"library", "case"}
    assert str(clips) not in json.dumps(samples, default=str)
