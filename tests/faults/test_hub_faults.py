"""A hub that drops, resets, hangs, refuses or lies: retried where that helps, one clear line where it does not."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_hub
import pytest
from conftest import ROOT, environment, run

from refit.download.model_registry import HUB_COMMITS
from refit.storage import files

MODEL = "distilbert/distilbert-base-uncased"
NOWHERE = "http://127.0.0.1:9"
# The real client in a process of its own, with short waits.
FETCH = """
import json, sys
from refit.download import hub
from refit.errors import RefitError
hub.FIRST_WAIT, hub.ATTEMPTS = 0.05, int(sys.argv[3])
try:
    found = {"folder": str(hub.snapshot(sys.argv[1], "model", sys.argv[2], ["config.json", "*.safetensors"]))}
except RefitError as error:
    found = {"code": error.exit_code, "message": str(error)}
print(json.dumps(found))
"""


def fetch(
    url: str, home: Path, *, model: str = MODEL, commit: str = HUB_COMMITS[MODEL], attempts: int = 6, **env: str
) -> dict[str, Any]:
    """What `hub.snapshot` returned or raised, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH, model, commit, str(attempts)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=environment(
            HF_ENDPOINT=url, HF_HOME=str(home), HF_HUB_DOWNLOAD_TIMEOUT="2", HF_HUB_ETAG_TIMEOUT="2", **env
        ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


def check_weights(found: dict[str, Any], hub_root: Path) -> None:
    """Assert that the snapshot has the hub's bytes."""
    assert "folder" in found, found
    weights = Path(found["folder"]) / "model.safetensors"
    assert weights.read_bytes() == (hub_root / "models" / MODEL / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "faults",
    [
        {"drop": 2},
        {"drop": 2, "on": "/api"},
        {"drop": 2, "on": "/cdn", "ranges": False},
        {"drop": 2, "on": "/cdn", "reset": True},
        {"busy": 3},
    ],
    ids=lambda faults: "-".join(f"{name}={value}" for name, value in faults.items()),
)
def test_temporary_faults_are_retried(faults: dict[str, Any], hub_root: Path, tmp_path: Path) -> None:
    """Prevents the loss of an hour's download with one lost connection."""
    with fake_hub.running(hub_root, **faults) as server:
        check_weights(fetch(server.url, tmp_path), hub_root)
        assert server.faulty


@pytest.mark.parametrize("how", ["garble", pytest.param("truncate", marks=pytest.mark.crash), "short"])
def test_wrong_bytes_are_refused_and_do_not_stay_in_the_cache(how: str, hub_root: Path, tmp_path: Path) -> None:
    """Prevents garbage of the right length from being loaded as a model: the client checks sizes alone."""
    with fake_hub.running(hub_root, weights=how) as server:
        found = fetch(server.url, tmp_path)
        assert found["code"] in (65, 69), found
        assert "model.safetensors" in found["message"] or "connection" in found["message"], found
    with fake_hub.running(hub_root) as server:
        check_weights(fetch(server.url, tmp_path), hub_root)


DOWNLOAD = """
import sys
from pathlib import Path
from refit.download import pretrained
from refit.errors import RefitError
from refit.params import DownloadModel
for name, revision in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        pretrained.write(DownloadModel(model=name, model_revision=revision), Path("base"))
        print("accepted")
    except RefitError as error:
        print(error)
"""


def test_a_model_of_the_hub_is_checked_as_a_folder_is(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents code of a repository from being downloaded, and a decoder's weights from being downloaded in vain."""
    models = tmp_path / "root/models/own"
    for name in ("own-code", "bare", "decoder"):
        shutil.copytree(tiny_model, models / name)
    config = files.read_json(tiny_model / "config.json")
    files.write_json(models / "own-code/config.json", config | {"auto_map": {"AutoModel": "evil.Model"}})
    (models / "own-code/evil.py").write_text("raise SystemExit('evil code was run')")
    files.write_json(models / "decoder/config.json", config | {"model_type": "gpt2"})
    for path in (models / "bare").glob("tokenizer*"):
        path.unlink()
    commit = {name: fake_hub.commit_of(f"own/{name}") for name in ("own-code", "bare")}
    given = ["own/decoder", "pinned", "own/bare", "pinned", "own/bare", commit["bare"]]
    with fake_hub.running(tmp_path / "root") as server:
        env = environment(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "cache"), PYTHONPATH=str(ROOT))
        command = [sys.executable, "-c", DOWNLOAD, *given, "own/own-code", commit["own-code"]]
        said = run(*command, cwd=tmp_path, env=env).stdout.splitlines()
    expected = ["own/decoder: gpt2 is a decoder", commit["bare"], "own/bare: has no tokenizer files", "accepted"]
    assert [part in line for part, line in zip(expected, said, strict=True)] == [True] * 4, said
    assert not list((tmp_path / "cache").rglob("*.py"))
    assert not [path for path in server.requests if "decoder" in path and "safetensors" in path]


@pytest.mark.parametrize("how", ["garble", "truncate"])
def test_a_damaged_cache_is_fetched_again_or_refused_offline(how: str, hub_root: Path, tmp_path: Path) -> None:
    """Prevents a truncated file in the cache from being served without a word."""
    with fake_hub.running(hub_root) as server:
        stored = (Path(fetch(server.url, tmp_path)["folder"]) / "model.safetensors").resolve()
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 255
        stored.write_bytes(content if how == "garble" else content[: len(content) // 2])
        found = fetch(server.url, tmp_path)
        assert "model.safetensors is damaged in the cache" in found["stderr"]
        check_weights(found, hub_root)
        stored.write_bytes(content)
    found = fetch(NOWHERE, tmp_path, HF_HUB_OFFLINE="1")
    assert found.get("code") in (65, 69), found
    assert not stored.exists(), "a damaged file must not be served next time"


def test_another_revision_is_not_served_offline(hub_root: Path, tmp_path: Path) -> None:
    """Prevents another model than was asked for: a client could serve the newest copy that it has."""
    with fake_hub.running(hub_root) as server:
        check_weights(fetch(server.url, tmp_path), hub_root)
    found = fetch(NOWHERE, tmp_path, commit="0" * 40, HF_HUB_OFFLINE="1")
    assert found["code"] == 69
    assert f"model {MODEL}: commit {'0' * 40} is not in the cache, and HF_HUB_OFFLINE is set" in found["message"]
    check_weights(fetch(NOWHERE, tmp_path, HF_HUB_OFFLINE="1"), hub_root)


def test_refusals_are_not_retried(hub_root: Path, tmp_path: Path) -> None:
    """Prevents waiting for nothing, and an account that is locked after ten tries."""
    with fake_hub.running(hub_root) as server:
        unknown = fetch(server.url, tmp_path, model="bert-bas")
        assert (unknown["code"], unknown["message"].partition(";")[0]) == (
            69, f"model bert-bas: not found on {server.url}",
        )  # fmt: skip
        revision = fetch(server.url, tmp_path, commit="0" * 40)
        assert revision["code"] == 69
        assert revision["message"].startswith(f"model {MODEL}: no commit {'0' * 40} there")
    token = "secret-of-the-hub"
    with fake_hub.running(hub_root, token=token) as server:
        denied = fetch(server.url, tmp_path / "other")
        assert denied["code"] == 69
        assert "HF_TOKEN" in denied["message"]
        assert len(server.requests) <= 3
        wrong = fetch(server.url, tmp_path / "other", HF_TOKEN="hf_wrongwrongwrong")
        assert wrong["code"] == 69
        assert "hf_wrong" not in wrong["message"] + wrong["stderr"]
        check_weights(fetch(server.url, tmp_path / "other", HF_TOKEN=token), hub_root)


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.crash)])
def test_a_hub_that_is_always_busy_gets_one_line(status: int, hub_root: Path, tmp_path: Path) -> None:
    """Prevents a wait without end, and "not in the cache", which the client reports, from being all that is said."""
    with fake_hub.running(hub_root, busy=1, status=status) as server:
        found = fetch(server.url, tmp_path, attempts=2)
        assert found["code"] == 69
        assert found["message"].startswith(f"model {MODEL}: {server.url} answered {status}; try again later"), found


@pytest.mark.crash
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "absent"])
def test_a_hub_that_does_not_reply_gets_one_line(hangs: bool, tmp_path: Path) -> None:
    """Prevents a run that waits forever, and a traceback on a plane."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it never accepts a connection
        url = f"http://127.0.0.1:{listener.getsockname()[1]}" if hangs else NOWHERE
        found = fetch(url, tmp_path, attempts=2)
    assert found["code"] == 69
    assert found["message"].startswith(f"model {MODEL}: {url} cannot be reached and the cache has no copy"), found
