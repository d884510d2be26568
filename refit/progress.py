"""Progress bars on work that takes more than a moment; quiet where nobody is watching."""

import threading
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

tqdm.set_lock(threading.RLock())  # no bar is shared between processes, and tqdm's own lock imports multiprocessing


def bar(items: Iterable[Any] | None = None, *, total: int | None = None, desc: str, unit: str = "rows") -> "tqdm[Any]":
    """A tqdm bar that shows itself after a second, on a terminal only."""
    return tqdm(items, total=total, desc=desc, unit=f" {unit}", unit_scale=True, disable=None, delay=1, leave=False)
