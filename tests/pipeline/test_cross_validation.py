"""The commands of docs/splits.md, with real experiments of the queue."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, run, tiny_project, wait_for_queue


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_document_predict_every_row_once(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents experiments without the names that the document says, and folds that compare does not pool."""
    project = tiny_project(tmp_path / "project", tiny_model, epochs=1, test_share=0.0)
    run("dvc", "repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "first run", cwd=project)
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/splits.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    commands = (
        "".join(blocks).replace("folds=5", "folds=2").replace("range(1,6)", "range(1,3)").replace("{1..5}", "{1..2}")
    )
    for command in commands.splitlines():
        said = run("bash", "-euc", command, cwd=project).stdout
        if command == "dvc queue start":
            wait_for_queue(project)
    assert "cv-1 and 1 other fold" in said
    texts = []
    for name in ("cv-1", "cv-2"):
        run("dvc", "exp", "apply", name, cwd=project)
        table = pq.read_table(project / "data/raw/validation.parquet")
        assert len(pq.read_table(project / "metrics/predictions.parquet")) == len(table) == 30
        texts += table["text"].to_pylist()
    assert len(set(texts)) == 60
