"""How a stage is started: its memory on record is its own, and imports leave the garbage collector as it was."""

import gc
import subprocess
import sys

import numpy as np
from conftest import ROOT

from refit import runtime


def test_peak_memory_is_that_of_this_process_alone() -> None:
    """Prevents a stage from being charged with the memory of whoever started it."""
    held = np.ones(300 * 2**20, dtype=np.uint8)  # which ru_maxrss of a child would count too
    command = "from refit import runtime; print(runtime.peak_memory())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert runtime.peak_memory() > held.nbytes
    assert 2**20 < int(done.stdout) < held.nbytes


def test_importing_leaves_the_collector_on_also_after_an_error() -> None:
    """Prevents a long training from keeping every cycle of objects."""
    try:
        with runtime.importing():
            assert not gc.isenabled()
            raise ImportError
    except ImportError:
        assert gc.isenabled()
