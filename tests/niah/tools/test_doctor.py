"""The doctor on sound and on broken patients: packages that raise, kill or hang their interpreter."""

import os
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

import pytest

from niah.tools.doctor import checks, packages
from niah.tools.doctor.finding import FAIL, OK, WARN, run_probe
from tests.helpers.commands import doctor as main

ROOT = Path(__file__).resolve().parents[3]
RAISES = "raise ImportError('libcuda.so.9: cannot open shared object file')"
DIES = "import os\nos.abort()"
HANGS = "import time\ntime.sleep(600)"


@pytest.fixture
def shadow(tmp_path, monkeypatch):
    """Put a package of some code before the installed one, for every interpreter that is started."""

    def put(name, code):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return put


def test_pyav_writes_and_reads_a_clip():
    (line,) = [line for line in checks.decoders(120) if line.subject == "decoder pyav"]
    assert line.status == OK and line.message.endswith("three frames written and read back")


def test_a_decoder_that_kills_its_interpreter_is_a_warning(shadow):
    shadow("decord", DIES)
    lines = {line.subject: line for line in checks.decoders(120)}
    assert lines["decoder pyav"].status == OK
    assert lines["decoder decord"].status == WARN and "signal 6" in lines["decoder decord"].message
    assert "leave --decoder decord out" in lines["decoder decord"].fix


def test_no_pyav_is_a_failure_with_its_remedy(shadow):
    shadow("av", RAISES)
    (line,) = [line for line in checks.decoders(120) if line.subject == "decoder pyav"]
    assert line.status == FAIL and "libcuda.so.9" in line.message and "install --force-reinstall av" in line.fix
    assert next(checks.codecs(120)).status == FAIL


def test_a_torch_that_cannot_be_imported_is_a_failure_with_its_words(shadow):
    shadow("torch", RAISES)
    line = list(checks.gpu(120))[-1]
    assert (line.status, line.subject) == (FAIL, "torch") and "libcuda.so.9" in line.message and "torch" in line.fix


TORCH = """
__version__ = "2.11.0"
class version: cuda, hip = CUDA, None
class cuda:
    is_available = staticmethod(lambda: False)
    device_count = staticmethod(lambda: 0)
class backends:
    class mps: is_available = staticmethod(lambda: False)
class ones:
    def __init__(self, *shape, device): pass
    def __matmul__(self, other): return self
    def sum(self): return self
    def item(self): return 262144.0
"""


@pytest.mark.parametrize("built, words", [("'13.0'", "update the driver"), ("None", "a build of torch with CUDA")])
def test_a_gpu_that_torch_does_not_see_is_a_warning(shadow, tmp_path, monkeypatch, built, words):
    shadow("torch", TORCH.replace("CUDA", built, 1))
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Some GPU, 81920 MiB, 550.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    driver, torch = checks.gpu(120)
    assert (driver.status, driver.message) == (OK, "Some GPU, 81920 MiB, 550.1")
    assert torch.status == WARN and "sees no GPU although the driver does" in torch.message and words in torch.fix


def test_every_broken_package_is_told_and_the_rest_are_imported(shadow):
    shadow("tqdm", DIES)
    shadow("yaml", RAISES)
    modules = {"tqdm": "tqdm", "yaml": "pyyaml", "psutil": "psutil"}
    told = {line.subject: line for line in packages._check_imports(modules, 120)}
    assert set(told) == {"package tqdm", "package pyyaml"}
    assert "signal 6" in told["package tqdm"].message and "libcuda.so.9" in told["package pyyaml"].message
    assert told["package pyyaml"].fix == "run: pip install --force-reinstall pyyaml"


def test_a_package_that_hangs_ends_at_the_time_limit(shadow):
    shadow("tqdm", HANGS)
    (line,) = packages._check_imports({"tqdm": "tqdm"}, 2)
    assert line.message == "no answer within 2 seconds (--timeout)"


def test_versions_are_held_against_the_ranges(monkeypatch):
    table = {
        "dependencies": ["numpy<1", "nosuchpackage>=3", "psutil; python_version < '3'"],
        "optional-dependencies": {
            "odd": ["psutil<1"],
            "none": ["nosuchpackage", "elsewhere; python_version < '3'"],
            "all": ["videoniah[none]", "psutil"],
        },
    }
    monkeypatch.setattr(packages, "project_table", lambda: table)
    said = [(line.status, line.subject, line.message) for line in packages.packages(60)]
    assert said[:2] == [
        (FAIL, "package numpy", f"{metadata.version('numpy')}, wanted <1"),
        (FAIL, "package nosuchpackage", "not installed, wanted >=3"),
    ]
    assert said[2] == (WARN, "extra odd", f"psutil is {metadata.version('psutil')}, wanted <1")
    assert said[3][:2] == (OK, "extra none") and "not installed (nosuchpackage)" in said[3][2]
    assert said[4][:2] == (OK, "extra all") and "not installed (nosuchpackage)" in said[4][2]


def test_a_cache_that_cannot_be_written_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "file" / "cache"))
    (line,) = checks.cache(1)
    assert line.status == FAIL and "export VIDEONIAH_CACHE=FOLDER" in line.fix


def test_a_cache_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path))
    (tmp_path / "a").write_bytes(bytes(2**20))
    (line,) = checks.cache(1)
    assert line.message == f"{tmp_path}: 1 files, 0.00 GiB, can be written"


@pytest.mark.parametrize("gib, status", [(0.1, FAIL), (2, WARN), (50, OK)])
def test_a_disk_without_room_is_told(monkeypatch, gib, status):
    monkeypatch.setattr(checks, "disk_free", lambda folder: gib)
    assert {line.status for line in checks.disk(1)} == {status}


def test_the_cache_is_the_one_everybody_else_uses(tmp_path, monkeypatch):
    from niah.io import cache_folder

    for value in (str(tmp_path), ""):
        monkeypatch.setenv("VIDEONIAH_CACHE", value)
        assert checks.cache_folder() == cache_folder()


def test_the_doctor_runs_where_nothing_is_installed():
    """-S leaves out every installed package, NumPy and PyAV among them."""
    command = [sys.executable, "-S", "-m", "niah", "doctor", "python", "packages", "disk"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "fail  packages" in done.stdout and "fix: run: pip install -e ." in done.stdout


def test_the_exit_code_is_1_only_where_something_needed_fails(monkeypatch, capsys):
    for status, code in ((OK, 0), (WARN, 0), (FAIL, 1)):
        monkeypatch.setitem(
            checks.CHECKS, "disk", lambda timeout, s=status: [checks.Finding(s, "disk", "said", "fixed")]
        )
        assert main(["disk"]) == code
    assert "fail  disk                 said\n                           fix: fixed" in capsys.readouterr().out


def test_the_network_is_asked_only_by_name(monkeypatch, capsys):
    asked = []
    for name in checks.CHECKS:
        monkeypatch.setitem(checks.CHECKS, name, lambda timeout, name=name: asked.append(name) or ())
    main([])
    assert sorted(asked) == ["cache", "codecs", "decoders", "disk", "gpu", "packages", "python"]
    main(["hub"])
    assert asked[-1] == "hub"


def test_checks_are_made_at_once_and_printed_in_their_order(monkeypatch, capsys):
    begun = threading.Barrier(2, timeout=20)  # neither goes on before the other has begun
    for name in ("disk", "cache"):
        found = [checks.Finding(OK, name, "said")]
        monkeypatch.setitem(checks.CHECKS, name, lambda timeout, found=found: begun.wait() is not None and found)
    assert main(["disk", "cache"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["disk", "cache", "ok,"]


def test_an_unknown_check_is_a_mistake(capsys):
    assert main(["teeth"]) == 2 and "Known: python, packages" in capsys.readouterr().err


def test_a_probe_that_says_nothing_is_an_error(shadow):
    shadow("huggingface_hub", DIES)
    assert "signal 6" in run_probe("hub", timeout=60)["error"]


def crippled(capsys, *names):
    """Ask the doctor of a patient whose system refuses something; return what is printed."""
    assert main([*names]) == 1
    return capsys.readouterr().out


def refusing(error):
    def refuse(*_, **__):
        raise error

    return refuse


def test_a_cache_of_somebody_else_is_a_failure_and_the_other_disk_is_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "theirs"))
    stat = os.stat

    def denied(path, **how):
        if str(path) == str(tmp_path / "theirs"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(os, "stat", denied)
    said = crippled(capsys, "disk")
    assert "fail  disk of the cache    [Errno 13] Permission denied" in said
    assert "ok    disk of this folder" in said


def test_a_folder_that_is_gone_is_a_failure(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "fail  disk of this folder  [Errno 2] No such file" in crippled(capsys, "disk")


def test_a_user_without_a_home_is_told(monkeypatch, capsys):
    monkeypatch.delenv("VIDEONIAH_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", refusing(RuntimeError("Could not determine home directory.")))
    assert crippled(capsys, "cache").startswith("fail  cache                Could not determine home")


def test_a_check_that_the_system_stops_is_a_failure_and_the_next_is_made(monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", refusing(OSError(24, "Too many open files")))
    said = crippled(capsys, "codecs", "python")
    assert "fail  codecs               [Errno 24] Too many open files" in said and "ok    python" in said


def test_a_file_that_is_renamed_meanwhile_is_not_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path))
    (tmp_path / "a").write_bytes(b"x")
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: ((here, [], [*names, "gone"]) for here, _, names in walk(top)))
    (line,) = checks.cache(1)
    assert line.status == OK and "1 files" in line.message


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_time_limit_is_above_zero(seconds, capsys):
    assert main(["--timeout", seconds, "decoders"]) == 2
    assert "--timeout is in seconds and above 0" in capsys.readouterr().err
