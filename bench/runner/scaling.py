"""What one operation costs as the number of green threads grows: rtd and Go in turn, a table and a plot."""

import statistics

from runner import plot
from runner.machine import machine_text
from runner.programs import ProgramFailed
from runner.report import rounds_text
from runner.rows import GO, TITLES

ROWS = (
    ("scale_yield", "yield"),
    ("scale_chan", "channel round trip (pairs of their own)"),
    ("scale_spawn", "start and end"),
)
COUNTS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PROCS = (1, 2)
COLORS = {"rtd": "#1f4e9c", GO: "#d1661a"}
BYTES_EACH = 6000  # of the largest count, as for parked_1m


def measure(programs, participants, counts, rounds, effort, say):
    """The figures: a list of {row, procs, count, who, median, min, max}, in nanoseconds."""
    found = []
    for row, _ in ROWS:
        for procs in PROCS:
            taking_part = list(participants)
            for count in counts:
                values = {who: [] for who in taking_part}
                for _ in range(rounds):
                    for who in list(values):
                        try:
                            values[who].append(programs.run_row(who, f"{row}_{procs}p", count, effort)["value"])
                        except ProgramFailed as failure:
                            if who == "rtd":
                                raise
                            say(f"{row}_{procs}p {count}: left out from here on: {failure}")
                            taking_part.remove(who)
                            del values[who]
                for who in values:
                    figure = {"row": row, "procs": procs, "count": count, "who": who}
                    figure |= {"median": statistics.median(values[who])}
                    figure |= {"min": min(values[who]), "max": max(values[who])}
                    found.append(figure)
                texts = (f"{TITLES[who]} {statistics.median(values[who]):.4g} ns" for who in values)
                say(f"{row}_{procs}p {count:>8}  " + "  ".join(texts))
    return found


def picture(figures, report):
    """The plot as SVG text."""
    panels = []
    for row, title in ROWS:
        panel = plot.Panel(title, "green threads", "ns an operation")
        for who in COLORS:
            for procs in PROCS:
                points = [
                    (one["count"], one["median"], one["min"], one["max"])
                    for one in figures
                    if (one["row"], one["who"], one["procs"]) == (row, who, procs)
                ]
                if points:
                    name = f"{TITLES[who]}, {procs} processor{'s' if procs > 1 else ''}"
                    panel.series.append(plot.Series(name, points, COLORS[who], dashed=procs > 1))
        panels.append(panel)
    versions = ", ".join(f"{TITLES[who]} {version['version']}" for who, version in report["versions"].items())
    notes = [
        f"{versions}; {rounds_text(report)} in turn, median, least to greatest as a bar; {report['time']}",
        machine_text(report["machine"]),
    ]
    return plot.svg("Cost of one operation as the number of green threads grows", panels, notes)


def too_large(counts, available):
    """The counts that need more memory than there is."""
    return [count for count in counts if count * BYTES_EACH > available]


