"""Charts as inline SVG without a script: the same bytes for the same numbers, coloured by style.css.

Every chart is 360 units wide, so that its text has a readable size on a phone. Series differ in dashes as well as in
colour. `alt` is what a screen reader says; it should give the figures that matter.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refit.report.slices import Group

WIDTH = 360
COLOURS = 5
MOST_GAPS = 5  # between the ticks of an axis
MOST_DOTS = 15  # points of a line that are marked one by one
Mark = tuple[float, str]  # a value of x and its name


@dataclass(frozen=True)
class Series:
    """A named line: the x and y of its points, in order of x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def lines(
    series: Sequence[Series], *, x_label: str, alt: str, mark: Mark | None = None,
    chosen: Sequence[tuple[float, float]] = (),
) -> Markup:  # fmt: skip
    """Lines over one x axis, each in its own colour and dashes, with a vertical line at `mark`.

    `chosen` is a point on each line that gets a large dot.
    """
    top = 18 + 16 * math.ceil(len(series) / 2)  # below the legend, which has two names per row
    all_x, all_y = [x for line in series for x in line.x], [y for line in series for y in line.y]
    frame = _Frame([0, *all_x], all_y, top=top, x_label=x_label)
    parts = [frame.axes(), frame.mark(mark)]
    for index, line in enumerate(series):
        x, y = 2 + 175 * (index % 2), 8 + 16 * (index // 2)
        parts += [_path([(x, y), (x + 18, y)], index), _label(x + 23, y + 4, line.name, "start", "ink")]
        points = [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        parts.append(_path(points, index))
        if len(points) <= MOST_DOTS:
            parts += [_dot(x, y, index) for x, y in points]
    parts += [_dot(frame.x(x), frame.y(y), index, 5.5) for index, (x, y) in enumerate(chosen)]
    return frame.svg(alt, parts)


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, x_label: str, alt: str, mark: Mark | None = None
) -> Markup:
    """The number of values between each two `edges`, with a vertical line at `mark`."""
    frame = _Frame([*edges, *([mark[0]] if mark else [])], [0, *counts], top=22, x_label=x_label)
    parts = [frame.axes()]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        x, y, width = frame.x(left) + 0.5, frame.y(count), max(frame.x(right) - frame.x(left) - 1, 0.5)
        parts.append(_tag("rect", x=x, y=y, width=width, height=frame.bottom - y, style="fill:var(--c0)"))
    return frame.svg(alt, [*parts, frame.mark(mark)])


def intervals(groups: Sequence[Group], *, x_label: str, alt: str, mean: float) -> Markup:
    """The mean of each group with its interval, and a horizontal line at the `mean` of all."""
    ends = [end for group in groups for end in group.interval]
    frame = _Frame([0, len(groups)], ends, top=12, x_label=x_label)
    line = _line(frame.left, frame.y(mean), frame.right, frame.y(mean), "axis dash")
    parts = [frame.axes(has_numbers=False), line]
    for place, group in enumerate(groups):
        x = frame.x(place + 0.5)
        parts += [
            _path([(x, frame.y(end)) for end in group.interval], 0),
            _dot(x, frame.y(group.mean), 0),
            _label(x, frame.bottom + 15, group.name, "middle"),
        ]
    return frame.svg(alt, parts)


def scatter(
    x: Sequence[float], y: Sequence[float], *, x_label: str, y_label: str, alt: str, rows: Sequence[int] = ()
) -> Markup:
    """Points over axes of the same range, and a dashed line where x = y; a point's area grows with its `rows`."""
    frame = _Frame([*x, *y], [*x, *y], top=22, x_label=x_label, height=320)
    sizes = [2.5 + 5.5 * math.sqrt(count / max(rows)) for count in rows] or [2.4] * len(x)
    dots = [_dot(frame.x(a), frame.y(b), 0, size) for a, b, size in zip(x, y, sizes, strict=True)]
    parts = [
        frame.axes(),
        _line(frame.left, frame.bottom, frame.right, frame.top, "axis dash"),
        _label(frame.left, frame.top - 8, y_label, "start"),
        _tag("g", Markup().join(dots), fill_opacity="0.75" if rows else "0.4"),
    ]
    return frame.svg(alt, parts)


def ticks(values: Iterable[float]) -> list[float]:
    """At most six round numbers (1, 2 or 5 times a power of ten apart) that enclose the finite ones of `values`."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - abs(low) * 0.1 - 0.5, high + abs(high) * 0.1 + 0.5
    power = 10 ** math.floor(math.log10((high - low) / MOST_GAPS))
    steps = (power * factor for factor in (1, 2, 5, 10, 20))
    ends = ((step, math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)) for step in steps)
    step, first, last = next((step, first, last) for step, first, last in ends if last - first <= MOST_GAPS)
    return [index * step for index in range(first, last + 1)]


class _Frame:
    """A plotting area: its edges, its axes, which enclose all x and y, and the positions of values in it."""

    def __init__(
        self, x: Iterable[float], y: Iterable[float], *, top: float, x_label: str, height: float = 230
    ) -> None:
        self.x_ticks, self.y_ticks, self.x_label, self.height = ticks(x), ticks(y), x_label, height
        self.left, self.right, self.top, self.bottom = 46, WIDTH - 14, top, height - 38

    def x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def axes(self, *, has_numbers: bool = True) -> Markup:
        parts = [
            _line(self.left, self.bottom, self.right, self.bottom, "axis"),
            _label((self.left + self.right) / 2, self.height - 4, self.x_label, "middle"),
        ]
        for value in self.y_ticks:
            parts.append(_line(self.left, self.y(value), self.right, self.y(value), "rule"))
            parts.append(_label(self.left - 6, self.y(value) + 4, f"{value:.6g}", "end"))
        if has_numbers:
            parts += [_label(self.x(value), self.bottom + 15, f"{value:.6g}", "middle") for value in self.x_ticks]
        return Markup().join(parts)

    def mark(self, mark: Mark | None) -> Markup:
        """A vertical line at a value, with its name over it; nothing for None."""
        if mark is None:
            return Markup("")
        value, name = mark
        x, is_right = self.x(value), self.x(value) > WIDTH / 2
        label = _label(x + (-4 if is_right else 4), self.top - 5, name, "end" if is_right else "start", "ink")
        return _line(x, self.top, x, self.bottom, "limit dash") + label

    def svg(self, alt: str, parts: Iterable[Markup]) -> Markup:
        content = Markup("\n").join(parts)
        return _tag("svg", content, viewBox=f"0 0 {WIDTH} {_n(self.height)}", role="img", aria_label=alt)


def _n(value: float) -> str:
    """A coordinate: a tenth of a unit is finer than a screen shows."""
    return f"{value:.1f}".removesuffix(".0")


def _tag(name: str, content: str = "", **attributes: str | float) -> Markup:
    """An SVG element. Underscores in the names of attributes become hyphens; numbers are coordinates."""
    given = Markup().join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), of if isinstance(of, str) else _n(of))
        for key, of in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, content)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return _tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _label(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return _tag("text", text, class_=kind, x=x, y=y, text_anchor=anchor)


def _path(points: Iterable[tuple[float, float]], index: int) -> Markup:
    steps = " ".join(f"{'L' if place else 'M'}{_n(x)} {_n(y)}" for place, (x, y) in enumerate(points))
    dashes = ("none", "6 3", "2 3", "8 3 2 3", "1 2")[index % COLOURS]
    colour = f"stroke:var(--c{index % COLOURS})"
    return _tag("path", fill="none", stroke_width="2", style=colour, stroke_dasharray=dashes, d=steps)


def _dot(x: float, y: float, index: int, size: float = 3.5) -> Markup:
    return _tag("circle", cx=x, cy=y, r=size, style=f"fill:var(--c{index % COLOURS})")
