"""The rounds: every program of a measurement in turn, then the statistics of each figure."""

import statistics

from runner.programs import ProgramFailed
from runner.rows import BEST


def available_bytes():
    """Memory that could be had now, from /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def reason_to_skip(measurement, count):
    """Why this machine cannot run the measurement, or an empty text."""
    needed = measurement.bytes_each * count
    if not needed:
        return ""
    available = available_bytes()
    if available >= needed:
        return ""
    return f"needs {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are available"


def run_rounds(programs, measurement, participants, rounds, effort):
    """Runs the measurement `rounds` times, the participants in turn within each round.

    Returns (results, errors, commands), each a dictionary by participant: what its programs printed in each round, the
    text of a failure, the commands. Who fails once does not go on: its figures would no longer be of the same rounds.
    """
    results = {who: [] for who in participants}
    errors = {}
    commands = {}
    for _ in range(rounds):
        for who in participants:
            if who in errors:
                continue
            try:
                found, commands[who] = programs.measure(who, measurement, effort)
                for figure in measurement.figures:
                    if figure.key not in found and who == figure.not_told_by:
                        continue
                    if not isinstance(found.get(figure.key), (int, float)) or found[figure.key] < 0:
                        raise ProgramFailed(f"printed no figure '{figure.key}': {found}")
                results[who].append(found)
            except ProgramFailed as failure:
                errors[who] = str(failure)
                del results[who]
    return results, errors, commands


def summary(values):
    """Median, least and greatest of the rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}


def times_better(figure, mine, other):
    """How many times better `mine` is than `other`; above 1 is better. None where a zero makes it meaningless."""
    if figure.lower_is_better:
        return other / mine if mine > 0 else None
    return mine / other if other > 0 else None


def row_of(figure, results, errors):
    """The row of the report (and of the JSON file) for one figure."""
    told = {who: found for who, found in results.items() if all(figure.key in one for one in found)}
    figures = {who: summary([one[figure.key] for one in found]) for who, found in told.items()}
    peers = {who: found for who, found in figures.items() if who != "rtd"}
    mine = figures.get("rtd")
    row = {
        "name": figure.name,
        "what": figure.what,
        "unit": figure.unit,
        "better": "lower" if figure.lower_is_better else "higher",
        "rtd": mine,
        "peers": peers,
        "best_peer": None,
        "against": None,
        "ratio": None,
        "goal": figure.goal,
        "at_most": figure.at_most,
        "met": None,
    }
    if errors:
        row["errors"] = dict(errors)
    if peers:
        best = min if figure.lower_is_better else max
        row["best_peer"] = best(peers, key=lambda who: peers[who]["median"])
    against = row["best_peer"] if figure.against == BEST else figure.against
    if against in peers:
        row["against"] = against
        if mine:
            row["ratio"] = times_better(figure, mine["median"], peers[against]["median"])
    if mine is None and "rtd" in errors and (figure.goal or figure.at_most):
        row["met"] = False
    elif mine:
        held = []
        if figure.at_most is not None:
            held.append(mine["median"] <= figure.at_most)
        if figure.goal is not None and row["ratio"] is not None:
            held.append(row["ratio"] >= figure.goal)
        row["met"] = all(held) if held else None
    return row


def skipped_row(figure, reason):
    """The row of a figure that this machine could not measure."""
    return row_of(figure, {}, {}) | {"skipped": reason}
