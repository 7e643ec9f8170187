"""Suites as tasks of the real inspect_ai, answered by its own mock model. Skipped where it is not installed."""

import pytest

from niah.option_scores import is_correct
from niah.suite.folder import read_suite
from tests.helpers.fake_runs import make_record
from tests.helpers.small_suite import make_suite

inspect_ai = pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install 'videoniah[inspect]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # its dependencies' own
REPLIES = ("B", "The answer is (A).", "None of them", "C. 220")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield make_suite(folder)


def asked(suite, tmp_path, **settings):
    """Return inspect_ai's log of the suite, each sample answered by the next of REPLIES."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from niah.integrations.inspect_tasks.task import videoniah

    outputs = [ModelOutput.from_content("mockllm/model", REPLIES[number % len(REPLIES)]) for number in range(64)]
    for output in outputs:
        output.usage = ModelUsage()  # what is not set is counted with a vocabulary from the network
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = inspect_ai.eval(
        videoniah(str(suite), **settings), model=model, log_dir=str(tmp_path), display="none", max_samples=1
    )
    assert log.status == "success", log.error
    return log


def test_every_case_is_a_sample_and_scored_as_we_score(suite, tmp_path):
    log = asked(suite, tmp_path)
    cases = {case.id: case for case in read_suite(suite).cases}
    assert {sample.id for sample in log.samples} == set(cases)
    for sample in log.samples:
        right = is_correct(cases[sample.id], make_record(cases[sample.id], sample.output.completion))
        assert (sample.scores["letter"].value == "C") == right
    reported = {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}
    full = [sample for sample in log.samples if sample.metadata["condition"] == "full"]
    share = sum(sample.scores["letter"].value == "C" for sample in full) / len(full)
    assert 0 < share < 1 and reported["full"] == pytest.approx(share)
    assert "blind" in reported and "full_stderr" in reported


def kinds(sample):
    content = sample.messages[0].content
    return ["text"] if isinstance(content, str) else [part.type for part in content]


def test_a_sample_shows_its_video_and_a_blind_one_none(suite, tmp_path):
    log = asked(suite, tmp_path, conditions=["full", "blind"])
    assert {sample.metadata["condition"]: kinds(sample) for sample in log.samples} == {
        "full": ["video", "text"],
        "blind": ["text"],
    }


def test_frames_go_as_images_after_their_times(suite, tmp_path):
    log = asked(suite, tmp_path, conditions="full", lengths=20, frames=2)
    assert len(log.samples) == 6
    assert kinds(log.samples[0]) == ["text", "image", "text", "image", "text"]
    assert log.samples[0].messages[0].content[2].text == "Frame at 15.0 s:"
