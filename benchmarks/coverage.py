"""How often a 95% interval contains the true score, and how often compare calls equally good runs different.

python -m benchmarks.coverage                 # 500 data sets per line: 20 minutes on two cores

Each data set is drawn from a population whose scores are known: labels with given frequencies and a model that confuses
them with given probabilities, or values that a model predicts with a given correlation. Writes benchmarks/COVERAGE.md.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from benchmarks.run import ROOT
from refit.evaluation import bootstrap, significance
from refit.evaluation.metrics import SCORES, Labels
from refit.stage import bar
from refit.storage import files

RESULTS = ROOT / "benchmarks/COVERAGE.md"
POPULATION = 10**7  # rows that give the true score


@dataclass(frozen=True)
class Population:
    """Labels with `frequencies` (class), predicted by `confusion` (class, class), whose rows add up to one."""

    name: str
    frequencies: npt.NDArray[np.float64]
    confusion: npt.NDArray[np.float64]

    def draw(self, rows: int, generator: np.random.Generator, models: int = 1) -> tuple[Labels, list[Labels]]:
        """Labels of `rows` examples, and the predictions of equally good, independent models."""
        labels = generator.choice(len(self.frequencies), rows, p=self.frequencies)
        cumulated = self.confusion.cumsum(axis=1)
        return labels, [
            (generator.random(rows)[:, None] > cumulated[labels]).sum(axis=1).clip(max=len(cumulated) - 1)
            for _ in range(models)
        ]

    def truth(self, name: str, classes: npt.NDArray[np.int64]) -> float:
        """The score in the population; macro F1 is the mean over `classes`, those that occur in a data set."""
        counts = np.rint(self.frequencies[:, None] * self.confusion * POPULATION).astype(np.int64)
        if name == "macro_f1":
            of_each = 2 * counts.diagonal() / (counts.sum(axis=0) + counts.sum(axis=1))
            return float(of_each[classes].mean())
        labels, predictions = (cells.ravel() for cells in np.indices(counts.shape))
        return float(SCORES[name].of_draws(counts.ravel()[None], labels, predictions)[0])


@dataclass(frozen=True)
class Values:
    """Normal values and predictions with a given Pearson correlation."""

    name: str
    correlation: float

    def draw(self, rows: int, generator: np.random.Generator, models: int = 1) -> tuple[Labels, list[Labels]]:
        """Values of `rows` examples, and the predictions of equally good, independent models."""
        values = generator.normal(size=rows)
        noise = np.sqrt(1 - self.correlation**2)
        return values, [self.correlation * values + noise * generator.normal(size=rows) for _ in range(models)]

    def truth(self, name: str, _: object) -> float:
        """The score in the population; Spearman's is that of a bivariate normal distribution (Pearson, 1907)."""
        return self.correlation if name == "pearson" else float(6 / np.pi * np.arcsin(self.correlation / 2))


def populations() -> Iterator[Population | Values]:
    """The populations of the simulation."""
    yield _classes("2 classes, balanced", np.ones(2), 0.8)
    yield _classes("2 classes, 20 to 1", np.array([20.0, 1]), 0.8)
    yield _classes("5 classes, balanced", np.ones(5), 0.6)
    yield _classes("52 classes, as frequent as in R52", 1 / np.arange(1, 53) ** 2, 0.8)
    yield Values("values, correlation 0.5", 0.5)
    yield Values("values, correlation 0.95", 0.95)


def _classes(name: str, sizes: npt.NDArray[np.float64], right: float) -> Population:
    frequencies = sizes / sizes.sum()
    confusion = np.tile(frequencies, (len(sizes), 1)) * (1 - right) + np.eye(len(sizes)) * right
    return Population(name, frequencies, confusion)


def scores_of(population: Population | Values) -> list[str]:
    """The scores that are defined for a population."""
    if isinstance(population, Values):
        return [name for name, score in SCORES.items() if score.is_regression]
    two = len(population.frequencies) == 2
    return [
        name
        for name, score in SCORES.items()
        if "classification" in score.problem_types and (two or not score.two_classes_only)
    ]


def generator(population: Population | Values, name: str, rows: int, seed: int) -> np.random.Generator:
    """The random numbers of one data set: those of different lines are independent."""
    return np.random.default_rng([seed, rows, *f"{population.name} {name}".encode()])


def coverage(population: Population | Values, name: str, rows: int, datasets: int) -> float:
    """The fraction of data sets whose interval contains the true score."""
    hits = 0
    for seed in range(datasets):
        labels, (predictions,) = population.draw(rows, generator(population, name, rows, seed))
        low, high = bootstrap.interval(name, labels, predictions)
        hits += low <= population.truth(name, np.unique([labels, predictions]).astype(np.int64)) <= high
    return hits / datasets


def false_alarms(population: Population | Values, name: str, rows: int, datasets: int) -> float:
    """The fraction of comparisons of two equally good runs that are called real."""
    alarms = 0
    for seed in range(datasets):
        labels, (first, second) = population.draw(rows, generator(population, name, rows, seed), models=2)
        alarms += significance.difference(name, labels, first, second).p < significance.LEVEL
    return alarms / datasets


def line(datasets: int, case: tuple[Population | Values, str, int]) -> tuple[str, str, int, int, str, str]:
    """One line of the table: the coverage and the false alarms of a score on data sets of so many rows.

    A fifth as many for correlations of 1,000 rows, of which each data set takes seconds.
    """
    population, name, rows = case
    datasets //= 5 if isinstance(population, Values) and rows > 100 else 1
    found = coverage(population, name, rows, datasets), false_alarms(population, name, rows, datasets)
    return population.name, SCORES[name].label, rows, datasets, f"{found[0]:.1%}", f"{found[1]:.1%}"


def main() -> None:
    """Run the simulation and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description="Coverage of the intervals.")
    parser.add_argument("--datasets", type=int, default=500)
    datasets = parser.parse_args().datasets
    cases = [(of, name, rows) for of in populations() for name in scores_of(of) for rows in (60, 1000)]
    with ProcessPoolExecutor() as pool:
        lines = list(bar(pool.map(partial(line, datasets), cases), total=len(cases), desc="coverage", unit="lines"))
    head = ["population", "score", "rows", "data sets", "interval contains the truth", "equal runs called different"]
    files.write_text(RESULTS, HEAD + tabulate(lines, head, tablefmt="pipe") + "\n")


HEAD = """# Coverage of the intervals

By `python -m benchmarks.coverage`. The target is 93% to 97% for the intervals, and at
most 5% for the comparisons.

"""

if __name__ == "__main__":
    main()
