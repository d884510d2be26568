"""How a stage starts and ends: its recorded memory, its errors, its output."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, environment, run

from refit import stage


def test_peak_memory_is_that_of_this_process_alone() -> None:
    """Prevents the recorded memory from including that of the process that started the stage."""
    held = np.ones(300 * 2**20, dtype=np.uint8)  # which ru_maxrss of a child would count too
    command = "from refit import stage; print(stage.peak_memory())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert stage.peak_memory() > held.nbytes
    assert 2**20 < int(done.stdout) < held.nbytes


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [("| head -1", 141, ""), (">&-", 0, ""), (">/dev/full", 74, "refit test: a file: No space left on device; free ")],
)
def test_output_that_nobody_takes_is_no_fault(redirection: str, code: int, said: str) -> None:
    """Prevents a message about the disk, a traceback or a second error where output is piped to head or closed."""
    program = "from refit import stage; stage.run('test', lambda: print('line\\n' * 100_000), record=False)"
    command = f'{sys.executable} -c "{program}" {redirection}; exit ${{PIPESTATUS[0]}}'
    done = run("bash", "-c", command, cwd=ROOT, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


@pytest.mark.parametrize(("command", "cure"), [("dvc", "activate the environment"), ("git", "install git")])
def test_a_command_that_is_missing_is_not_a_missing_out(command: str, cure: str) -> None:
    """Prevents the advice `run: dvc repro` where DVC itself is not found."""
    program = f"import subprocess; from refit import stage; stage.run('test', lambda: subprocess.run(['{command}']))"
    done = run(sys.executable, "-c", program, cwd=ROOT, check=False, env=environment(PATH="/nowhere"))
    assert done.returncode == 65
    assert cure in done.stderr


def test_a_python_without_the_packages_is_told_in_one_line(tmp_path: Path) -> None:
    """Prevents a traceback where the virtual environment is not activated; DVC starts stages with `python3`."""
    venv.create(tmp_path / "bare", symlinks=True)
    for module in ("stages.download", "stages.train", "refit.doctor", "refit.search"):
        done = run(tmp_path / "bare/bin/python3", "-m", module, cwd=ROOT, check=False)
        assert (done.returncode, done.stdout) == (64, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("refit needs its packages")
        assert "source .venv/bin/activate" in line
