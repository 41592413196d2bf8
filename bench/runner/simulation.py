"""Stealing and wake-ups on machines of 1 to 192 cores, by the model of bench/simulation: tables and a plot."""

from runner import plot
from runner.programs import parse_line, run

PROGRAM = "bench_simulation"
CORES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192)
WORKLOADS = {
    "spawner": "one green thread starts tasks of 10 us, 200 a core",
    "tree": "a binary tree that waits for its children, 512 leaves of 2 us a core",
    "pairs": "a pair a core, which wake each other in turn",
    "arrivals": "tasks of 1 us from sockets, at random, 60 % of what the cores can do",
}
COLORS = {"spawner": "#1f4e9c", "tree": "#d1661a", "pairs": "#2f8f4e", "arrivals": "#8e44ad"}
# What else the scheduler could do, on the largest machine.
VARIANTS = {
    "as it is": (),
    "2 on their way at a time": ("--waking", "2"),
    "4 on their way at a time": ("--waking", "4"),
    "thieves look near by first": ("--near-first",),
    "2, and near by first": ("--waking", "2", "--near-first"),
}
# The real scheduler's rows for the same work, by workload: the count for one processor.
REAL_ROWS = {"spawner": ("model_spawner", 200), "tree": ("model_tree", 512)}
REAL_PROCS = (1, 2)
ASSUMED = ("futex_wake", "wake_latency")
REAL_TRIES = 5


def measure(program, arguments, effort):
    return parse_line(run([program, *arguments], {}, effort.timeout))


def real_ratio(folder, workload, procs, effort):
    """The time that the real scheduler takes for the workload, as a multiple of its work: the least of some tries."""
    row, count = REAL_ROWS[workload]
    command = [folder / "bench_rt", f"{row}_{procs}p", str(count * procs)]
    return min(parse_line(run(command, {}, effort.timeout))["value"] for _ in range(REAL_TRIES))


def prices_of(costs):
    return [f"{name}={value}" for name, value in costs.items()]


def simulate_all(program, cores, effort):
    """All figures: {costs, here, runs, runs_here, variants, real}.

    `costs` has the kernel's wake-ups as the program assumes them, `here` as they are on this machine, whose hypervisor has
    a part in them; the two workloads that depend on them most are run with both.
    """
    found = measure(program, ["costs"], effort)
    here = found["measured"]
    costs = here | {name: found["assumed"][name] for name in ASSUMED}
    prices = prices_of(costs)
    runs = [measure(program, [workload, str(count), *prices], effort) for workload in WORKLOADS for count in cores]
    runs_here = [
        measure(program, [workload, str(count), *prices_of(here)], effort)
        for workload in ("spawner", "tree")
        for count in cores
    ]
    variants = []
    for name, options in VARIANTS.items():
        for workload in WORKLOADS:
            found = measure(program, [workload, str(cores[-1]), *options, *prices], effort)
            variants.append({"variant": name} | found)
    real = []
    for workload in REAL_ROWS:
        for procs in REAL_PROCS:
            model = next(one for one in runs_here if (one["workload"], one["cores"]) == (workload, procs))
            ratio = real_ratio(program.parent, workload, procs, effort)
            real.append({"workload": workload, "procs": procs, "model": 1 / model["utilisation"], "real": ratio})
    return {"costs": costs, "here": here, "runs": runs, "runs_here": runs_here, "variants": variants, "real": real}


def speed(one):
    """How much is done: cores' worth of work, or round trips a microsecond."""
    if one["workload"] == "pairs":
        return one["round_trips_us"]
    return one["utilisation"] * one["cores"]


def relative_speed(one, runs):
    """What is done for each core, as a part of what one core alone does."""
    alone = next(each for each in runs if each["workload"] == one["workload"] and each["cores"] == 1)
    return speed(one) / one["cores"] / speed(alone)


COLUMNS = ("spread_us", "steals", "failed_steals", "wakes", "lock_holds", "lock_wait_us")


def as_text(found):
    lines = ["costs in ns: " + ", ".join(f"{name} {value:g}" for name, value in found["costs"].items())]
    lines += ["of this machine: " + ", ".join(f"{name} {found['here'][name]:g}" for name in ASSUMED), ""]
    for workload, what in WORKLOADS.items():
        lines.append(f"{workload}: {what}")
        lines.append(f"{'cores':>6}{'a core':>9}" + "".join(f"{name:>15}" for name in COLUMNS) + "   waits p50, p99")
        for one in found["runs"]:
            if one["workload"] != workload:
                continue
            waits = f"   {one['wait_p50_us']:.1f} us, {one['wait_p99_us']:.1f} us" if "wait_p50_us" in one else ""
            share = f"{100 * relative_speed(one, found['runs']):.0f} %"
            lines.append(f"{one['cores']:>6}{share:>9}" + "".join(f"{one[name]:>15.6g}" for name in COLUMNS) + waits)
        lines.append("")
    lines.append(f"what else could be done, {found['variants'][0]['cores']} cores: work for each core, as a part of one alone")
    lines.append(f"{'':<28}" + "".join(f"{workload:>12}" for workload in WORKLOADS) + "   arrivals wait p50, p99")
    for name in VARIANTS:
        each = {one["workload"]: one for one in found["variants"] if one["variant"] == name}
        percents = (f"{100 * relative_speed(each[workload], found['runs']):.0f} %" for workload in WORKLOADS)
        shares = "".join(f"{one:>12}" for one in percents)
        waits = each["arrivals"]
        lines.append(f"{name:<28}{shares}   {waits['wait_p50_us']:.1f} us, {waits['wait_p99_us']:.1f} us")
    lines += ["", "the model beside the real scheduler: time of all processors, as a multiple of the work"]
    for one in found["real"]:
        lines.append(
            f"  {one['workload']}, {one['procs']} processor(s): model {one['model']:.2f}, real {one['real']:.2f}"
        )
    lines += ["", "a core: work done for each core, as a part of what one core alone does"]
    return "\n".join(lines)


def series(found, workloads, value):
    """One line a workload: value(run) by the number of cores."""
    return [
        plot.Series(
            workload,
            [(one["cores"], value(one)) for one in found["runs"] if one["workload"] == workload],
            COLORS[workload],
        )
        for workload in workloads
    ]


def picture(found):
    """The plot as SVG text."""
    slower = [
        plot.Series(
            f"{workload}, wake-ups as on this machine",
            [(one["cores"], one["spread_us"]) for one in found["runs_here"] if one["workload"] == workload][1:],
            COLORS[workload],
            dashed=True,
        )
        for workload in ("spawner", "tree")
    ]
    panels = [
        plot.Panel(
            "work done for each core",
            "cores",
            "% of one core alone",
            series(found, WORKLOADS, lambda one: 100 * relative_speed(one, found["runs"])),
            x_base=2,
            y_log=False,
        ),
        plot.Panel(
            "until every core has work",
            "cores",
            "us",
            series(found, WORKLOADS, lambda one: one["spread_us"] if one["cores"] > 1 else 0) + slower,
            x_base=2,
        ),
        plot.Panel(
            "wait for the scheduler's lock, all cores",
            "cores",
            "% of the time of one core",
            series(
                found,
                ("spawner", "tree", "arrivals"),
                lambda one: 100 * one["lock_wait_us"] / max(one["time_us"], 1e-9),
            ),
            x_base=2,
        ),
    ]
    costs = found["costs"]
    notes = [
        *(f"{workload}: {what}" for workload, what in WORKLOADS.items()),
        f"kernel's wake-up, assumed: the call {costs['futex_wake'] / 1e3:.2g} us, until the thread runs "
        f"{costs['wake_latency'] / 1e3:.2g} us; on this machine {found['here']['futex_wake'] / 1e3:.2g} and "
        f"{found['here']['wake_latency'] / 1e3:.2g} us. Measured here: atomic {costs['locked']:.2g} ns, clock "
        f"{costs['clock']:.2g} ns; {found['time']}",
        f"published for two EPYC 7R13: a line from a core of the same group of 8 {costs['same_group']:.3g} ns, of the "
        f"same socket {costs['same_socket']:.3g} ns, of the other one (from core 96 on) {costs['other_socket']:.3g} ns",
    ]
    return plot.svg("The scheduler on more cores: the real queues, driven by a model", panels, notes)
