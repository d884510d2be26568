"""How a score changes with what a row is like: its length, or how much of a pair's words are shared."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

GROUPS = 5
NORMAL_95 = 1.959964
# A word, or one character of the scripts that put no space between words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """The rows whose feature lies from `low` to `high`: the mean of their values and its 95% interval."""

    low: float
    high: float
    rows: int
    mean: float
    interval: tuple[float, float]


def by(feature: npt.NDArray[Any], values: Values, *, is_share: bool) -> list[Group]:
    """Up to five groups of about the same size, smallest feature first; rows of one feature stay together.

    `is_share`: the values are 0 or 1 and the interval is Wilson's; otherwise it is the mean's, mean ± 1.96 s / √n.
    """
    inner = np.unique(np.quantile(feature, np.arange(1, GROUPS) / GROUPS, method="lower"))
    place = np.searchsorted(inner, feature, side="left")
    groups = []
    for index in np.unique(place):
        chosen = place == index
        of_group = values[chosen]
        interval = wilson(of_group.mean(), len(of_group)) if is_share else _mean_interval(of_group)
        low, high = float(feature[chosen].min()), float(feature[chosen].max())
        groups.append(Group(low, high, len(of_group), float(of_group.mean()), interval))
    return groups


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95% interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    squared = NORMAL_95**2 / rows
    middle = (share + squared / 2) / (1 + squared)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / rows + squared / (4 * rows)) / (1 + squared)
    return float(middle - half), float(middle + half)


def overlap(first: str, second: str) -> float:
    """The share of two texts' different words, case aside, that both have (Jaccard), 0 to 1."""
    a, b = (set(_WORD.findall(text.casefold())) for text in (first, second))
    return len(a & b) / len(a | b) if a or b else 1.0


def overlaps(pairs: Sequence[tuple[str, ...]]) -> Values:
    """The overlap of each pair."""
    return np.array([overlap(first, second) for first, second in pairs])


def _mean_interval(values: Values) -> tuple[float, float]:
    half = NORMAL_95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return mean - half, mean + half
