"""A second machine: a new clone that pulls from a shared remote has the model and runs nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment, ran, run, tiny_project

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A clone in which the pipeline has run, its lock file committed."""
    folder = tiny_project(tmp_path_factory.mktemp("first") / "project", tiny_model)
    run("dvc", "repro", cwd=folder)
    run("git", "commit", "--quiet", "--all", "--message", "a run", cwd=folder)
    return folder


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of a real S3 server with a bucket `refit`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://127.0.0.1:{port}" if host else ""
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"], region_name=KEYS["AWS_DEFAULT_REGION"],
    )  # fmt: skip
    client.create_bucket(Bucket="refit")
    yield address
    server.stop()


def pulled(first: Path, target: Path) -> Path:
    """A clone of `first` that has pulled from the remote, and shares no cache with it."""
    run("git", "clone", "--quiet", first, target, cwd=first)
    shutil.copyfile(first / ".dvc/config.local", target / ".dvc/config.local")
    run("dvc", "pull", "--run-cache", cwd=target, env=environment(**KEYS))
    return target


def check(first: Path, second: Path) -> None:
    """Check that the second machine has the model, and that neither dvc.lock nor the run cache leaves stages to run."""
    model = "models/finetuned/model.safetensors"
    assert (second / model).read_bytes() == (first / model).read_bytes()
    assert ran(run("dvc", "repro", cwd=second).stdout) == []
    # Without dvc.lock, DVC finds the result of a stage only in the run cache.
    (second / "dvc.lock").unlink()
    shutil.rmtree(second / "models/finetuned")
    again = run("dvc", "repro", "train", cwd=second)
    assert "Running stage 'train'" not in again.stdout
    assert (second / model).read_bytes() == (first / model).read_bytes()


def test_through_a_shared_folder(finished: Path, tmp_path: Path) -> None:
    """Prevents a colleague who pulls from training again what was trained."""
    run("dvc", "remote", "add", "--local", "--force", "--default", "shared", tmp_path / "remote", cwd=finished)
    run("dvc", "push", "--run-cache", cwd=finished)
    check(finished, pulled(finished, tmp_path / "second"))


def test_through_s3(finished: Path, tmp_path: Path, s3: str) -> None:
    """The same through an object store."""
    run("dvc", "remote", "add", "--local", "--force", "--default", "shared", "s3://refit/store", cwd=finished)
    run("dvc", "remote", "modify", "--local", "shared", "endpointurl", s3, cwd=finished)
    run("dvc", "push", "--run-cache", cwd=finished, env=environment(**KEYS))
    check(finished, pulled(finished, tmp_path / "second"))
