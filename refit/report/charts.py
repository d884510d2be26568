"""Charts as inline SVG without a script: the same bytes for the same numbers, coloured by style.css.

Every chart is 360 units wide, so that its text has a readable size on a phone. Series differ in shape as well as in
colour. `alt` is what a screen reader says; it should give the figures that matter.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refit.escaping import cut

WIDTH = 360
COLOURS = 5
MOST_GAPS = 5  # between the ticks of an axis
MOST_DOTS = 15  # points of a line that are marked one by one


@dataclass(frozen=True)
class Series:
    """A named line: the x and y of its points, in order of x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Point:
    """A value with the ends of its interval, and a name such as `5–12`."""

    name: str
    value: float
    low: float
    high: float


def lines(
    series: Sequence[Series], *, x_label: str, alt: str, mark: float | None = None, mark_label: str = ""
) -> Markup:
    """Lines over one x axis, each in its own colour, dashes and shape of points, with a vertical line at `mark`."""
    all_x = [x for line in series for x in line.x]
    all_y = [y for line in series for y in line.y]
    legend, bottom = _legend([line.name for line in series])
    frame = _Frame(_nice([0, *all_x], room=False), _nice(all_y), top=bottom + 18, x_label=x_label)
    parts = [legend, frame.axes(), frame.mark(mark, mark_label, "axis dash")]
    for index, line in enumerate(series):
        points = [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        parts.append(_path(points, index))
        if len(points) <= MOST_DOTS:
            parts += [_dot(x, y, index) for x, y in points]
    return _svg(frame.height, alt, parts)


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, x_label: str, alt: str, mark: float | None = None,
    mark_label: str = "",
) -> Markup:  # fmt: skip
    """The number of values between each two `edges`, with a vertical line at `mark`."""
    right = max(edges[-1], mark if mark is not None else edges[-1])
    frame = _Frame((edges[0], right), _nice([0, *counts]), top=22, x_label=x_label)
    parts = [frame.axes()]
    for count, left, end in zip(counts, edges, edges[1:], strict=False):
        x, y, width = frame.x(left), frame.y(count), frame.x(end) - frame.x(left)
        parts.append(_bar(x + 0.5, y, max(width - 1, 0.5), frame.bottom - y))
    return _svg(frame.height, alt, [*parts, frame.mark(mark, mark_label, "limit dash")])


def fractions(names: Sequence[str], splits: Mapping[str, Sequence[float]], *, alt: str) -> Markup:
    """The fraction of each name: a bar for the first split, a mark of its own shape for each other split."""
    row, left, top = 22, 112, 30
    height = top + row * len(names) + 24
    _, high = _nice([0, *(value for values in splits.values() for value in values)])
    frame = _Frame((0, high), (0, 1), top=top, height=height, left=left, bottom=24)
    parts = [_legend(list(splits), is_bar_first=True)[0], frame.x_grid(is_percent=True)]
    for place, name in enumerate(names):
        middle = top + row * place + row / 2
        parts.append(_label(left - 8, middle + 4, cut(name, 17)[0], "end", "ink", full=name))
        for index, values in enumerate(splits.values()):
            x = frame.x(values[place])
            if index == 0:
                parts.append(_bar(left, middle - 6, max(x - left, 0.5), 12))
            else:
                parts.append(_dot(x, middle + (-4, 4)[index % 2 == 0], index, size=4))
    return _svg(height, alt, parts)


def intervals(points: Sequence[Point], *, x_label: str, alt: str, mean: float, is_percent: bool = True) -> Markup:
    """A value with its interval for each group, and a horizontal line at the `mean` of all."""
    low, high = _nice([end for point in points for end in (point.low, point.high)])
    y_range = (max(0.0, low), min(1.0, high) if is_percent else high)
    frame = _Frame((0, len(points)), y_range, top=12, x_label=x_label)
    parts = [
        frame.y_grid(is_percent=is_percent), frame.x_line(),
        _line(frame.left, frame.y(mean), frame.right, frame.y(mean), "axis dash"),
    ]  # fmt: skip
    for place, point in enumerate(points):
        x = frame.x(place + 0.5)
        parts += [
            _path([(x, frame.y(point.low)), (x, frame.y(point.high))], 0),
            _dot(x, frame.y(point.value), 0, size=4.5),
            _label(x, frame.bottom + 15, point.name, "middle"),
        ]
    return _svg(frame.height, alt, parts)


def reliability(confidence: Sequence[float], accuracy: Sequence[float], rows: Sequence[int], *, alt: str) -> Markup:
    """Accuracy over the mean confidence of each bin; a dot's area is in proportion to the bin's rows."""
    frame = _Frame((0, 1), (0, 1), top=12, x_label="confidence", height=290)
    points = [(frame.x(sure), frame.y(right)) for sure, right in zip(confidence, accuracy, strict=True)]
    most = max(rows, default=1)
    parts = [
        frame.y_grid(is_percent=True), frame.x_grid(is_percent=True), frame.x_line(),
        _line(frame.left, frame.bottom, frame.right, frame.top, "axis dash"), _path(points, 0),
        *(_dot(x, y, 0, 2.5 + 5.5 * math.sqrt(count / most)) for (x, y), count in zip(points, rows, strict=True)),
    ]  # fmt: skip
    return _svg(frame.height, alt, parts)


def scatter(
    x: Sequence[float], y: Sequence[float], *, x_label: str, y_label: str, alt: str, line: str = "equal"
) -> Markup:
    """Points, and a dashed line: x = y (`equal`, both axes have the same range) or y = 0 (`zero`)."""
    is_equal = line == "equal"
    x_range, y_range = (_nice([*x, *y]),) * 2 if is_equal else (_nice(x), _nice([0, *y]))
    frame = _Frame(x_range, y_range, top=22, x_label=x_label, height=320)
    start, end = (frame.bottom, frame.top) if is_equal else (frame.y(0), frame.y(0))
    radius, opacity = ("2.6", "0.55") if len(x) < 500 else ("1.8", "0.35")
    dots = (_tag("circle", cx=frame.x(a), cy=frame.y(b), r=radius) for a, b in zip(x, y, strict=True))
    parts = [
        frame.axes(), _line(frame.left, start, frame.right, end, "axis dash"),
        _label(frame.left, frame.top - 8, y_label, "start"),
        _tag("g", _join(dots), style="fill:var(--c0)", fill_opacity=opacity),
    ]  # fmt: skip
    return _svg(frame.height, alt, parts)


def heatmap(counts: Sequence[Sequence[int]], *, alt: str) -> Markup:
    """A confusion matrix without names: entry (i, j) is the darker, the larger its fraction of row i."""
    left, top, room = 22, 22, WIDTH - 26
    cell, middle = room / len(counts), top + room / 2
    parts = [
        _tag("rect", class_="rule", x=left, y=top, width=room, height=room),
        _label(left + room / 2, 14, "predicted as", "middle"),
        _tag("text", "label", x=14, y=middle, text_anchor="middle", transform=f"rotate(-90 14 {_n(middle)})"),
    ]
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                x, y, opacity = left + j * cell, top + i * cell, f"{0.08 + 0.92 * count / sum(row):.2f}"
                parts.append(_bar(x, y, cell, cell, colour=int(i != j), opacity=opacity))
    return _svg(top + room + 4, alt, parts)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most six of them."""
    if not high > low:
        return [low]
    step = next(step for step in _steps(low, high) if (high - low) / step <= MOST_GAPS + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _steps(low: float, high: float) -> Iterator[float]:
    """Round distances of ticks, from one that is too small on."""
    power = 10 ** math.floor(math.log10((high - low) / MOST_GAPS))
    return (power * factor for factor in (1, 2, 5, 10, 20, 50))


class _Frame:
    """A plotting area: its edges, its axes, and the positions of values in it."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], *, top: float, x_label: str = "", height: float = 230,
        left: float = 46, bottom: float = 38,
    ) -> None:  # fmt: skip
        self.x_range, self.y_range, self.x_label, self.height = x, y, x_label, height
        self.left, self.right, self.top, self.bottom = left, WIDTH - 10, top, height - bottom

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def axes(self) -> Markup:
        return self.y_grid() + self.x_line() + self.x_numbers()

    def y_grid(self, *, is_percent: bool = False) -> Markup:
        at = ticks(*self.y_range)
        return _join(
            _line(self.left, self.y(value), self.right, self.y(value), "rule")
            + _label(self.left - 6, self.y(value) + 4, _tick(value, at, percent=is_percent), "end")
            for value in at
        )

    def x_grid(self, *, is_percent: bool = False) -> Markup:
        rules = (_line(self.x(value), self.top, self.x(value), self.bottom, "rule") for value in ticks(*self.x_range))
        return _join(rules) + self.x_numbers(is_percent=is_percent)

    def x_line(self) -> Markup:
        name = _label((self.left + self.right) / 2, self.height - 4, self.x_label, "middle")
        return _line(self.left, self.bottom, self.right, self.bottom, "axis") + (name if self.x_label else "")

    def x_numbers(self, *, is_percent: bool = False) -> Markup:
        at = ticks(*self.x_range)
        return _join(
            _label(
                self.x(value), self.bottom + 15, _tick(value, at, percent=is_percent),
                "end" if self.x(value) > WIDTH - 18 and not is_percent else "middle",
            )
            for value in at
        )  # fmt: skip

    def mark(self, value: float | None, name: str, kind: str) -> Markup:
        """A vertical line at a value, with a name over it; nothing for None."""
        if value is None:
            return Markup("")
        x, is_right = self.x(value), self.x(value) > WIDTH / 2
        label = _label(x + (-4 if is_right else 4), self.top - 5, name, "end" if is_right else "start", "ink")
        return _line(x, self.top, x, self.bottom, kind) + label


def _nice(values: Sequence[float], *, room: bool = True) -> tuple[float, float]:
    """The range of an axis that holds the values, with its ends at ticks where there may be room."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = (low - abs(low) * 0.1 - 0.5, high + abs(high) * 0.1 + 0.5) if low else (0.0, 1.0)
    if not room:
        return low, high
    ends = ((math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9), step) for step in _steps(low, high))
    return next((first * step, last * step) for first, last, step in ends if last - first <= MOST_GAPS)


def _tick(value: float, at: Sequence[float], *, percent: bool = False) -> str:
    scale, sign = (100, "%") if percent else (1, "")
    step = (at[1] - at[0]) * scale if len(at) > 1 else 1
    largest = max(abs(value) for value in at) * scale
    if 0 < largest < 1e-3:
        power = math.floor(math.log10(largest))
        digits = max(0, power - math.floor(math.log10(step) + 1e-9))
        return f"{value / 10**power:.{digits}f}e−{-power}" if value else "0"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value * scale + 0.0:,.{decimals}f}{sign}".replace("-", "−")


def _n(value: float) -> str:
    """A coordinate: a tenth of a unit is finer than a screen shows."""
    return f"{value:.1f}".removesuffix(".0")


def _tag(name: str, content: str = "", **attributes: str | float) -> Markup:
    """An SVG element. Underscores in the names of attributes become hyphens; numbers are coordinates."""
    given = _join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), of if isinstance(of, str) else _n(of))
        for key, of in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, content)


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return _tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _label(x: float, y: float, text: str, anchor: str, kind: str = "", full: str = "") -> Markup:
    tip = _tag("title", full) if full and full != text else Markup("")
    return _tag("text", Markup("{}{}").format(text, tip), class_=kind, x=x, y=y, text_anchor=anchor)


def _bar(x: float, y: float, width: float, height: float, *, colour: int = 0, opacity: str = ".75") -> Markup:
    fill = f"fill:var(--c{colour})"
    return _tag("rect", x=x, y=y, width=width, height=max(height, 0), style=fill, fill_opacity=opacity)


def _path(points: Iterable[tuple[float, float]], index: int) -> Markup:
    steps = " ".join(f"{'L' if place else 'M'}{_n(x)} {_n(y)}" for place, (x, y) in enumerate(points))
    dashes = ("none", "6 3", "2 3", "8 3 2 3", "1 2")[index % COLOURS]
    colour = f"stroke:var(--c{index % COLOURS})"
    return _tag("path", fill="none", stroke_width="2", style=colour, stroke_dasharray=dashes, d=steps)


def _dot(x: float, y: float, index: int, size: float = 3.5) -> Markup:
    """A mark whose shape belongs to its colour: circle, diamond, square, triangle, dash."""
    s, d = _n(size), _n(2 * size)
    x_, y_ = _n(x), _n(y)
    shapes = (
        f"M{_n(x - size)} {y_}a{s} {s} 0 1 0 {d} 0a{s} {s} 0 1 0 -{d} 0Z",
        f"M{x_} {_n(y - 1.3 * size)}L{_n(x + 1.3 * size)} {y_}L{x_} {_n(y + 1.3 * size)}L{_n(x - 1.3 * size)} {y_}Z",
        f"M{_n(x - size)} {_n(y - size)}h{d}v{d}h-{d}Z",
        f"M{x_} {_n(y - 1.2 * size)}L{_n(x + 1.2 * size)} {_n(y + size)}H{_n(x - 1.2 * size)}Z",
        f"M{_n(x - size)} {_n(y - size / 3)}h{d}v{_n(0.7 * size)}h-{d}Z",
    )
    place = index % COLOURS
    return _tag("path", style=f"fill:var(--c{place});stroke:var(--paper)", d=shapes[place])


def _legend(names: Sequence[str], *, is_bar_first: bool = False) -> tuple[Markup, float]:
    """The legend, in as many lines as it needs, and the y of its lower end."""
    parts, x, y = [], 2.0, 8.0
    for index, name in enumerate(names):
        shown = cut(name, 24)[0]
        width = 34 + 6.2 * len(shown)
        if x + width > WIDTH and x > 2:
            x, y = 2.0, y + 16
        if is_bar_first:
            parts.append(_dot(x + 10, y, index, size=4.5) if index else _bar(x, y - 5, 16, 10))
        else:
            parts += [_path([(x, y), (x + 18, y)], index), _dot(x + 9, y, index)]
        parts.append(_label(x + 23, y + 4, shown, "start", "ink"))
        x += width
    return _join(parts), y + 8


def _svg(height: float, alt: str, parts: Iterable[Markup]) -> Markup:
    content = Markup("\n").join(parts)
    return _tag("svg", content, viewBox=f"0 0 {WIDTH} {_n(height)}", role="img", aria_label=alt)
