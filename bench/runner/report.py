"""The report in its three forms: text for the terminal, a table for docs/performance.md, JSON for programs."""

from runner.machine import busy_warning, machine_text
from runner.rows import TITLES

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"

SCALES = {
    "ns": [(1, "ns"), (1e3, "us"), (1e6, "ms")],
    "us": [(1, "us"), (1e3, "ms")],
    "ms": [(1, "ms"), (1e3, "s")],
    "s": [(1e-6, "us"), (1e-3, "ms"), (1, "s")],
    "bytes": [(1, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")],
    "ratio": [(1, "x")],
    "MB/s": [(1, "MB/s"), (1e3, "GB/s")],
    "1/s": [(1, "/s"), (1e3, "k/s"), (1e6, "M/s")],
}


def scale_of(value, unit):
    """The factor and the unit in which a value reads best."""
    fitting = [one for one in SCALES[unit] if one[0] <= abs(value)]
    return fitting[-1] if fitting else SCALES[unit][0]


def digits(value):
    """Three significant digits, without an exponent."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def figure_text(summary, unit):
    """'6.84 ns (6.80 to 7.02)'"""
    factor, name = scale_of(summary["median"], unit)
    middle, least, greatest = (digits(summary[key] / factor) for key in ("median", "min", "max"))
    return f"{middle} {name} ({least} to {greatest})"


def value_text(value, unit):
    factor, name = scale_of(value, unit)
    return f"{digits(value / factor)} {name}"


def ratio_text(row):
    """'7.8 x vs Go'"""
    if row["ratio"] is None:
        return "-"
    return f"{digits(row['ratio'])} x vs {TITLES[row['against']]}"


def goal_text(row):
    texts = []
    if row["goal"] is not None:
        texts.append(f"{row['goal']:g} x")
    if row["at_most"] is not None:
        texts.append(f"at most {value_text(row['at_most'], row['unit'])}")
    return ", ".join(texts) or "-"


def verdict(row):
    if "skipped" in row:
        return "not run"
    if row["met"] is None:
        return "-"
    return "met" if row["met"] else "missed"


def cell(row, who):
    """One program's figure in one row."""
    found = row["rtd"] if who == "rtd" else row["peers"].get(who)
    if found:
        return figure_text(found, row["unit"])
    return "failed" if who in row.get("errors", {}) else "-"


def participants(rows):
    """The programs that any row has a column for."""
    return [who for who in TITLES if who == "rtd" or any(who in r["peers"] or who in r.get("errors", {}) for r in rows)]


def lines_of(rows, first_column):
    """The table as lists of texts; the first list is the header."""
    columns = participants(rows)
    table = [[first_column, *(TITLES[who] for who in columns), "rtd is better by", "goal", ""]]
    for row in rows:
        cells = [cell(row, who) for who in columns]
        table.append([row["name"], *cells, ratio_text(row), goal_text(row), verdict(row)])
    return table


def score(rows):
    """'3 goals met, 1 missed (yield_1p)'"""
    met = [row["name"] for row in rows if row["met"]]
    missed = [row["name"] for row in rows if row["met"] is False]
    text = f"{len(met)} {'goal' if len(met) == 1 else 'goals'} met, {len(missed)} missed"
    return text + (f" ({', '.join(missed)})" if missed else "")


def remarks(report):
    """What a reader must know about the figures: failures, rows that were not run, a busy machine, a short run."""
    found = []
    warning = busy_warning(report["machine"])
    if warning:
        found.append(warning)
    if report["short"]:
        found.append(f"a short run ({report['short']}): good for trying things out, not for judging")
    for who, reason in report["absent"].items():
        found.append(f"{TITLES[who]}: {reason}")
    told = set()
    for row in report["rows"]:
        if row.get("skipped"):
            found.append(f"{row['name']} was not run: {row['skipped']}")
        for who, error in row.get("errors", {}).items():
            if (who, error) not in told:
                told.add((who, error))
                found.append(f"{row['name']}: {TITLES[who]} failed: {error}")
    return found


def version_lines(report):
    lines = []
    for who, version in report["versions"].items():
        title = TITLES.get(who, who)
        if isinstance(version, dict):
            details = [version["version"], version.get("revision", ""), version["compiler"]]
            lines.append(f"{title}: {', '.join(filter(None, details))}")
        else:
            lines.append(f"{title}: {version}")
    return lines


def as_text(report):
    """The whole report for the terminal."""
    table = lines_of(report["rows"], "row")
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    out = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in table]
    out += ["", score(report["rows"])]
    out += [f"note: {one}" for one in remarks(report)]
    out += ["", f"machine: {machine_text(report['machine'])}", *version_lines(report)]
    out += [f"{rounds_text(report)}, the programs in turn; median (least to greatest)", "", "commands:"]
    out += [f"  {one}" for one in unique_commands(report)]
    return "\n".join(out)


def rounds_text(report):
    return "1 round" if report["rounds"] == 1 else f"{report['rounds']} rounds"


def unique_commands(report):
    seen = {}
    for row_commands in report["commands"].values():
        for texts in row_commands.values():
            for one in texts:
                seen[one] = True
    return list(seen)


def as_markdown(report):
    """What stands between the markers of docs/performance.md."""
    table = lines_of(report["rows"], "row")
    out = [
        f"Taken on {report['time']} by `{report['command']}`: {rounds_text(report)}, the programs in turn, "
        "median (least to greatest).",
        "",
        f"Machine: {machine_text(report['machine'])}.",
        "",
        *(f"- {one}" for one in version_lines(report)),
        "",
        "| " + " | ".join(table[0]) + " |",
        "|" + "---|" * len(table[0]),
        *("| " + " | ".join(f"**{text}**" if text == "missed" else text for text in line) + " |" for line in table[1:]),
        "",
        f"{score(report['rows'])}.",
    ]
    notes = remarks(report)
    if notes:
        out += ["", *(f"- {one}" for one in notes)]
    out += ["", "What the rows are:", ""]
    out += [f"- `{row['name']}`: {row['what']} ({row['better']} is better)" for row in report["rows"]]
    out += ["", "The commands of one round, in the folder `build/release/bench`:", "", "```"]
    out += unique_commands(report)
    out += ["```"]
    return "\n".join(out)


def rewrite_table(path, report):
    """Puts the table between the markers of the file. Raises ValueError when the file has no such place."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path}: needs one line {BEGIN} and below it one line {END}, for the table to stand between")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{as_markdown(report)}\n{END}{after}")
