"""The report of a run: one page, metrics/report.html, and the model card."""

import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from refit import paths
from refit.escaping import visible
from refit.evaluation.against_baseline import verdict
from refit.evaluation.metrics import SCORES
from refit.params import formatted
from refit.report import data_section, examples_section, model_card, scores_section, wording
from refit.report.run_data import Run
from refit.storage import files


def write(params: dict[str, Any]) -> None:
    """Write the page and the model card of the run whose outputs are in place; `params` are in the order of the file.

    The page is one file: no font, image, style or script comes from anywhere else, and its Content-Security-Policy
    forbids it. What comes from the data (labels, texts) is escaped by the template engine; control characters are made
    visible in the complete page.
    """
    run = Run(params)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {function.__name__: function for function in wording.FILTERS}
    environment.filters |= {"score_name": lambda name: SCORES[name].label, "verdict": verdict, "yaml": formatted}
    page = environment.get_template("page.html.j2").render(
        run=run, settings=settings(params), data_digest=files.sha256(paths.TASK), **scores_section.sections(run),
        examples=examples_section.examples(run), mistakes=examples_section.mistakes(run), data=data_section.data(run),
    )  # fmt: skip
    files.write_text(paths.REPORT, visible(page))
    files.write_text(paths.MODEL_CARD, model_card.text(run))


def settings(params: dict[str, Any]) -> list[str]:
    """The params as the arguments of `dvc exp run -S`, quoted for a shell."""
    return [shlex.quote(f"{name}={formatted(value)}") for name, value in params.items()]
