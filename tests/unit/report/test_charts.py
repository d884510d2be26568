"""Charts as SVG: well-formed, the same each time, with alternative text, and right in what they draw."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from refit.report import charts
from refit.report.charts import Series
from refit.report.slices import Group

HOSTILE = "</svg><script>alert(1)</script>"
DRAWN = {
    "lines": lambda name: charts.lines(
        [Series(name, [1, 2, 3], [0.5, 0.4, math.nan]), Series("b", [1, 3], [1, 2])],
        x_label=name, alt=name, mark=(2, name),
    ),
    "histogram": lambda name: charts.histogram([3, 0, 5], [0, 1, 2, 3], x_label=name, alt=name, mark=(2, name)),
    "intervals": lambda name: charts.intervals([Group(name, 4, 0.5, (0.4, 0.6))], x_label=name, alt=name, mean=0.5),
    "scatter": lambda name: charts.scatter([1, 2], [2, 1], x_label=name, y_label=name, alt=name),
    "reliability": lambda name: charts.scatter([0.4, 0.9], [0, 1], x_label=name, y_label=name, alt=name, rows=[3, 9]),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWN)
def test_a_chart_is_one_well_formed_picture_with_alternative_text_whatever_its_names(kind: str) -> None:
    """Prevents a label that closes the picture and runs in the page, and parts outside, which a phone cuts off."""
    picture = DRAWN[kind](HOSTILE)
    assert isinstance(picture, Markup)
    root = ElementTree.fromstring(picture)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == HOSTILE
    assert {element.tag for element in root.iter()} <= {"svg", "path", "rect", "text", "circle", "g", "line"}
    assert picture == DRAWN[kind](HOSTILE)
    assert "nan" not in picture
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    for element in root.iter():
        assert 0 <= float(element.get("x", 0)) <= width
        assert 0 <= float(element.get("y", 0)) <= height


def test_a_line_goes_through_its_points() -> None:
    """The y axis points up and the x axis right; a flipped curve would turn progress into failure."""
    picture = charts.lines([Series("loss", [0, 1, 2], [4.0, 2.0, 0.0])], x_label="epoch", alt="falls")
    drawn = re.search(r'stroke-width="2"[^>]* d="(M[^"]*L[^"]*L[^"]*)"', picture)
    assert drawn
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", drawn[1].replace(" L", "L"))[1:]]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # falling values: further down the picture
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_few_and_round_and_enclose_the_values(low: float, span: float) -> None:
    """Prevents an axis without numbers, with fifty, or much longer than its values."""
    at = charts.ticks([low, low + span, math.nan])
    assert 2 <= len(at) <= 6
    step = at[1] - at[0]
    assert at[0] <= low + span * 1e-6
    assert at[-1] >= low + span - span * 1e-6
    assert at[1] > low - step * 1e-6
    assert at[-2] < low + span + step * 1e-6
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-6), 3) in (1, 2, 5)
