"""Sentences that people rated, from the source distribution of vaderSentiment (MIT licence).

C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM 2014: movie reviews, product reviews, tweets and newspaper editorials, rated from -4 to 4.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.download.pypi import Distribution, fetch, nested_file
from refit.download.splits import Loaded, by_hash
from refit.evaluation.metrics import score

SOURCE = Distribution(
    requirement="vaderSentiment==3.2.1",
    sha256="5dce530a78315563f8b3cd01033bbdd3bf4985fabf359ca68d4167728081c803",
    is_wheel=False,
)
ARCHIVE = "vaderSentiment-3.2.1/additional_resources/hutto_ICWSM_2014.tar.gz"
STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
SEEDS = range(5)
# Who predicts the mean rating of the others: how many of an example's raters.
PREDICTORS: dict[str, Callable[[int], int]] = {"one rater": lambda raters: 1, "half of the raters": lambda n: n // 2}

Ratings = npt.NDArray[np.float64]  # of one example, one entry per rater


def load(file: str, *, regression: bool, scores: Sequence[str]) -> Loaded:
    """The sentences of one file, labelled with one of five stars, or for `regression` with their mean rating.

    `scores` are the task's; the human ceiling is measured by them.
    """
    with tempfile.TemporaryDirectory() as scratch:
        archive = fetch(SOURCE, Path(scratch))
        texts, means = zip(*rated_sentences(archive, file), strict=True)
        human = ceiling(ratings(archive, file), float if regression else stars, scores)
    labels = pa.array(means, pa.float32()) if regression else pa.array(map(stars, means), pa.int64())
    return Loaded(
        splits=by_hash(pa.table({"text": texts, "label": labels}), texts),
        labels=[] if regression else list(STARS),
        problem_type="regression" if regression else "classification",
        revision=SOURCE.requirement,
        files={SOURCE.requirement: SOURCE.sha256},
        human=human,
    )


def rated_sentences(archive: Path, file: str) -> Iterator[tuple[str, float]]:
    """The (text, mean rating from -4 to 4) rows of a file of the source distribution, in the file's order."""
    for line in _lines(archive, file):
        _, rating, text = line.split("\t", 2)
        yield " ".join(text.split()), float(rating)


def ratings(archive: Path, file: str) -> list[Ratings]:
    """The ratings of each sentence of a file."""
    lines = _lines(archive, file.replace("_GroundTruth", "_anonDataRatings"))
    return [np.array(json.loads(line.rpartition("\t")[2]), dtype=np.float64) for line in lines]


def stars(rating: float) -> int:
    """The label (0 to 4) of a rating: five bins of equal width over [-4, 4]."""
    return min(4, max(0, math.floor((rating + 4) / 1.6)))


def ceiling(
    ratings: Sequence[Ratings], label_of: Callable[[float], float], scores: Sequence[str]
) -> dict[str, dict[str, float]]:
    """What people score: one rater, and a random half of the raters, against the mean of the others.

    `label_of` maps a mean rating to the task's label. Each score is the mean over five seeds, with six decimals.
    """
    found = {}
    for who, count in PREDICTORS.items():
        draws = []
        for seed in SEEDS:
            generator = np.random.default_rng(seed)
            shuffled = [generator.permutation(of_example) for of_example in ratings]
            others = [label_of(of_example[count(len(of_example)) :].mean()) for of_example in shuffled]
            predictors = [label_of(of_example[: count(len(of_example))].mean()) for of_example in shuffled]
            draws.append((np.array(others), np.array(predictors)))
        found[who] = {name: round(fmean(score(name, *draw) for draw in draws), 6) for name in scores}
    return found


def _lines(archive: Path, file: str) -> list[str]:
    content = nested_file(archive, ARCHIVE, f"hutto_ICWSM_2014/{file}")
    return content.decode("utf-8", errors="replace").splitlines()
