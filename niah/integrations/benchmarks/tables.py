"""How a row of each public benchmark's table is read, and the task function that its YAML file names.

Every `read_...` function takes a row and the words that say where it stands, yields the row's questions, and raises
UserError for a row it cannot read. Where a benchmark circulates in two forms, the published file and the table on the
hub, both are read; which one it is shows in the columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from niah.integrations.benchmarks.documents import Benchmark, load_documents
from niah.integrations.benchmarks.item import Item, lettered, split_question, text, texts, unlettered
from niah.integrations.benchmarks.scoring import TRIES
from niah.types import LETTERS, UserError

VIDEO_MME_DURATIONS = ("short", "medium", "long")
MLVU_OPEN_ENDED = ("subPlot", "summary")  # of the published files 8_sub_scene.json and 9_summary.json
VNBENCH_KINDS = ("ret", "ord", "cnt")  # retrieval, ordering, counting: each has its own metric


def read_egoschema(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read a question of EgoSchema; only the 500 of its "Subset" have public answers.

    lmms-lab/egoschema has `option` as a list with letters, and `video_idx`; the published JSON has `option 0` to
    `option 4`, and `q_uid`, which is also the video's name. `answer` is a number in both.
    """
    if row.get("option") is not None:
        options = unlettered(texts(row, "option", where))
        video = text(row, "video_idx", where)
    else:
        options = tuple(text(row, f"option {number}", where) for number in range(5))
        video = text(row, "q_uid", where)
    answer = str(row.get("answer"))
    if answer not in [str(number) for number in range(min(len(options), len(LETTERS)))]:
        raise UserError(f"{where}: answer is a number below {len(options)}, got {answer!r}; use the public subset")
    yield Item(video, video, text(row, "question", where), options, LETTERS[int(answer)], (), lettered(options))


def read_longvideobench(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read a question of LongVideoBench's validation split, without subtitles.

    lvb_val.json has `candidates`; longvideobench/LongVideoBench has `option0` to `option4`, "N/A" where there is
    none. Both have `correct_choice` as a number, and `duration_group` in seconds.
    """
    if row.get("candidates") is not None:
        options = texts(row, "candidates", where)
    else:
        listed = [row.get(f"option{number}") for number in range(5)]
        options = tuple(str(option) for option in listed if option not in (None, "N/A"))
        if list(options) != list(map(str, listed[: len(options)])):  # correct_choice counts the missing option
            raise UserError(f"{where}: an option is missing before others, got {listed}; fix the row, or remove it")
    right = row.get("correct_choice")
    if type(right) is not int or not 0 <= right < min(len(options), len(LETTERS)):
        raise UserError(
            f"{where}: correct_choice is a number below {len(options)}, got {right!r}; use the validation split"
        )
    yield Item(
        name=text(row, "id", where),
        video=text(row, "video_path", where),
        question=text(row, "question", where),
        options=options,
        answer=LETTERS[right],
        groups=(f"{text(row, 'duration_group', where)}s",),
        printed=lettered(options, "."),
    )


def read_lvbench(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read the questions of LVBench in one row: hour-long videos, six abilities.

    video_info.meta.jsonl has one line per video, with `key` and a list `qa` whose `question` ends in the options as
    lettered lines; lmms-lab/LVBench has one row per question, with `options` and `video_path`.
    """
    questions = row["qa"] if isinstance(row.get("qa"), list) else [row]
    for one in questions:
        video = text(row, "key" if "key" in row else "video_path", where)
        question, options = split_question(text(one, "question", where))
        if one.get("options"):
            question = text(one, "question", where)
            options = unlettered(texts(one, "options", where))
        abilities = one.get("question_type") or []
        if isinstance(abilities, str):
            abilities = [abilities]
        groups = tuple(ability.replace(" ", "_") for ability in abilities)
        yield Item(text(one, "uid", where), video, question, options, text(one, "answer", where), groups)


def read_mlvu(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read a multiple-choice question of MLVU, whose M-Avg is the mean of its tasks' accuracies.

    The published JSON has `video`, `candidates`, `question_type` and `answer` as text; sy1998/MLVU_dev has
    `video_name`, the options as lettered lines of `question`, `task_type` and `answer` as a letter. Its open-ended
    tasks have no options: nothing is yielded for them.
    """
    if row.get("candidates") is None and row.get("question_type") in MLVU_OPEN_ENDED:
        return
    if row.get("candidates") is not None:
        question = text(row, "question", where)
        options = texts(row, "candidates", where)
        answer, task, video = (text(row, column, where) for column in ("answer", "question_type", "video"))
        candidates = [option.strip() for option in options]
        if answer not in candidates[: len(LETTERS)]:
            raise UserError(f"{where}: the answer {answer!r} is not among the candidates {list(options)}")
        answer = LETTERS[candidates.index(answer)]
    else:
        question, options = split_question(text(row, "question", where))
        answer, task, video = (text(row, column, where) for column in ("answer", "task_type", "video_name"))
    yield Item(f"{where.rpartition(' ')[2]}-{task}", video, question, options, answer, (task,), lettered(options))


def read_video_mme(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read a question of Video-MME: 900 videos of three durations, with and without subtitles.

    Columns as lmms-lab/Video-MME has them. Videos are called VIDEOID.mp4, subtitles VIDEOID.srt.
    """
    duration = text(row, "duration", where)
    if duration not in VIDEO_MME_DURATIONS:
        raise UserError(f"{where}: duration is one of {', '.join(VIDEO_MME_DURATIONS)}, got {duration!r}")
    options = texts(row, "options", where)
    yield Item(
        name=text(row, "question_id", where),
        video=text(row, "videoID", where),
        question=text(row, "question", where),
        options=unlettered(options),
        answer=text(row, "answer", where),
        groups=(duration,),
        printed=options,
    )


def read_vnbench(row: Mapping[str, Any], where: str) -> Iterable[Item]:
    """Read one try at a question of VNBench (Zhao et al., arXiv 2406.09367): inserted needles.

    VNBench-main-4try.json asks every question four times with its options rotated; a question counts where all four
    answers are right (circular evaluation), and the mean is over the nine task types, as in the authors' eval.py.
    """
    video = PurePosixPath(text(row, "video", where)).name  # the JSON puts the authors' folder before it
    kind = text(row, "type", where)
    attempt = text(row, "try", where)
    if not kind.startswith(VNBENCH_KINDS):
        raise UserError(f"{where}: type begins with one of {', '.join(VNBENCH_KINDS)}, got {kind!r}")
    name = f"{PurePosixPath(video).stem}.{kind}.{attempt}"
    question = text(row, "question", where)
    answer = text(row, "gt_option", where)
    yield Item(name, video, question, texts(row, "options", where), answer, (kind,))


def check_four_tries(items: Sequence[Item]) -> None:
    """Raise UserError where a question of VNBench has more or fewer than four tries: it could not be scored."""
    tries = Counter((item.video, item.groups[0]) for item in items)
    for (video, kind), count in tries.items():
        if count != TRIES:
            raise UserError(
                f"vnbench: {kind} of {video} is asked {count} times, circular evaluation asks {TRIES}; "
                "use the whole table (VNBench-main-4try.json), or remove all tries of that question"
            )


EGOSCHEMA = Benchmark("egoschema", "lmms-lab/egoschema", read_egoschema, config="Subset", script="egoschema")
LONGVIDEOBENCH = Benchmark(
    "longvideobench",
    "longvideobench/LongVideoBench",
    read_longvideobench,
    split="validation",
    script="longvideobench",
)
LVBENCH = Benchmark("lvbench", "lmms-lab/LVBench", read_lvbench, split="train")
MLVU = Benchmark("mlvu", "sy1998/MLVU_dev", read_mlvu, script="mlvu", file_per_task=True)
VIDEO_MME = Benchmark("video_mme", "lmms-lab/Video-MME", read_video_mme, script="video_mme")
VIDEO_MME_SUBTITLES = replace(VIDEO_MME, name="video_mme_subtitles", script="video_mme_subtitles", subtitled=True)
VNBENCH = Benchmark("vnbench", "videoniah/VNBench", read_vnbench, split="train", check=check_four_tries)


def egoschema(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_egoschema."""
    return load_documents(EGOSCHEMA, metadata)


def longvideobench(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_longvideobench."""
    return load_documents(LONGVIDEOBENCH, metadata)


def lvbench(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_lvbench."""
    return load_documents(LVBENCH, metadata)


def mlvu(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_mlvu."""
    return load_documents(MLVU, metadata)


def video_mme(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_video_mme."""
    return load_documents(VIDEO_MME, metadata)


def video_mme_subtitles(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_video_mme_subtitles."""
    return load_documents(VIDEO_MME_SUBTITLES, metadata)


def vnbench(**metadata: Any) -> dict[str, Any]:
    """Load the documents of task videoniah_vnbench."""
    return load_documents(VNBENCH, metadata)
