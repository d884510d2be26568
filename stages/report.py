"""Put a run on one page: metrics/report.html, and every stage's timings in metrics/speed.json."""

from refit import paths
from refit.runtime import run


def report() -> None:
    """Write the page and the timings."""
    from refit import manifest, speed
    from refit import report as page

    manifest.read(paths.METRICS)
    manifest.read_record(paths.TASK)
    page.write(paths.REPORT)
    speed.write(paths.SPEED)


if __name__ == "__main__":
    run("report", report)
