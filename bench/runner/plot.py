"""Plots of several panels side by side, as SVG, from lists of points. Needs nothing but Python."""

import math
from dataclasses import dataclass, field
from html import escape

PANEL_WIDTH = 340
PANEL_HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 46  # of a panel, in pixels, around what is drawn
HEAD, LEGEND, NOTE = 34, 26, 17  # heights of the title, of the legend and of one note
FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'
PREFIXES = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")]


@dataclass
class Series:
    """One line: points are (x, y) or (x, y, least, greatest)."""

    name: str
    points: list
    color: str
    dashed: bool = False


@dataclass
class Panel:
    """One pair of axes. Logarithmic axes leave values at or below zero out."""

    title: str
    x_label: str
    y_label: str
    series: list[Series] = field(default_factory=list)
    x_base: int = 10  # ticks of the logarithmic x axis: powers of it
    y_log: bool = True


def number_text(value):
    """'10 k', '0.5'"""
    for factor, prefix in PREFIXES:
        if abs(value) >= factor:
            return f"{value / factor:.3g}" + (f" {prefix}" if prefix else "")
    return f"{value:.3g}"


def powers_around(low, high, base):
    """The powers of the base from the last at or below `low` to the first at or above `high`."""
    first = math.floor(math.log(low, base) + 1e-9)
    last = max(first + 1, math.ceil(math.log(high, base) - 1e-9))
    return [float(base) ** exponent for exponent in range(first, last + 1)]


def even_steps(high):
    """About five round steps from zero to at least `high`."""
    rough = high / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * i for i in range(math.ceil(high / step - 1e-9) + 1)]


class Axis:
    """Places values of one axis between two pixels."""

    def __init__(self, values, base, begin, end):
        self.base = base
        if base:
            self.ticks = powers_around(min(values), max(values), base)
            self.low, self.high = math.log(self.ticks[0]), math.log(self.ticks[-1])
        else:
            self.ticks = even_steps(max(values))
            self.low, self.high = 0.0, self.ticks[-1]
        self.begin, self.end = begin, end

    def place(self, value):
        where = math.log(value) if self.base else value
        return self.begin + (where - self.low) / (self.high - self.low) * (self.end - self.begin)


def usable(points, y_log):
    """(x, y, least, greatest) for each point that the axes can show."""
    full = [(*point, point[1], point[1])[:4] if len(point) == 2 else tuple(point) for point in points]
    return [point for point in full if point[0] > 0 and (not y_log or min(point[1:]) > 0)]


def panel_lines(panel, left, top):
    """The SVG elements of one panel whose corner is at (left, top)."""
    shown = [(series, usable(series.points, panel.y_log)) for series in panel.series]
    everything = [point for _, points in shown for point in points]
    x_axis = Axis([p[0] for p in everything], panel.x_base, left + LEFT, left + PANEL_WIDTH - RIGHT)
    y_values = [value for p in everything for value in p[1:]]
    y_axis = Axis(y_values, 10 if panel.y_log else 0, top + PANEL_HEIGHT - BOTTOM, top + TOP)
    out = [
        f'<text x="{(x_axis.begin + x_axis.end) / 2:.1f}" y="{top + 20}" text-anchor="middle" font-size="13" '
        f'font-weight="bold">{escape(panel.title)}</text>'
    ]
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        out.append(f'<line x1="{x:.1f}" y1="{y_axis.begin}" x2="{x:.1f}" y2="{y_axis.end}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x:.1f}" y="{y_axis.begin + 16}" text-anchor="middle" font-size="10">{number_text(tick)}</text>'
        )
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        out.append(f'<line x1="{x_axis.begin}" y1="{y:.1f}" x2="{x_axis.end}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x_axis.begin - 6}" y="{y + 3.5:.1f}" text-anchor="end" font-size="10">{number_text(tick)}</text>'
        )
    out.append(
        f'<rect x="{x_axis.begin}" y="{y_axis.end}" width="{x_axis.end - x_axis.begin}" '
        f'height="{y_axis.begin - y_axis.end}" fill="none" stroke="#888"/>'
    )
    out.append(
        f'<text x="{(x_axis.begin + x_axis.end) / 2:.1f}" y="{y_axis.begin + 34}" text-anchor="middle" '
        f'font-size="11">{escape(panel.x_label)}</text>'
    )
    middle = (y_axis.begin + y_axis.end) / 2
    out.append(
        f'<text x="{left + 14}" y="{middle:.1f}" text-anchor="middle" font-size="11" '
        f'transform="rotate(-90 {left + 14} {middle:.1f})">{escape(panel.y_label)}</text>'
    )
    for series, points in shown:
        places = [(x_axis.place(x), y_axis.place(y), y_axis.place(a), y_axis.place(b)) for x, y, a, b in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
        dash = ' stroke-dasharray="5 3"' if series.dashed else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{series.color}" stroke-width="1.8"{dash}/>')
        for x, y, least, greatest in places:
            if abs(least - greatest) >= 1:
                out.append(
                    f'<line x1="{x:.1f}" y1="{least:.1f}" x2="{x:.1f}" y2="{greatest:.1f}" stroke="{series.color}"/>'
                )
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{series.color}"/>')
    return out


def legend_lines(panels, top):
    """One legend for all panels: each name once."""
    out, x, seen = [], LEFT, set()
    for series in (one for panel in panels for one in panel.series):
        if series.name in seen:
            continue
        seen.add(series.name)
        dash = ' stroke-dasharray="5 3"' if series.dashed else ""
        out.append(
            f'<line x1="{x}" y1="{top + 8}" x2="{x + 26}" y2="{top + 8}" stroke="{series.color}" stroke-width="1.8"{dash}/>'
        )
        out.append(f'<circle cx="{x + 13}" cy="{top + 8}" r="2.6" fill="{series.color}"/>')
        out.append(f'<text x="{x + 32}" y="{top + 12}" font-size="11">{escape(series.name)}</text>')
        x += 52 + 7 * len(series.name)
    return out


def svg(title, panels, notes, columns=3):
    """The whole picture as text. Each panel needs a point at least."""
    rows = math.ceil(len(panels) / columns)
    width = PANEL_WIDTH * min(columns, len(panels))
    height = HEAD + LEGEND + rows * PANEL_HEIGHT + NOTE * len(notes) + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {FONT}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        *legend_lines(panels, HEAD),
    ]
    for index, panel in enumerate(panels):
        out += panel_lines(panel, index % columns * PANEL_WIDTH, HEAD + LEGEND + index // columns * PANEL_HEIGHT)
    for index, note in enumerate(notes):
        y = HEAD + LEGEND + rows * PANEL_HEIGHT + NOTE * (index + 1)
        out.append(f'<text x="{LEFT}" y="{y}" font-size="10.5" fill="#444">{escape(note)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
