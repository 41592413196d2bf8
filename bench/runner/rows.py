"""The rows of the benchmarks: what each measures, which programs take part, and what rtd has to reach."""

from dataclasses import dataclass

GO = "go"
BOOST = "boost_fiber"
EPOLL = "epoll"

# How the programs are called where people read.
TITLES = {"rtd": "rtd", GO: "Go", BOOST: "Boost.Fiber", EPOLL: "raw epoll"}
PROGRAMS = {"rtd": "bench_rt", GO: "bench_go", BOOST: "bench_boost_fiber", EPOLL: "bench_epoll"}

BEST = "best"


@dataclass(frozen=True)
class Figure:
    """One figure of a measurement: a row of the table."""

    name: str
    what: str
    unit: str
    key: str = "value"  # of the line of JSON that the program prints
    lower_is_better: bool = True
    goal: float | None = None  # how many times better than `against` rtd has to be
    against: str = BEST  # a peer, or BEST: the best one of those that took part
    at_most: float | None = None  # a goal that is no ratio: rtd's figure, in the row's unit


@dataclass(frozen=True)
class Measurement:
    """One run of a program, in each round, which yields one or more figures."""

    name: str
    peers: tuple[str, ...]
    figures: tuple[Figure, ...]
    connections: int = 0  # above 0: TCP echo with that many
    fixed_count: int = 0  # the program's own count, where it is not calibrated
    bytes_each: int = 0  # memory that one operation of fixed_count keeps
    weight: int = 1  # small operations that one operation stands for, where a count is asked for


def simple(name, peers, what, unit="ns", goal=None, against=BEST, at_most=None):
    """A measurement with one figure."""
    return Measurement(name, peers, (Figure(name, what, unit, goal=goal, against=against, at_most=at_most),))


def echo(connections):
    """TCP echo: the rate against Go's, the tails against raw epoll's."""
    name = f"echo_tcp_{connections}"
    text = "1 connection" if connections == 1 else f"{connections} connections"
    return Measurement(
        name,
        (GO, EPOLL),
        (
            Figure(name, f"TCP echo of 64 bytes, {text}", "1/s", lower_is_better=False, goal=1.5, against=GO),
            Figure(f"{name}_p50", f"TCP echo, median latency, {text}", "us", key="p50_us", against=EPOLL),
            Figure(f"{name}_p99", f"TCP echo, p99 latency, {text}", "us", key="p99_us", goal=1.0, against=EPOLL),
            Figure(f"{name}_p999", f"TCP echo, p99.9 latency, {text}", "us", key="p999_us", goal=1.0, against=EPOLL),
        ),
        connections=connections,
    )


BOTH = (GO, BOOST)

MEASUREMENTS = (
    simple("yield_1p", BOTH, "yield, two green threads in turn, one processor", goal=8.0, against=GO),
    simple("chan_unbuffered_1p", BOTH, "unbuffered channels, a round trip, one processor", goal=4.0),
    simple("chan_unbuffered_2p", BOTH, "unbuffered channels, a round trip, two processors", goal=4.0),
    simple("spawn_1p", BOTH, "start a green thread and wait for its end, one processor", goal=4.0),
    simple("spawn_2p", BOTH, "start a green thread and wait for its end, two processors", goal=4.0),
    simple("spawn_batch_1p", BOTH, "one of 1000 green threads started, then waited for, one processor", goal=4.0),
    simple("spawn_batch_2p", BOTH, "one of 1000 green threads started, then waited for, two processors", goal=4.0),
    simple("chan_buffered_1p", BOTH, "channel of 128, a producer, a consumer: an element, one processor"),
    simple("chan_buffered_2p", BOTH, "channel of 128, a producer, a consumer: an element, two processors", goal=3.0),
    simple("chan_contended_2p", BOTH, "channel of 128, 8 producers, 8 consumers: an element, two processors", goal=3.0),
    simple("select2", (GO,), "select over two channels that are both ready", goal=3.0),
    simple("mutex_uncontended", BOTH, "mutex, lock and unlock, nobody else", goal=1.3),
    simple("mutex_16", BOTH, "mutex, lock and unlock, 16 green threads, two processors", goal=2.0),
    simple("timer_arm_stop", (GO,), "make a timer of one hour and stop it", goal=3.0),
    simple("timer_reset_stop", (GO,), "set a timer that exists to one hour and stop it"),
    simple("sleep_50us", BOTH, "sleep(50 us): its real length, median", unit="us", against=GO, at_most=70.0),
    Measurement(
        "parked_1m",
        (GO,),
        (
            Figure("parked_1m_start", "start a million green threads, until all are parked", "s", goal=3.0, against=GO),
            Figure(
                "parked_1m_resident",
                "resident memory of the process with a million parked",
                "bytes",
                key="resident_bytes",
                against=GO,
                at_most=4.4e9,
            ),
            Figure(
                "parked_1m_page_tables",
                "page tables of the process with a million parked",
                "bytes",
                key="page_table_bytes",
                against=GO,
            ),
            Figure("parked_1m_end", "wake a million parked, until all have ended", "s", key="end_seconds", against=GO),
        ),
        fixed_count=1_000_000,
        bytes_each=6000,
    ),
    Measurement(
        "skynet_100k",
        BOTH,
        (Figure("skynet_100k", "a tree of 111 111 green threads that sums 100 000 leaves over channels", "ms"),),
        weight=100_000,
    ),
    echo(1),
    echo(64),
    echo(1000),
)


def choose(patterns):
    """The measurements whose name, or a figure's name, contains one of the patterns; all when there are none.

    Raises ValueError naming the first pattern that fits nothing.
    """
    if not patterns:
        return list(MEASUREMENTS)
    chosen = set()
    for pattern in patterns:
        fitting = [
            one for one in MEASUREMENTS if any(pattern in name for name in (one.name, *(f.name for f in one.figures)))
        ]
        if not fitting:
            names = ", ".join(one.name for one in MEASUREMENTS)
            raise ValueError(f"no benchmark has '{pattern}' in its name; there are: {names}")
        chosen.update(one.name for one in fitting)
    return [one for one in MEASUREMENTS if one.name in chosen]
