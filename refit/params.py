"""Typed view of params.yaml: one class per stage, naming exactly what that stage may read.

The fields of a class are the `params:` of its stage in dvc.yaml (a test holds the two together), so DVC
reruns a stage when, and only when, a value that it can see has changed. Nothing has a default here:
params.yaml is the only place that a value comes from, so `dvc params diff` shows every change.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from refit import paths
from refit.errors import ParamsError

# A field's description is what a user reads after "need" when the value is wrong.
Text = Annotated[str, Field(min_length=1, description="text")]
Rows = Annotated[int, Field(ge=1)] | Literal["all"]
RowCount = Annotated[Rows, Field(description="a whole number >= 1, or all")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, description="a number, 0 <= share < 1")]
Positive = Annotated[int, Field(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Length = Annotated[int, Field(ge=4, le=1_000_000, description="a whole number from 4 to 1000000")]
EveryEpoch = Annotated[int, Field(ge=1)] | Literal["epoch"]
Cadence = Annotated[EveryEpoch, Field(description="epoch, or a whole number of steps >= 1")]
Precision = Annotated[Literal["auto", "fp32", "bf16", "fp16"], Field(description="one of auto, fp32, bf16, fp16")]
ThreadCount = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
Threads = Annotated[ThreadCount, Field(description="auto, or a whole number from 1 to 1024")]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"]


class Params(BaseModel):
    """The base of every stage's params: frozen, strict about types."""

    model_config = ConfigDict(frozen=True, strict=True)


class HashSources(Params):
    """What names files of the user."""

    task: Text
    model: Text


class Download(Params):
    """What decides the data."""

    task: Text
    validation_share: Share
    test_share: Share
    split_seed: Seed


class DownloadModel(Params):
    """What decides the pretrained model."""

    model: Text
    model_revision: Annotated[
        str, Field(pattern=r"^(pinned|[0-9a-f]{40})$", description="pinned, or a 40-hex commit of the model")
    ]


class Tokenize(Params):
    """What decides the token ids."""

    max_length: Length


class Sample(Params):
    """Which rows are used."""

    train_rows: RowCount
    eval_rows: RowCount
    test_rows: RowCount
    sample_seed: Seed
    test_sample_seed: Seed
    stratify: Annotated[bool, Field(description="true or false")]


class Train(Params):
    """What decides the weights."""

    lr: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, description="a number, 0 < lr <= 1")]
    epochs: Annotated[int, Field(ge=1, le=10_000, description="a whole number from 1 to 10000")]
    batch_size: Positive
    eval_batch_size: Positive
    grad_accum: Positive
    weight_decay: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")]
    warmup: Annotated[
        float,
        Field(ge=0, lt=1, allow_inf_nan=False, description="the share of all steps to warm up in, 0 <= warmup < 1"),
    ]
    scheduler: Annotated[
        Scheduler,
        Field(description="one of linear, cosine, constant, constant_with_warmup, polynomial, inverse_sqrt"),
    ]
    max_grad_norm: Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number >= 0 (0: do not clip)")]
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, allow_inf_nan=False, description="a number, 0 <= label_smoothing < 1")
    ]
    class_weights: Annotated[Literal["none", "balanced"], Field(description="none or balanced")]
    early_stopping: Annotated[
        int, Field(ge=0, description="a whole number >= 0: evaluations without improvement before stopping (0: never)")
    ]
    eval_every: Cadence
    save_every: Cadence
    seed: Seed
    precision: Precision
    padding: Annotated[Literal["longest", "max_length"], Field(description="longest or max_length")]
    sampling: Annotated[Literal["length", "random"], Field(description="length or random")]
    attention_dropout: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | Literal["model"],
        Field(description="model, or a number, 0 <= attention_dropout < 1"),
    ]
    threads: Threads
    processes: Positive
    report_to: Annotated[
        Literal["none", "tensorboard", "dvclive", "wandb"],
        Field(description="one of none, tensorboard, dvclive, wandb"),
    ]
    max_length: Length
    trainer: Annotated[
        dict[str, Any], Field(description="a mapping of the Trainer's other arguments, such as {adam_beta2: 0.98}")
    ]


class Evaluate(Params):
    """How the fine-tuned model is scored."""

    eval_batch_size: Positive
    precision: Precision
    threads: Threads


class Range(Params):
    """Numbers from low to high, both included; log: sampled evenly on a logarithmic scale."""

    low: int | float
    high: int | float
    log: bool = False


Choices = Annotated[list[int | float | str | bool], Field(min_length=1)]


class Search(Params, extra="forbid"):
    """What `python -m refit.search` tries; of the stages only report, which tracks all of params.yaml, sees it.

    The values given here are the tutorials' search: the space of transformers' default_hp_space_optuna, ten trials, a
    tenth of the training rows. They hold for a params.yaml without `search:`.
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


STAGES: dict[str, type[Params]] = {
    "hash_sources": HashSources,
    "download": Download,
    "download_model": DownloadModel,
    "tokenize": Tokenize,
    "sample": Sample,
    "train": Train,
    "evaluate": Evaluate,
}

Fields = TypeVar("Fields", bound=Params)


class _All(Evaluate, Train, Sample, Tokenize, DownloadModel, Download):
    """Every param, to check params.yaml in one go."""


def load(stage: type[Fields], path: Path = paths.PARAMS) -> Fields:
    """Check all of params.yaml, then return what one stage may see of it.

    Raises ParamsError, naming every problem at once.
    """
    checked = _checked(path)
    return stage.model_validate({name: checked[name] for name in stage.model_fields})


def load_search(path: Path = paths.PARAMS) -> Search:
    """Check all of params.yaml, then return its `search:`, or the tutorials' search if it has none."""
    return Search.model_validate(_checked(path).get("search") or {})


def values(path: Path = paths.PARAMS) -> dict[str, Any]:
    """Every param of the stages with its value, checked, in the order of the file."""
    return {key: value for key, value in _checked(path).items() if key in names()}


def names() -> set[str]:
    """Every key that params.yaml must have."""
    return set(_All.model_fields)


def formatted(value: Any) -> str:
    """A param's value as params.yaml and `dvc exp run -S` have it: true rather than True, {a:1} for a mapping."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{formatted(of)}" for name, of in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(formatted, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _checked(path: Path) -> dict[str, Any]:
    """The content of params.yaml. Raises ParamsError, naming every problem at once."""
    values, lines = _read(path)
    problems = _unknown_and_missing(values, lines, path)
    try:
        _All.model_validate(values)
    except ValidationError as error:
        details = {detail["loc"][0]: detail for detail in error.errors() if detail["loc"][0] in values}
        problems += [_describe(path, lines, str(key), values) for key in details]
    problems += _search_problems(values, lines, path)
    if problems:
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        raise ParamsError(count + "; ".join(problems))
    return values


def _search_problems(values: dict[str, Any], lines: dict[str, int], path: Path) -> list[str]:
    """What is wrong in `search:`: its form, keys of the space that are no params, values that no param may have."""
    where = f"{path}:{lines.get('search', 0)}"
    try:
        search = Search.model_validate(values.get("search") or {})
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"][:3])
        return [f"{where} search.{key}: got {_shown(detail['input'])}; {detail['msg']}"]
    problems = []
    for key, space in search.space.items():
        if key not in names():
            problems.append(f"{where} search.space.{key}: no such param; need one of those in params.yaml")
            continue
        if isinstance(space, Range) and (space.low >= space.high or (space.log and space.low <= 0)):
            problems.append(f"{where} search.space.{key}: need low < high, and low > 0 for log")
        for end in (space.low, space.high) if isinstance(space, Range) else space:
            try:
                _All.model_validate({**values, key: end})
            except ValidationError as error:
                if any(detail["loc"][0] == key for detail in error.errors()):
                    problems.append(f"{where} search.space.{key}: {_shown(end)} cannot be tried, need {_wanted(key)}")
    return problems


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The keys with their values, and the line of each key.

    YAML 1.2 as DVC reads it: PyYAML takes the 2e-05 that `dvc exp run -S lr=2e-5` writes for text.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ParamsError(f"{path}: not found; take one with: cp recipes/movie_stars.yaml {path}") from None
    except IsADirectoryError:
        raise ParamsError(f"{path}: is a folder; need a file of `key: value` lines, see recipes/") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ParamsError(f"{path}:{line} is not UTF-8 text; save the file as UTF-8") from None
    try:
        tree: Any = YAML(typ="rt").load(content)
    except DuplicateKeyError as error:
        where = error.problem_mark.line + 1 if error.problem_mark else 0
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else "a key"
        raise ParamsError(f"{path}:{where} key {key} appears twice; keep one of them") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        tab = mark is not None and "\t" in "".join(content.splitlines()[mark.line : mark.line + 1])
        hint = "a tab is used for indentation; use spaces" if tab else f"not YAML ({getattr(error, 'problem', error)})"
        raise ParamsError(f"{path}{where} {hint}") from None
    if not isinstance(tree, CommentedMap):
        raise ParamsError(f"{path}: need `key: value` lines, got {_shown(tree)}; see recipes/ for complete files")
    return _plain(tree), {str(key): tree.lc.key(key)[0] + 1 for key in tree}


def _plain(value: Any) -> Any:
    """A value without ruamel.yaml's types, which remember how a number was written."""
    if isinstance(value, dict):
        return {str(key): _plain(of) for key, of in value.items()}
    if isinstance(value, list):
        return [_plain(of) for of in value]
    return next((kind(value) for kind in (bool, int, float, str) if isinstance(value, kind)), value)


def _unknown_and_missing(values: dict[str, Any], lines: dict[str, int], path: Path) -> list[str]:
    problems = []
    for key in values.keys() - names() - {"search"}:
        if key in MOVED:
            problems.append(f"{path}:{lines[key]} unknown key {key}; it moved to {MOVED[key]} (docs/cluster.md)")
            continue
        close = difflib.get_close_matches(key, names() | set(TRAINER_NAMES), n=1)
        meant = TRAINER_NAMES.get(close[0], close[0]) if close else None
        hint = f"did you mean {meant}?" if meant else "remove it"
        problems.append(f"{path}:{lines[key]} unknown key {key}; {hint}")
    for key in names() - values.keys():
        problems.append(f"{path}: key {key} is missing; need {_wanted(key)}")
    return sorted(problems)


MOVED = {"compile": "trainer.torch_compile", "fsdp": "trainer.fsdp", "deepspeed": "trainer.deepspeed"}
# The Trainer's and run_glue.py's names of arguments that are params here.
TRAINER_NAMES = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "gradient_accumulation_steps": "grad_accum",
    "warmup_ratio": "warmup",
    "warmup_steps": "warmup",
    "lr_scheduler_type": "scheduler",
    "label_smoothing_factor": "label_smoothing",
    "max_seq_length": "max_length",
    "model_name_or_path": "model",
    "revision": "model_revision",
    "save_strategy": "save_every",
    "save_steps": "save_every",
    "eval_strategy": "eval_every",
    "eval_steps": "eval_every",
    "data_seed": "seed",
    "bf16": "precision",
    "fp16": "precision",
    "train_sampling_strategy": "sampling",
    "max_steps": "epochs",
}


def _wanted(key: str) -> str:
    return _All.model_fields[key].description or "a value"


def _describe(path: Path, lines: dict[str, int], key: str, values: dict[str, Any]) -> str:
    given, wanted = values[key], _wanted(key)
    quoted = isinstance(given, str) and _is_number(given) and "number" in wanted
    fix = " (remove the quotes)" if quoted else ""
    return f"{path}:{lines[key]} {key}: got {_shown(given)}, need {wanted}{fix}"


def _shown(value: Any) -> str:
    kinds = {bool: "true/false", str: "text", float: "number", int: "whole number", list: "list", dict: "mapping"}
    if value is None:
        return "nothing"
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else repr(value)
    shown = shown if shown and len(shown) <= 60 else f"{shown!s:.57}..."
    kind = next((name for of, name in kinds.items() if isinstance(value, of)), type(value).__name__)
    return f"{shown} ({kind})"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
