"""Draws plots as SVG: bars, ranges and lines, readable on a light and on a dark page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from results import Spread

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 860, 330, 150, 66, 30, 34
PANEL_WIDTH, PANEL_HEIGHT, PANEL_LEFT, PANEL_RIGHT, PANEL_TOP, PANEL_BOTTOM = (
    *(430, 250, 58, 92, 52, 46),
)
COLUMNS, KEY_WIDTH = 2, 130
LIGHT = {
    "page": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "grid": "#d8dee4",
    "ours": "#0969da", "before": "#6fa8dc", "floor": "#8b949e", "rival": "#bc4c00",
}  # fmt: skip
DARK = {
    "page": "#0d1117", "ink": "#f0f6fc", "soft": "#9198a1", "grid": "#30363d",
    "ours": "#4493f8", "before": "#34609c", "floor": "#6e7681", "rival": "#db6d28",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a plot of bars or ranges: `kind` is ours, before, floor or rival."""

    told: str
    kind: str
    at: Spread
    """Its middle is the bar, the ends are a whisker; of a range: p50 and p99 as low and high."""
    note: str = ""
    """What is written beside it, instead of the number."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A bar that is made of several, each of its kind, one behind the other."""

    told: str
    parts: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a panel: its points by x."""

    told: str
    kind: str
    points: Sequence[tuple[float, Spread]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A small plot of lines over a logarithmic x, from zero on."""

    title: str
    x: str
    lines: Sequence[Line] = field(default_factory=list)


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value == int(value):
        return f"{value:,.0f}"
    decimals = max(2 - max(math.floor(math.log10(abs(value))), 0), 0)
    return f"{value:,.{decimals}f}"


def bars(title: str, unit: str, rows: Sequence[Row]) -> str:
    """Draw horizontal bars from zero, each with its whisker and its number."""
    most = max(row.at.high for row in rows)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(rows) + BOTTOM

    def parts() -> Iterator[str]:
        yield from _grid(most, scale, height)
        for at, row in enumerate(rows):
            y = TOP + at * ROW
            yield text(LEFT - 10, y + 15, row.told, "ink", anchor="end")
            wide = max(row.at.middle * scale, 1)
            yield f'<rect class="{row.kind}" x="{LEFT}" y="{y}" width="{wide:.1f}" height="20"/>'
            low, high = (LEFT + each * scale for each in (row.at.low, row.at.high))
            yield path(f"M{low:.1f} {y + 10}H{high:.1f}", "whisker")
            end = max(high, LEFT + wide) + 8
            yield text(end, y + 15, row.note or number(row.at.middle), "ink")

    return picture(title, unit, WIDTH, height, parts())


def stacks(title: str, unit: str, kinds: Mapping[str, str], rows: Sequence[Stack]) -> str:
    """Draw horizontal bars of several parts; `kinds` tells what each kind is."""
    most = max(sum(row.parts.values()) for row in rows)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * (len(rows) + 1) + BOTTOM

    def parts() -> Iterator[str]:
        yield from _grid(most, scale, height)
        for at, (kind, told) in enumerate(kinds.items()):
            yield text(LEFT + at * KEY_WIDTH, TOP + 15, f"■ {told}", kind)
        for at, row in enumerate(rows):
            x, y = float(LEFT), TOP + (at + 1) * ROW
            yield text(LEFT - 10, y + 15, row.told, "ink", anchor="end")
            for kind, value in row.parts.items():
                wide = max(value * scale, 0)
                yield f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="20"/>'
                x += wide
            told = " + ".join(number(value) for value in row.parts.values())
            yield text(x + 8, y + 15, told, "ink")

    return picture(title, unit, WIDTH, height, parts())


def _grid(most: float, scale: float, height: int) -> Iterator[str]:
    for value in steps(most):
        x = LEFT + value * scale
        yield path(f"M{x:.1f} {TOP - 8}V{height - BOTTOM}", "grid")
        yield text(x, height - 12, number(value), "soft", anchor="middle")


def ranges(title: str, unit: str, rows: Sequence[Row]) -> str:
    """Draw from the p50 to the p99 of each row, on a logarithmic line."""
    least = 10 ** math.floor(math.log10(min(row.at.low for row in rows)))
    most = 10 ** math.ceil(math.log10(max(row.at.high for row in rows)))
    scale = (WIDTH - LEFT - RIGHT) / math.log10(most / least)
    height = TOP + ROW * len(rows) + BOTTOM

    def place(value: float) -> float:
        return LEFT + math.log10(value / least) * scale

    def parts() -> Iterator[str]:
        for power in range(round(math.log10(most / least)) + 1):
            value = least * 10**power
            yield path(f"M{place(value):.1f} {TOP - 8}V{height - BOTTOM}", "grid")
            yield text(place(value), height - 12, short(value), "soft", anchor="middle")
        for at, row in enumerate(rows):
            y, low, high = TOP + at * ROW, place(row.at.low), place(row.at.high)
            yield text(LEFT - 10, y + 15, row.told, "ink", anchor="end")
            yield f'<path class="{row.kind} thick" d="M{low:.1f} {y + 10}H{high:.1f}"/>'
            yield f'<circle class="{row.kind}" cx="{low:.1f}" cy="{y + 10}" r="6"/>'
            yield f'<circle class="{row.kind} hollow" cx="{high:.1f}" cy="{y + 10}" r="5"/>'
            told = row.note or f"{number(row.at.low)} · {number(row.at.high)}"
            yield text(high + 12, y + 15, told, "ink")

    return picture(title, unit, WIDTH, height, parts())


def panels(title: str, unit: str, drawn: Sequence[Panel]) -> str:
    """Draw small plots of lines side by side."""
    height = TOP - 14 + PANEL_HEIGHT * -(-len(drawn) // COLUMNS)

    def parts() -> Iterator[str]:
        for at, panel in enumerate(drawn):
            x, y = at % COLUMNS * PANEL_WIDTH, TOP - 14 + at // COLUMNS * PANEL_HEIGHT
            yield f'<g transform="translate({x} {y})">'
            yield from _panel(panel)
            yield "</g>"

    return picture(title, unit, WIDTH, height, parts())


def _panel(panel: Panel) -> Iterator[str]:
    xs = sorted({x for line in panel.lines for x, _ in line.points})
    most = max(at.high for line in panel.lines for _, at in line.points)
    wide, base = PANEL_WIDTH - PANEL_LEFT - PANEL_RIGHT, PANEL_HEIGHT - PANEL_BOTTOM
    scale = (base - PANEL_TOP) / most

    def place(x: float) -> float:  # evenly, for each is some times the one before it
        return PANEL_LEFT + xs.index(x) * wide / max(len(xs) - 1, 1)

    yield text(PANEL_LEFT, PANEL_TOP - 22, panel.title, "ink", weight="600")
    for value in steps(most, 3):
        y = base - value * scale
        yield path(f"M{PANEL_LEFT} {y:.1f}H{PANEL_LEFT + wide}", "grid")
        yield text(PANEL_LEFT - 8, y + 4, number(value), "soft", anchor="end")
    for x in xs:
        yield text(place(x), base + 18, short(x), "soft", anchor="middle")
    yield text(PANEL_LEFT + wide / 2, base + 35, panel.x, "soft", anchor="middle")
    for line in panel.lines:
        spots = [(place(x), base - at.middle * scale) for x, at in line.points]
        joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        yield f'<path class="{line.kind} line" d="M{joined}"/>'
        for (x, y), (_, at) in zip(spots, line.points, strict=True):
            low, high = base - at.low * scale, base - at.high * scale
            yield path(f"M{x:.1f} {low:.1f}V{high:.1f}", "whisker")
            yield f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        x, y = spots[-1]
        last = f"{line.told} {number(line.points[-1][1].middle)}".strip()
        yield text(x + 9, y + 4, last, "ink")


def steps(most: float, count: int = 4) -> list[float]:
    """Give round numbers from zero up to this one."""
    rough = most / (count + 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= rough)
    return [step * each for each in range(int(most / step) + 1)]


def short(value: float) -> str:
    """Write a round number shortly."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{round(value / size, 1):g}{letter}"
    return f"{value:g}"


def text(  # noqa: PLR0913 - what it says, where, and how
    x: float, y: float, told: str, kind: str, *, anchor: str = "start", weight: str = "400"
) -> str:
    """Write something."""
    how = f'class="{kind}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(told)}</text>'


def path(points: str, kind: str) -> str:
    """Draw a thin line."""
    return f'<path class="{kind}" d="{points}"/>'


def picture(title: str, unit: str, width: int, height: int, parts: Iterator[str]) -> str:
    """Put it all together."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-size="13"',
        ' font-family="system-ui, sans-serif">',
        f"<title>{escape(title)}</title>",
        f"<style>{_style(LIGHT)}",
        f"@media (prefers-color-scheme: dark) {{ {_style(DARK)} }}",
        ".thick { stroke-width: 4 } .line { fill: none; stroke-width: 2 }</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        text(16, 24, title, "ink", weight="600"),
        text(16, 43, unit, "soft"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style(colours: dict[str, str]) -> str:
    kinds = ("ours", "before", "floor", "rival")
    plain = (f".{name} {{ fill: {colour} }}" for name, colour in colours.items())
    strokes = (f".{kind} {{ stroke: {colours[kind]} }}" for kind in kinds)
    lines = (f".grid {{ stroke: {colours['grid']} }}", f".whisker {{ stroke: {colours['ink']} }}")
    hollow = f".hollow {{ fill: {colours['page']}; stroke-width: 2 }}"
    return " ".join((*plain, *strokes, *lines, hollow, ".line { fill: none }"))
