"""report.js: what the page says of this machine, this moment and git.

It stands beside report.html because none of it follows from the run's inputs: the page keeps the same bytes in every
clone, and still shows timings and the commit. It is no out of DVC's, which would have another hash each time; so it
names the page that it was written for, and says nothing on another one. A page may run a script from its own folder
without any network. The script only puts prepared text, escaped as on the page, into places that the page has for it.
"""

import importlib.metadata
import io
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from markupsafe import Markup
from ruamel.yaml import YAML

from refit import paths, timings
from refit.escaping import visible
from refit.report import page
from refit.report.overview import command, shell, shown
from refit.storage import files

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "dvc")
CODE = ("dvc.yaml", "refit", "stages", "requirements.txt")
STAGES = ("download", "download_model", "tokenize", "sample", "train", "evaluate")
ABSENT = object()


def write(target: Path, values: dict[str, Any], identity: str) -> None:
    """Write the script, given the run's params and the identity of the page that it is for."""
    commit = _commit()
    parts = {
        "run-code": _code(commit, values),
        "run-timings": _timings(timings.collect()),
        "run-command": _command(commit, values),
    }
    content = json.dumps(
        {place: visible(part) for place, part in parts.items()}, indent=1
    )  # ASCII: no character of it can end the script
    files.write_text(
        target,
        f"const parts = {content};\n"
        f'if (document.documentElement.dataset.page === "{identity}")\n'
        "  for (const [id, html] of Object.entries(parts)) document.getElementById(id).innerHTML = html;\n",
    )


def differing(values: dict[str, Any], committed: dict[str, Any]) -> dict[str, Any]:
    """The params that are not as in a commit's params.yaml, or not there at all."""
    return {name: value for name, value in values.items() if committed.get(name, ABSENT) != value}


def _commit() -> str | None:
    """The commit that the run builds on: inside `dvc exp run` the experiment's baseline. None outside of git."""
    return os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")


def _code(commit: str | None, values: dict[str, Any]) -> Markup:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    known = [("Libraries", f"Python {platform.python_version()}, {versions}")]
    if commit is None:
        return page.facts([("Code", "not in git, so no version of it is known"), *known])
    edited = _edited(commit)
    code: page.Content = Markup("commit <code>{}</code>").format(commit[:12])
    if edited:
        names = ", ".join(edited[:6]) + (f" and {len(edited) - 6} more" if len(edited) > 6 else "")
        code += Markup(' <span class="warn">with uncommitted edits in {}</span>').format(names)
    committed = _params(commit)
    changed = differing(values, committed)
    rows: list[tuple[str, page.Content]] = [("Code", code)]
    if os.environ.get("DVC_EXP_NAME"):
        rows.append(("Experiment", os.environ["DVC_EXP_NAME"]))
    listed = Markup(", ").join(
        Markup("{} <b>{}</b> (committed: {})").format(name, shown(value), shown(committed.get(name, "not there")))
        for name, value in changed.items()
    )
    rows.append(("Changed params", listed if changed else "none: all as committed"))
    return page.facts([*rows, *known])


def _command(commit: str | None, values: dict[str, Any]) -> Markup:
    if commit is None:
        return page.paragraph("This folder is not in git, so no commit names its code.")
    lines = f"git checkout {commit}\n{command(differing(values, _params(commit)))}"
    edited = _edited(commit)
    warning = page.paragraph(
        "Code was edited and not committed when this ran, so no commit has it: commit first, then run again.",
        kind="warn",
    )  # fmt: skip
    return page.join([shell(lines), *([warning] if edited else [])])


def _timings(record: dict[str, dict[str, Any]]) -> Markup:
    rows = [
        [
            stage,
            *(
                [f"{of['seconds']:,.1f} s", _rate(of, "rows"), _rate(of, "tokens"), f"{of['peak_memory_mb']:,.0f} MB"]
                if (of := record.get(stage))
                else ["not run here", "", "", ""]
            ),
        ]
        for stage in STAGES
    ]
    head = ["stage", "time", "rows/s", "tokens/s", "peak memory"]
    number = {of["number_format"] for of in record.values() if "number_format" in of}
    machine = [platform.system(), platform.machine(), f"{os.cpu_count()} cores", *sorted(number)]
    note = (
        f"Measured on this machine ({', '.join(machine)}), in each stage's last run. A stage that DVC took from its "
        "cache was not run here."
    )
    return page.join([page.table(head, rows, columns="lrrrr"), page.paragraph(note, kind="quiet")])


def _rate(of: dict[str, Any], unit: str) -> str:
    value = of.get(f"{unit}_per_second")
    return f"{value:,.0f}" if value is not None else ""


def _edited(commit: str) -> list[str]:
    """The code files that differ from a commit."""
    changed = _git("diff", "--name-only", commit, "--", *CODE) or ""
    new = _git("ls-files", "--others", "--exclude-standard", "--", *CODE) or ""
    return sorted({*changed.splitlines(), *new.splitlines()})


def _params(commit: str) -> dict[str, Any]:
    """params.yaml as it is in a commit; nothing where it has none."""
    text = _git("show", f"{commit}:{paths.PARAMS}")
    values = YAML(typ="safe").load(io.StringIO(text)) if text else {}
    return values if isinstance(values, dict) else {}


def _git(*arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no such thing in it."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True, encoding="utf-8", timeout=60)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.rstrip("\n")
