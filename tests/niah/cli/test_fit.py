"""`niah fit` on traces written here, and on those that ship."""

import pytest

from niah.analysis.traced import write_traced
from niah.cli.fit import planned_memory
from niah.cli.plugins import names, traced_files
from tests.helpers.commands import fit as main
from tests.niah.analysis.test_traced import costs

MODELS = ["llama_vid", "video_xl", "videochat_flash", "vilamp"]


@pytest.fixture
def traced(tmp_path):
    file = tmp_path / "mine-7b-traced.csv"
    rows = [costs(64, 20, model="mine"), costs(1000, 40, model="mine"), costs(64, 30, "as_released", model="mine")]
    write_traced(file, rows)
    return ["--model", "mine", "--traced", str(file)]


def test_a_length_that_fits_says_the_margin(traced, capsys):
    assert main([*traced, "--frames", "532", "--memory", "32"]) == 0
    out = capsys.readouterr().out
    assert out == (
        "mine 7B streamed, 532 frames: 30.0 GiB traced (15.0 of weights), 31.6 with a margin of 1% and 1.3 GiB: "
        "fits in 32 GiB\n"
    )


def test_a_length_that_does_not_fit_says_which_does(traced, capsys):
    assert main([*traced, "--frames", "1000", "--memory", "32"]) == 1
    assert capsys.readouterr().out.endswith("does not fit in 32 GiB\nwith certainty up to 550 frames do\n")
    assert main([*traced, "--frames", "64", "--memory", "31", "--execution", "as_released"]) == 1
    out = capsys.readouterr().out
    assert "too close to say in 31 GiB" in out and "not even 64 frames do, the fewest traced" in out


@pytest.mark.parametrize(
    "words, told",
    [
        (["--frames", "2000", "--memory", "80"], "no stored fit of mine, streamed, covers 2,000 frames"),
        (["--frames", "0", "--memory", "80"], "--frames is a number from 1 up"),
        (["--frames", "64", "--memory", "0"], "--memory is a card's size in GiB"),
    ],
)
def test_what_cannot_be_answered_is_a_mistake_with_a_remedy(traced, capsys, words, told):
    assert main([*traced, *words]) == 2
    assert told in capsys.readouterr().err


def test_an_unknown_model_is_told_the_known_ones(capsys):
    assert main(["--model", "vilmap", "--frames", "64", "--memory", "80"]) == 2
    assert "vilamp" in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS)
def test_the_traces_that_ship_answer_for_all_four_up_to_10000_frames(model, capsys):
    assert names("videoniah.traced") == MODELS
    (file,) = traced_files(model)
    assert file.is_file()
    assert main(["--model", model, "--frames", "10000", "--memory", "80"]) == 0
    assert "fits in 80 GiB" in capsys.readouterr().out
    assert "10,000 frames" in str(planned_memory(model, [64, 10000]))


def test_a_dry_run_says_what_is_not_known():
    assert planned_memory("chance", [64]) is None
    assert "not known for 20,000 frames: 10,000 were traced" in str(planned_memory("vilamp", [20000]))
