"""One writer at a time: a stage whose parent is gone ends, and a second one of its kind waits for the first.

Killing `dvc` alone leaves its stage running, and DVC would start the next run beside it. So the kernel is asked to
end a stage with its parent, and whoever writes a stage's outs holds a lock that the kernel frees when he dies.
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
    """Have the kernel send SIGTERM to this process when its parent ends, which Linux alone can do; its number."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid()


@contextmanager
def only_writer(stage: str, parent: int) -> Iterator[None]:
    """Hold the outs of a stage in this folder for this process alone, waiting for another that holds them.

    Raises InterruptedRunError when `parent`, the process that started this one, has ended in the meantime: a
    successor may be at work with other params.
    """
    place = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]
    folder = paths.state_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = f"refit {stage}: another process is writing the same outs; waiting for it"
    with locked(folder / f"{stage}-{place}.lock", waiting):
        if os.getppid() != parent:
            raise InterruptedRunError("the command that started this is gone; run it again to go on")
        yield


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[int]:
    """Hold a file's lock; when another process holds it, say `waiting` on stderr and wait until it ends or dies.

    Yields the descriptor that holds it: a child that is given it holds the lock too.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
