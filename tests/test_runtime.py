"""How a stage is started and ends: its memory on record is its own, and nothing is left undone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run

from refit import runtime


def test_peak_memory_is_that_of_this_process_alone() -> None:
    """Prevents a stage from being charged with the memory of whoever started it."""
    held = np.ones(300 * 2**20, dtype=np.uint8)  # which ru_maxrss of a child would count too
    command = "from refit import runtime; print(runtime.peak_memory())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert runtime.peak_memory() > held.nbytes
    assert 2**20 < int(done.stdout) < held.nbytes


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """Prevents a check of the disk and its permissions where one file has to go."""
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    mend = "move away what is in its place, or in that of a folder above it, and run the same command again"
    for target, work in ((file, file.mkdir), (file / "x", (file / "x").mkdir), (folder, lambda: file.replace(folder))):
        with pytest.raises((FileExistsError, NotADirectoryError, IsADirectoryError)) as raised:
            work()
        said = str(runtime._disk_error(raised.value))
        assert said.startswith(f"{target}: ")
        assert said.endswith(f"; {mend}")


def test_a_command_that_is_done_leaves_nothing_undone() -> None:
    """Prevents an end so quick that output, threads or exit handlers are lost."""
    program = (
        "import atexit, sys, threading, time\n"
        "from refit import runtime\n"
        "class Late:\n"
        "    def __del__(self): print('taken apart')\n"
        "sys.late = Late()\n"
        "def work():\n"
        "    atexit.register(print, 'at exit')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "    print('done', file=sys.stderr)\n"
        "runtime.run('test', work, record=False)\n"
    )
    done = run(sys.executable, "-c", program, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "done\n")
    assert done.stdout.splitlines() == ["thread", "at exit"]
