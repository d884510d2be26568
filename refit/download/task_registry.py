"""The tasks that refit knows: where the rows lie, which columns they have, which scores count.

Only `stages/download.py` reads this table. It writes the chosen row, resolved, to data/raw/task.json, and
every later stage reads that: so adding a task here reruns `download` and retrains nothing.

To add a task, add a row; recipes/ holds a whole params.yaml for each.
"""

import difflib
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from refit.data.task_record import ProblemType
from refit.errors import ParamsError

GLUE = "nyu-mll/glue"
GLUE_COMMIT = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
YELP_COMMIT = "c1f9ee939b7d05667af864ee1cb066393154bf85"


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset of the Hugging Face hub at one commit.

    A split is the hub's split name, or `config/split` where it lies in another configuration. `revision` is
    a 40-hex commit; `main` only where no commit is known, and then `download` records what main was.
    """

    kind: ClassVar[Literal["hub"]] = "hub"
    id: str
    revision: str
    config: str | None = None


@dataclass(frozen=True, kw_only=True)
class Package:
    """Rated sentences out of the vaderSentiment source distribution (refit/download/vader.py)."""

    kind: ClassVar[Literal["package"]] = "package"
    file: str


@dataclass(frozen=True, kw_only=True)
class Own:
    """The user's files in data/own/<name>/."""

    kind: ClassVar[Literal["own"]] = "own"
    name: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the task table.

    `splits` maps our split names to the source's. A name that begins with `validation` is scored during
    training and by evaluate, one that begins with `test` by evaluate alone. Where `validation` is not among
    them, `download` holds it out of train. `scores` are names of refit/evaluation/metrics.py; `best_score` picks the
    best epoch, on `validation`.
    """

    source: Hub | Package | Own
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "validation", "test": "test"}
    )
    problem_type: ProblemType | None = "classification"
    scores: tuple[str, ...] = ("accuracy", "macro_f1")
    best_score: str = "accuracy"
    note: str = ""


def _glue(config: str, text: str, text_pair: str | None = None, **changes: object) -> Task:
    row: dict[str, object] = {"scores": ("accuracy",), **changes}
    source = Hub(id=GLUE, config=config, revision=GLUE_COMMIT)
    return Task(source=source, text=text, text_pair=text_pair, **row)  # type: ignore[arg-type]


def _stars(file: str) -> Task:
    return Task(source=Package(file=file), note="five equal-width bins of the mean rating of 20 people")


_NO_HIDDEN_LABELS = "the test labels are hidden: the scores are on validation"
_MNLI = {
    "train": "train",
    "validation": "validation_matched",
    "validation_mismatched": "validation_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
    "test_ax": "ax/test",  # the leaderboard's diagnostic rows are labelled by MNLI's model
}
_MOVIES = "movieReviewSnippets_GroundTruth.txt"

TASKS: dict[str, Task] = {
    "movie_stars": _stars(_MOVIES),
    "product_stars": _stars("amazonReviewSnippets_GroundTruth.txt"),
    "tweet_stars": _stars("tweets_GroundTruth.txt"),
    "editorial_stars": _stars("nytEditorialSnippets_GroundTruth.txt"),
    "movie_scores": Task(
        source=Package(file=_MOVIES),
        problem_type="regression",
        scores=("pearson", "spearmanr"),
        best_score="pearson",
        note="the mean rating of 20 people, from -4 to 4",
    ),
    "yelp": Task(
        source=Hub(id="Yelp/yelp_review_full", revision=YELP_COMMIT),
        splits={"train": "train", "test": "test"},
    ),
    "yelp_tutorial": Task(
        source=Hub(id="Yelp/yelp_review_full", revision=YELP_COMMIT),
        splits={"train": "train", "validation": "test", "test": "test"},
        note="as the tutorial does, the best epoch is picked on the test split: its score is a little too good",
    ),
    "cola": _glue(
        "cola", "sentence", scores=("matthews_correlation", "accuracy"), best_score="matthews_correlation",
        note=_NO_HIDDEN_LABELS,
    ),
    "sst2": _glue("sst2", "sentence", note=_NO_HIDDEN_LABELS),
    "mrpc": _glue("mrpc", "sentence1", "sentence2", scores=("accuracy", "f1")),
    "qqp": _glue("qqp", "question1", "question2", scores=("accuracy", "f1"), note=_NO_HIDDEN_LABELS),
    "stsb": _glue(
        "stsb", "sentence1", "sentence2", problem_type="regression", scores=("pearson", "spearmanr"),
        best_score="pearson", note=_NO_HIDDEN_LABELS,
    ),
    "mnli": _glue("mnli", "premise", "hypothesis", splits=_MNLI, note=_NO_HIDDEN_LABELS),
    "mnli-mm": _glue(
        "mnli", "premise", "hypothesis", note=_NO_HIDDEN_LABELS,
        splits={"train": "train", "validation": "validation_mismatched", "test": "test_mismatched"},
    ),
    "qnli": _glue("qnli", "question", "sentence", note=_NO_HIDDEN_LABELS),
    "rte": _glue("rte", "sentence1", "sentence2", note=_NO_HIDDEN_LABELS),
    "wnli": _glue("wnli", "sentence1", "sentence2", note=_NO_HIDDEN_LABELS),
    "ax": _glue(
        "mnli", "premise", "hypothesis", note="the diagnostic set has no train rows: the model is MNLI's",
        splits={"train": "train", "validation": "validation_matched", "test": "ax/test"},
    ),
    "afqmc": Task(
        source=Hub(id="clue/clue", config="afqmc", revision="main"),
        text="sentence1", text_pair="sentence2", scores=("accuracy", "f1"), note=_NO_HIDDEN_LABELS,
    ),
}  # fmt: skip


def find(name: str) -> Task:
    """The row of a task, or the row that reads the user's own files for `own/NAME`.

    Raises ParamsError for a name that is neither.
    """
    if name.startswith("own/"):
        folder = name.removeprefix("own/")
        if not folder or not all(part.isalnum() for part in folder.replace("-", "_").split("_") if part):
            raise ParamsError(
                f"params.yaml task: got {name!r}; need own/NAME, NAME a folder in data/own of letters, digits, _ and -"
            )
        return Task(source=Own(name=folder), problem_type=None, text_pair="text_pair")
    if name not in TASKS:
        close = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ParamsError(
            f"params.yaml task: unknown task {name!r}; {hint}Choose one of {', '.join(sorted(TASKS))}, "
            "or own/NAME for your files in data/own/NAME"
        )
    return TASKS[name]
