"""Typed view of params.yaml: one class per stage, with exactly the params that the stage may read.

The fields of a class are the `params:` of its stage in dvc.yaml (a test compares them). Nothing has a default here:
every value comes from params.yaml, so that `dvc params diff` shows every change.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refit import paths
from refit.errors import ParamsError

# A description follows "need" in the error line for a wrong value; the choices of a Literal describe themselves.
Text = Annotated[str, Field(min_length=1, description="text")]
Flag = Annotated[bool, Field(description="true or false")]
RowCount = Annotated[Annotated[int, Field(ge=1)] | Literal["all"], Field(description="a whole number >= 1, or all")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")]
Share = Annotated[float, Field(ge=0, lt=1, description="a number >= 0 and < 1")]
Positive = Annotated[int, Field(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Length = Annotated[int, Field(ge=4, le=1_000_000, description="a whole number from 4 to 1000000")]
Cadence = Annotated[
    Annotated[int, Field(ge=1)] | Literal["epoch"], Field(description="epoch, or a whole number of steps >= 1")
]
ClassWeights = Annotated[
    Literal["none", "balanced", "sqrt"]
    | Annotated[dict[str | int | bool, Annotated[float, Field(gt=0)]], Field(min_length=1)],
    Field(description="none, balanced, sqrt, or weights > 0 of labels, such as {spam: 5}"),
]
SplitBy = Literal["random", "group", "time"]
LongTexts = Literal["head", "head_tail", "windows"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Threads = Annotated[
    Annotated[int, Field(ge=1, le=1024)] | Literal["auto"], Field(description="auto, or a whole number from 1 to 1024")
]


class Params(BaseModel):
    """The base of every stage's params: frozen, strict about types."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class HashSources(Params):
    """The names that may stand for the user's own files."""

    task: Text
    model: Text


class Download(Params):
    """The data and its splits."""

    task: Text
    validation_share: Share
    test_share: Share
    split_seed: Seed
    split_by: SplitBy
    folds: Annotated[
        Annotated[int, Field(ge=2)] | Annotated[int, Field(ge=0, le=0)],
        Field(description="a whole number >= 2, or 0 for none"),
    ]
    fold: Positive


class DownloadModel(Params):
    """The pretrained model."""

    model: Text
    model_revision: Annotated[
        str, Field(pattern=r"^(pinned|[0-9a-f]{40})$", description="pinned, or a 40-hex commit of the model")
    ]


class Tokenize(Params):
    """How texts become token ids."""

    max_length: Length
    long_texts: LongTexts


class Sample(Params):
    """Which examples are used."""

    train_rows: RowCount
    eval_rows: RowCount
    test_rows: RowCount
    sample_seed: Seed
    test_sample_seed: Seed
    stratify: Flag


class Train(Params):
    """How the model is fine-tuned."""

    lr: Annotated[float, Field(gt=0, le=1, description="a number, 0 < lr <= 1")]
    epochs: Annotated[int, Field(ge=1, le=10_000, description="a whole number from 1 to 10000")]
    batch_size: Positive
    eval_batch_size: Positive
    grad_accum: Positive
    weight_decay: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
    warmup: Share
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"]
    max_grad_norm: Annotated[float, Field(ge=0, description="a number >= 0 (0: do not clip)")]
    label_smoothing: Share
    class_weights: ClassWeights
    threshold: Literal["argmax", "best"]
    early_stopping: Annotated[
        int, Field(ge=0, description="a whole number >= 0: evaluations without improvement before stopping (0: never)")
    ]
    eval_every: Cadence
    save_every: Cadence
    seed: Seed
    precision: Precision
    padding: Literal["longest", "max_length"]
    sampling: Literal["length", "random"]
    attention_dropout: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | Literal["model"],
        Field(description="model, or a number, 0 <= attention_dropout < 1"),
    ]
    threads: Threads
    processes: Positive
    report_to: Literal["none", "tensorboard", "dvclive", "wandb"]
    max_length: Length
    trainer: Annotated[
        dict[str, Any], Field(description="a mapping of the Trainer's other arguments, such as {adam_beta2: 0.98}")
    ]


class Evaluate(Params):
    """How the fine-tuned model is scored."""

    eval_batch_size: Positive
    precision: Precision
    threads: Threads


STAGES: dict[str, type[Params]] = {
    "hash_sources": HashSources,
    "download": Download,
    "download_model": DownloadModel,
    "tokenize": Tokenize,
    "sample": Sample,
    "baseline": Params,  # none: it follows from the sampled examples
    "train": Train,
    "evaluate": Evaluate,
}


class Range(Params):
    """Numbers from low to high, both included; log: sampled evenly on a logarithmic scale."""

    low: int | float
    high: int | float
    log: bool = False


Choices = Annotated[list[int | float | str | bool], Field(min_length=1)]


class Search(Params, extra="forbid"):
    """What `python -m refit.search` tries; only the report stage, which shows all of params.yaml, depends on it.

    The defaults are the tutorials' search, in the space of transformers' default_hp_space_optuna.
    """

    trials: Positive = 10
    train_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    seed: Seed = 42
    prune: bool = True
    space: Annotated[dict[str, Range | Choices], Field(min_length=1)] = {
        "lr": Range(low=1e-6, high=1e-4, log=True),
        "epochs": Range(low=1, high=5),
        "seed": Range(low=1, high=40),
        "batch_size": [4, 8, 16, 32, 64],
    }

    @model_validator(mode="after")
    def _check_space(self) -> "Search":
        """Raise ValueError for a key of the space that is not a param, or a value that the param cannot have."""
        for key, space in self.space.items():
            if key not in names():
                raise ValueError(f"search.space.{key}: no such param; need one of those in params.yaml")
            if isinstance(space, Range) and (space.low >= space.high or (space.log and space.low <= 0)):
                raise ValueError(f"search.space.{key}: need low < high, and low > 0 for log")
            field = All.model_fields[key]
            kind: Any = Annotated[field.annotation, *field.metadata]
            param: TypeAdapter[Any] = TypeAdapter(kind, config=Params.model_config)
            for value in (space.low, space.high) if isinstance(space, Range) else space:
                try:
                    param.validate_python(value)
                except ValidationError:
                    text = f"search.space.{key}: {shown(value)} cannot be tried, need {_wanted(key)}"
                    raise ValueError(text) from None
        return self


class All(Evaluate, Train, Sample, Tokenize, DownloadModel, Download, extra="forbid"):
    """Every key of params.yaml."""

    search: Annotated[Search, BeforeValidator(lambda given: given or {})] = Field(default_factory=Search)


Fields = TypeVar("Fields", bound=Params)


def load(stage: type[Fields], path: Path = paths.PARAMS) -> Fields:
    """Check all of params.yaml, then return the params of one stage. Raises ParamsError, naming every problem."""
    return stage(**_checked(path))


def load_search(path: Path = paths.PARAMS) -> Search:
    """Check all of params.yaml, then return its `search:`, or the tutorials' search if it has none."""
    return Search(**_checked(path).get("search") or {})


def values(path: Path = paths.PARAMS) -> dict[str, Any]:
    """Check all of params.yaml, then return the params of all stages, in the order of the file."""
    return {name: value for name, value in _checked(path).items() if name != "search"}


def names() -> set[str]:
    """The name of every param, all of which params.yaml must have."""
    return set(All.model_fields) - {"search"}


def formatted(value: Any) -> str:
    """A param's value as params.yaml and `dvc exp run -S` accept it: true rather than True, {a: 1} for a mapping."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {formatted(of)}" for name, of in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(formatted, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def shown(value: Any) -> str:
    """A value for an error line, with its kind: 'fast' (text)."""
    kinds = {bool: "true/false", str: "text", float: "number", int: "whole number", list: "list", dict: "mapping"}
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else formatted(value)
    kind = next((name for of, name in kinds.items() if isinstance(value, of)), type(value).__name__)
    return f"{text if len(text) <= 60 else f'{text:.57}...'} ({kind})"


def _checked(path: Path) -> dict[str, Any]:
    """The content of params.yaml. Raises ParamsError, naming every problem."""
    given, lines = _read(path)
    try:
        All.model_validate(given)
        return given
    except ValidationError as error:
        # By key, because a value that may be of several types has one error for each of them.
        details = {str(detail["loc"][0]): detail for detail in reversed(error.errors())}
    problems = sorted(_problem(f"{path}:{lines.get(key, '')}", key, detail) for key, detail in details.items())
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    raise ParamsError(count + "; ".join(problems))


def _problem(where: str, key: str, detail: ErrorDetails) -> str:
    """The line for an unknown key, a missing key, or a wrong value."""
    given = detail["input"]
    if detail["type"] == "missing":
        return f"{where} key {key} is missing; need {_wanted(key)}"
    if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
        close = difflib.get_close_matches(key, {*names(), *TRAINER_NAMES}, n=1)
        hint = f"did you mean {TRAINER_NAMES.get(close[0], close[0])}?" if close else "remove it"
        return f"{where} unknown key {key}; {hint}"
    if key == "search":
        place = ".".join(str(part) for part in detail["loc"][:4])
        text = detail.get("ctx", {}).get("error") or f"{place}: got {shown(given)}; {detail['msg']}"
        return f"{where} {text}"
    return f"{where} {key}: got {shown(given)}, need {_wanted(key)}"


def _wanted(key: str) -> str:
    field = All.model_fields[key]
    return field.description or f"one of {', '.join(get_args(field.annotation))}"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The keys with their values, and the line of each key. Raises ParamsError."""
    # DVC's own library for YAML 1.2: PyYAML reads the 2e-05 that `dvc exp run -S lr=2e-5` writes as text.
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(path.read_bytes().decode("utf-8-sig"))
        tree = yaml.constructor.construct_document(node) if node else None
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; take one with: cp recipes/movie_stars.yaml {path}") from None
    except (UnicodeDecodeError, YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ":"
        reason = getattr(error, "problem", error)
        raise ParamsError(f"{path}{where} is not YAML in UTF-8 ({reason}); correct it, see recipes/") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"{path}: need `key: value` lines, got {shown(tree)}; see recipes/ for complete files")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return {str(key): value for key, value in tree.items()}, lines


# The Trainer's and run_glue.py's names of arguments that are params here.
TRAINER_NAMES = {
    "learning_rate": "lr", "num_train_epochs": "epochs", "max_steps": "epochs", "lr_scheduler_type": "scheduler",
    "per_device_train_batch_size": "batch_size", "per_device_eval_batch_size": "eval_batch_size",
    "gradient_accumulation_steps": "grad_accum", "warmup_ratio": "warmup", "warmup_steps": "warmup",
    "label_smoothing_factor": "label_smoothing", "bf16": "precision", "fp16": "precision", "data_seed": "seed",
    "save_strategy": "save_every", "save_steps": "save_every", "eval_strategy": "eval_every",
    "eval_steps": "eval_every", "train_sampling_strategy": "sampling", "max_seq_length": "max_length",
    "model_name_or_path": "model", "revision": "model_revision",
}  # fmt: skip
