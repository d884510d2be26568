"""How a score depends on a feature of the examples, such as their length."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refit.evaluation.bootstrap import wilson

GROUPS = 5
NORMAL_95 = 1.959964
Values = npt.NDArray[np.float64]


class Group(NamedTuple):
    """Examples with similar features: the mean of their values and its 95% interval; the name is such as `5–12`."""

    name: str
    rows: int
    mean: float
    interval: tuple[float, float]


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
        mean = float(of_group.mean())
        half = NORMAL_95 * float(of_group.std(ddof=1)) / len(of_group) ** 0.5 if len(of_group) > 1 else 0.0
        interval = wilson(of_group) if is_fraction else (mean - half, mean + half)
        name = "–".join(dict.fromkeys(f"{end:.0f}" for end in (feature[chosen].min(), feature[chosen].max())))
        groups.append(Group(name, len(of_group), mean, interval))
    return groups
