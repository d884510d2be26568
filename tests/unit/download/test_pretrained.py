"""What `model` may name, and what download_model refuses before any work on the data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from refit.download import hub, model_registry, pretrained
from refit.errors import DataError, ParamsError
from refit.params import DownloadModel
from refit.storage import files


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny model, to be damaged, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(tiny_model, tmp_path / "model")


def download(model: str | Path) -> None:
    """Copy a model into base in the current folder."""
    pretrained.write(DownloadModel(model=str(model), model_revision="pinned"), Path("base"))


def change(name: str, **values: object) -> Callable[[Path], None]:
    """Change values in a JSON file."""
    return lambda folder: files.write_json(folder / name, files.read_json(folder / name) | values)


def write(name: str, content: bytes) -> Callable[[Path], None]:
    """Replace a file."""
    return lambda folder: (folder / name).write_bytes(content) and None


def cut(folder: Path) -> None:
    """Lose the end of the weights, as a copy that was stopped."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def without_tokenizer(folder: Path) -> None:
    """Leave only the config and the weights."""
    for path in folder.glob("tokenizer*"):
        path.unlink()


def without_shard(folder: Path) -> None:
    """Turn the weights into two shards and lose the second."""
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": "b.safetensors"}}
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    files.write_json(folder / "model.safetensors.index.json", index)


DAMAGED = {
    "decoder": (change("config.json", model_type="gpt2"), "gpt2 is a decoder"),
    "encoder-decoder": (write("config.json", b'{"model_type": "t5"}'), "t5 is a decoder"),
    "image model": (change("config.json", model_type="vit"), "vit is a decoder, or not a model of texts"),
    "config not JSON": (write("config.json", b"{"), "its config.json cannot be loaded"),
    "no model_type": (write("config.json", b'{"hidden_size": 32}'), "its config.json cannot be loaded"),
    "wrong value": (change("config.json", hidden_size="many"), "its config.json cannot be loaded"),
    "another width": (change("config.json", intermediate_size=48), "have another shape than its config.json says"),
    "more layers": (change("config.json", num_hidden_layers=3), "encoder.layer.2"),
    "no tokenizer": (without_tokenizer, "has no tokenizer files"),
    "empty vocabulary": (lambda folder: (without_tokenizer(folder), write("vocab.txt", b"")(folder)), "no tokenizer"),
    "no padding token": (change("tokenizer_config.json", pad_token=None), "no padding token"),
    "damaged tokenizer": (write("tokenizer.json", b"{"), "its tokenizer cannot be loaded"),
    "another tokenizer": (change("config.json", vocab_size=100), "the model has 100 embeddings"),
    "weights cut": (cut, "its weights cannot be loaded"),
    "weights not safetensors": (write("model.safetensors", b"text"), "its weights cannot be loaded"),
    "shard missing": (without_shard, "its weights cannot be loaded"),
}


@pytest.mark.parametrize(("harm", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_model_that_cannot_be_trained_is_refused_in_one_line(
    harm: Callable[[Path], None], message: str, folder: Path
) -> None:
    """Prevents training on unknown tokens or random weights, and a traceback three stages later."""
    harm(folder)
    with pytest.raises(DataError) as raised:
        download(folder)
    text = str(raised.value)
    assert text.startswith(f"model {folder}: ")
    assert message in text
    assert "choose" in text or "use the tokenizer files" in text
    assert "\n" not in text
    assert not Path("base").exists()


@pytest.mark.parametrize(
    "kind", ["albert", "electra", "eurobert", "fnet", "mpnet", "nomic_bert", "roformer", "ultrabert", "xlm-roberta"]
)
def test_encoders_with_and_without_a_head_are_accepted(kind: str, folder: Path) -> None:
    """Prevents the checks from refusing what can be trained."""
    config = AutoConfig.for_model(
        kind, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        vocab_size=files.read_json(folder / "config.json")["vocab_size"], pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config)
    for saved in (model, model.base_model):
        saved.save_pretrained(folder)
        download(folder)
        assert files.read_json(Path("base/config.json"))["architectures"] == [type(saved).__name__]


@pytest.mark.parametrize("name", ["./nope", "~/nope", "/nope", "models/other/", "a/b/c", "bert base", "C:\\x", "a--b"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused_offline(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents half a minute of attempts for a typo, and "has no config.json" for a folder that does not exist."""
    monkeypatch.setattr(hub, "snapshot", lambda *_: pytest.fail("the network was tried"))
    monkeypatch.setenv("HOME", str(folder.parent))
    with pytest.raises(ParamsError, match="not an existing folder; need minilm, a hub id") as raised:
        download(name)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("name", ["models/base", "models/../models/finetuned", "linked", "of_links"])
def test_a_folder_that_dvc_deletes_is_refused(name: str, folder: Path) -> None:
    """Prevents `model: models/base` from deleting the only copy of the model."""
    for out in ("models/base", "models/finetuned"):
        shutil.copytree(folder, out)
    Path("linked").symlink_to("models/base")
    Path("of_links").mkdir()
    for path in Path("models/finetuned").iterdir():
        Path("of_links", path.name).symlink_to(path.absolute())
    with pytest.raises(ParamsError, match=r"params.yaml model: .*DVC deletes models/"):
        model_registry.local_folder(name)
