"""How a score depends on a feature of the examples, such as their length."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

GROUPS = 5
NORMAL_95 = 1.959964
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Examples whose feature is between `low` and `high`: the mean of their values and its 95% interval."""

    low: float
    high: float
    rows: int
    mean: float
    interval: tuple[float, float]

    @property
    def name(self) -> str:
        """The range of the feature, such as `5–12`."""
        return "–".join(dict.fromkeys([f"{self.low:.0f}", f"{self.high:.0f}"]))


def by(feature: npt.NDArray[Any], values: Values, *, is_fraction: bool) -> list[Group]:
    """Up to five groups of about the same size, smallest feature first; examples of equal feature stay together.

    `is_fraction`: the values are 0 or 1 and the interval is Wilson's; otherwise it is mean ± 1.96 s / √n.
    """
    inner = np.unique(np.quantile(feature, np.arange(1, GROUPS) / GROUPS, method="lower"))
    place = np.searchsorted(inner, feature, side="left")
    groups = []
    for index in np.unique(place):
        chosen = place == index
        of_group = values[chosen]
        interval = _wilson(of_group) if is_fraction else _mean_interval(of_group)
        low, high = float(feature[chosen].min()), float(feature[chosen].max())
        groups.append(Group(low, high, len(of_group), float(of_group.mean()), interval))
    return groups


def _wilson(values: Values) -> tuple[float, float]:
    from scipy.stats import binomtest  # half a second to import

    interval = binomtest(int(values.sum()), len(values)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _mean_interval(values: Values) -> tuple[float, float]:
    half = NORMAL_95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    mean = float(values.mean())
    return mean - half, mean + half
