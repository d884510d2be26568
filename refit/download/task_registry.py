"""The tasks that refit knows: where their examples are, which columns and splits they have, which scores count.

Of the stages only `download` reads this table; the later ones read data/raw/task.json. So a new task retrains nothing.
To add a task, add a row, and a recipe (a complete params.yaml) in recipes/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from refit.data.task_record import ProblemType
from refit.errors import ParamsError

CLASSIFICATION_SCORES = ("accuracy", "macro_f1")
MULTI_LABEL_SCORES = ("micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "average_precision")
REGRESSION_SCORES = ("pearson", "spearmanr")
DEFAULT_SCORES: dict[ProblemType, tuple[str, ...]] = {
    "classification": CLASSIFICATION_SCORES, "multi_label": MULTI_LABEL_SCORES, "regression": REGRESSION_SCORES,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the examples of a task are.

    hub: the dataset `name` at the commit `revision` (`main` if none is known: `download` records the commit). Its files
    are CONFIG/SPLIT-*.parquet, as `push_to_hub` writes them, with `data` as the only configuration's folder.
    package: the file `name` of sentences in vaderSentiment (vader.py) or of films in pydataset (movie_genres.py).
    own: the user's files in data/`name`.
    """

    kind: Literal["hub", "package", "own"]
    name: str
    config: str = ""
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The leaderboard of a task: its file for each test split, and whether it wants label names or indices."""

    name: Literal["glue", "clue"]
    files: Mapping[str, str]
    label_names: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the task table.

    `splits` maps the names of our splits to the source's: `split`, or `config/split` for a split of another
    configuration. Splits whose name starts with `validation` are scored during training and by evaluate, those with
    `test` by evaluate alone. `download` holds out of train what is missing. `scores` are names of
    refit/evaluation/metrics.py; the first one, on `validation`, selects the best epoch.
    """

    source: Source
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    splits: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    problem_type: ProblemType | None = "classification"  # None: decided by the labels
    scores: tuple[str, ...] = CLASSIFICATION_SCORES
    note: str = ""
    leaderboard: Leaderboard | None = None


_GLUE = Source(kind="hub", name="nyu-mll/glue", revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
_YELP = Source(
    kind="hub", name="Yelp/yelp_review_full", config="yelp_review_full",
    revision="c1f9ee939b7d05667af864ee1cb066393154bf85",
)  # fmt: skip
_LABELS_HIDDEN = "the test labels are hidden: the scores are on validation"


def _glue(
    config: str, columns: tuple[str, ...], files: str | Mapping[str, str], *, names: bool = False, **fields: Any
) -> Task:
    """A GLUE task; `files` is its file of a submission, or the file of each test split."""
    files = {"test": files} if isinstance(files, str) else files
    fields = {"scores": ("accuracy",), "note": _LABELS_HIDDEN, **fields}
    return Task(
        source=replace(_GLUE, config=config), text=columns[0], text_pair=columns[1] if len(columns) == 2 else None,
        leaderboard=Leaderboard(name="glue", files=files, label_names=names), **fields,
    )  # fmt: skip


def _stars(file: str, raters: str) -> Task:
    note = f"five equal-width bins of the mean rating of {raters} people"
    scores = ("macro_f1", "accuracy")  # accuracy alone would select epochs in which rare stars are never predicted
    return Task(source=Source(kind="package", name=file), scores=scores, note=note)


_MOVIES = "movieReviewSnippets_GroundTruth.txt"
_SENTENCES = ("sentence1", "sentence2")
_MNLI = ("premise", "hypothesis")

TASKS: dict[str, Task] = {
    "movie_stars": _stars(_MOVIES, "15 to 29"),
    "product_stars": _stars("amazonReviewSnippets_GroundTruth.txt", "20"),
    "tweet_stars": _stars("tweets_GroundTruth.txt", "20 to 99"),
    "editorial_stars": _stars("nytEditorialSnippets_GroundTruth.txt", "20"),
    "movie_scores": Task(
        source=Source(kind="package", name=_MOVIES), problem_type="regression", scores=REGRESSION_SCORES,
        note="the mean rating of 15 to 29 people, from -4 to 4",
    ),
    "movie_genres": Task(
        source=Source(kind="package", name="movies.csv"), problem_type="multi_label", scores=MULTI_LABEL_SCORES,
        note="any of seven genres from title, year and length; a film may have none of them",
    ),
    "yelp": Task(source=_YELP, splits={"train": "train", "test": "test"}),
    "yelp_tutorial": Task(
        source=_YELP, splits={"train": "train", "validation": "test", "test": "test"},
        note="as the tutorial does, the best epoch is picked on the test split: its score is a little too good",
    ),
    "cola": _glue("cola", ("sentence",), "CoLA.tsv", scores=("matthews_correlation", "accuracy")),
    "sst2": _glue("sst2", ("sentence",), "SST-2.tsv"),
    "mrpc": _glue("mrpc", _SENTENCES, "MRPC.tsv", scores=("accuracy", "f1"), note=""),
    "stsb": _glue("stsb", _SENTENCES, "STS-B.tsv", problem_type="regression", scores=REGRESSION_SCORES),
    "qqp": _glue("qqp", ("question1", "question2"), "QQP.tsv", scores=("accuracy", "f1")),
    "mnli": _glue(
        "mnli", _MNLI, {"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv", "test_ax": "AX.tsv"}, names=True,
        splits={
            "train": "train",
            "validation": "validation_matched", "validation_mismatched": "validation_mismatched",
            "test": "test_matched", "test_mismatched": "test_mismatched",
            "test_ax": "ax/test",  # the leaderboard's diagnostic examples are predicted by MNLI's model
        },
    ),
    "mnli-mm": _glue(
        "mnli", _MNLI, "MNLI-mm.tsv", names=True,
        splits={"train": "train", "validation": "validation_mismatched", "test": "test_mismatched"},
    ),
    "qnli": _glue("qnli", ("question", "sentence"), "QNLI.tsv", names=True),
    "rte": _glue("rte", _SENTENCES, "RTE.tsv", names=True),
    "wnli": _glue("wnli", _SENTENCES, "WNLI.tsv"),
    "ax": _glue(
        "mnli", _MNLI, "AX.tsv", names=True, note="the diagnostic set has no train rows: the model is MNLI's",
        splits={"train": "train", "validation": "validation_matched", "test": "ax/test"},
    ),
    "afqmc": Task(
        source=Source(kind="hub", name="clue/clue", config="afqmc"), text="sentence1", text_pair="sentence2",
        scores=("accuracy", "f1"), note=_LABELS_HIDDEN,
        leaderboard=Leaderboard(name="clue", files={"test": "afqmc_predict.json"}),
    ),
}  # fmt: skip


def find(name: str) -> Task:
    """The task with this name in the table, or the user's own task for `own/NAME`. Raises ParamsError."""
    if name.startswith("own/"):
        folder = name.removeprefix("own/")
        if not folder or not all(part.isalnum() for part in folder.replace("-", "_").split("_") if part):
            raise ParamsError(
                f"params.yaml task: got {name!r}; need own/NAME, NAME a folder in data/own of letters, digits, _ and -"
            )
        return Task(source=Source(kind="own", name=name), problem_type=None, text_pair="text_pair")
    if name not in TASKS:
        raise ParamsError(
            f"params.yaml task: unknown task {name!r}; choose one of {', '.join(sorted(TASKS))}, "
            "or own/NAME for your files in data/own/NAME"
        )
    return TASKS[name]
