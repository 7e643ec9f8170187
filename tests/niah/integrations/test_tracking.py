"""A run in a tracker: its events are read back and hold the numbers of the table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from niah.analysis.load import read_run
from niah.integrations.tracking import CurvePoint, curve_points
from tests.helpers.commands import track as main
from tests.helpers.fake_runs import make_case, make_record, write_run

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(tmp_path):
    """Right at 2,000 frames and wrong at 4,000, at two depths; one blind case, right; one failed case."""
    cases = [make_case("n1", length=length, depth=depth) for length in (2000, 4000) for depth in (0.1, 0.9)]
    cases += [make_case("n1", "blind"), make_case("n2", length=4000, depth=0.9)]
    records = [make_record(case, "B" if case.length < 4000 else "A") for case in cases[:5]]
    records.append(make_record(cases[5], status="error", detail="broken"))
    return write_run(tmp_path / "run", cases, records)


def test_curves_have_the_length_as_their_step(run):
    found = {(point.name, point.step): point.value for point in curve_points(read_run(run))}
    assert found["accuracy/full", 2000] == 1.0 and found["accuracy/full", 4000] == 0.0
    assert found["accuracy/full depth 0.1", 2000] == 1.0
    assert found["overall/full", 0] == 0.5 and found["overall/blind", 0] == 1.0
    assert found["cost/host MiB", 2000] == 2048.0  # 2 GiB; a failed case has no cost


def test_tensorboard_reads_back_every_point(run, capsys):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert main([str(run), "--to", "tensorboard"]) == 0
    assert main([str(run), "--to", "tensorboard"]) == 0  # again: in place of the first, not beside it
    assert len(list((run / "tensorboard").glob("events.*"))) == 1
    read = loader.EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    scalars = [
        CurvePoint(tag, event.step, event.value) for tag in read.Tags()["scalars"] for event in read.Scalars(tag)
    ]
    assert sorted(scalars, key=lambda p: (p.name, p.step)) == curve_points(read_run(run))
    assert f"tensorboard --logdir {run}" in capsys.readouterr().out


def test_tensorboard_has_the_pictures_there_are(run):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    picture = (ROOT / "results" / "figures" / "default" / "heatmap.png").read_bytes()
    (run / "heatmap.png").write_bytes(picture)
    main([str(run), "--to", "tensorboard"])
    read = loader.EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    assert read.Tags()["images"] == ["heatmap"]
    assert read.Images("heatmap")[0].encoded_image_string == picture


def test_settings_are_those_of_the_run(run):
    pytest.importorskip("tensorboard")
    main([str(run), "--to", "tensorboard"])
    told = json.loads((run / "tensorboard" / "settings.json").read_text())
    assert (told["model"], told["suite"]) == ("fake", "fake")


@pytest.mark.parametrize("settings", [None, "{", '{"theme": "dark"}'])
def test_events_of_somebody_else_are_left_as_they_are(run, tmp_path, capsys, settings):
    pytest.importorskip("tensorboard")
    (tmp_path / "logs").mkdir()
    theirs = tmp_path / "logs" / "events.out.tfevents.1.theirs"
    theirs.write_bytes(b"a week of training")
    if settings is not None:
        (tmp_path / "logs" / "settings.json").write_text(settings)
    assert main([str(run), "--to", "tensorboard", "-o", str(tmp_path / "logs")]) == 2
    assert f"holds {theirs.name} and no settings.json that niah track wrote" in capsys.readouterr().err
    assert theirs.read_bytes() == b"a week of training"


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_with_its_remedy(run, monkeypatch, capsys, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(run), "--to", package]) == 2
    assert "pip install 'videoniah[track]'" in capsys.readouterr().err


@pytest.mark.slow
def test_wandb_keeps_a_run_on_this_machine_when_it_is_offline(run, tmp_path):
    pytest.importorskip("wandb")
    around = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "niah", "track", str(run), "--to", "wandb", "-o", str(tmp_path / "w")]
    done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / "w").rglob("run-*.wandb")
    assert b"accuracy/full depth 0.1" in kept.read_bytes()
