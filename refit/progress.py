"""Progress bars on work that takes more than a moment; quiet where nobody is watching."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(items: Iterable[Any] | None = None, *, total: int | None = None, desc: str, unit: str = "rows") -> "tqdm[Any]":
    """A tqdm bar that shows itself after a second, on a terminal only."""
    return tqdm(items, total=total, desc=desc, unit=f" {unit}", unit_scale=True, disable=None, delay=1, leave=False)
