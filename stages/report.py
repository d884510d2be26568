"""Stage that describes the run: on one page, metrics/report.html, and in the model card."""

from refit import paths
from refit.stage import run


def report() -> None:
    """Write the page and the card."""
    from refit import params
    from refit.report import build
    from refit.storage import manifest

    manifest.read(paths.METRICS_MANIFEST.parent)
    build.write(params.values())


if __name__ == "__main__":
    run("report", report)
