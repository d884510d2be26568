"""One writer at a time: a stage ends when its parent does, and a second run of the same stage waits for the first.

Otherwise a stage whose `dvc` was killed would keep running, and the next `dvc repro` would start another in parallel.
"""

import ctypes
import fcntl
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refit import paths
from refit.errors import InterruptedRunError

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> int:
    """Have the kernel send SIGTERM to this process when its parent ends (on Linux only); returns the parent's id."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid()


@contextmanager
def only_writer(stage: str, parent: int) -> Iterator[None]:
    """Hold the lock of a stage's outputs in this folder, waiting for another process that holds it.

    Raises InterruptedRunError when `parent` has ended meanwhile: a newer run with other params may be writing.
    """
    place = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]
    folder = paths.state_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"refit {stage}: another process is writing the same outs; waiting for it"
    with locked(folder / f"{stage}-{place}.lock", waiting):
        if os.getppid() != parent:
            raise InterruptedRunError("the command that started this is gone; run it again to resume")
        yield


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[int]:
    """Lock a file; when another process holds the lock, print `waiting` on stderr and wait until that one exits.

    Yields the file descriptor: a child process that inherits it holds the lock, too.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
