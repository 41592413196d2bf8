"""The rows of the benchmarks: what each measures, which programs take part, and what rtd has to reach."""

from dataclasses import dataclass

GO = "go"
BOOST = "boost_fiber"
TOKIO = "tokio"
EPOLL = "epoll"
MIMALLOC = "mimalloc"
BDWGC = "bdwgc"

# How the programs are called where people read.
TITLES = {
    "rtd": "rtd",
    GO: "Go",
    BOOST: "Boost.Fiber",
    TOKIO: "tokio",
    EPOLL: "raw epoll",
    MIMALLOC: "mimalloc",
    BDWGC: "bdwgc",
}
PROGRAMS = {
    "rtd": "bench_rt",
    GO: "bench_go",
    BOOST: "bench_boost_fiber",
    TOKIO: "bench_tokio",
    EPOLL: "bench_epoll",
    MIMALLOC: "bench_mimalloc",
    BDWGC: "bench_bdwgc",
}

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
    at_most: float | None = None  # a goal that is no ratio: rtd's figure, in the row's unit; with `goal`, both hold
    not_told_by: str = ""  # a peer whose older versions do not tell it; it is left out then


@dataclass(frozen=True)
class Measurement:
    """One run of a program, in each round, which yields one or more figures."""

    name: str
    peers: tuple[str, ...]
    figures: tuple[Figure, ...]
    connections: int = 0  # above 0: TCP echo with that many
    fixed_count: int = 0  # the program's own count, where it is not calibrated
    bytes_each: int = 0  # memory that one operation of fixed_count keeps
    group: str = "sched"  # a name that stands for all of its measurements
    weight: int = 1  # small operations that one operation stands for, where a count is asked for


def simple(name, peers, what, unit="ns", goal=None, against=BEST, at_most=None, group="sched"):
    """A measurement with one figure."""
    figure = Figure(name, what, unit, goal=goal, against=against, at_most=at_most)
    return Measurement(name, peers, (figure,), group=group)


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
        group="net",
    )


def beside_hogs(name, what):
    """Light tasks that share their processors with hogs. tokio takes no part: it cannot take a processor away."""
    figure = Figure(name, what, "us", goal=1.0, against=GO, at_most=10_000.0)
    return Measurement(name, (GO,), (figure,), fixed_count=2000)


def growth(name, what):
    """How much worse the light tasks fare for their neighbour. tokio takes no part, as above."""
    return Measurement(name, (GO,), (Figure(name, what, "ratio", against=GO, at_most=2.0),), fixed_count=2000)


def allocation(name, what, count):
    """An object of a ring; mimalloc frees by hand what a collector finds. The count makes a run last long enough (tenths
    of a second) for the first touch of the heap's memory to be a small part of it.
    """
    figures = (
        Figure(name, what, "ns", goal=3.0, against=GO),
        # A time within 1.5 times of mimalloc's.
        Figure(f"{name}_mimalloc", "the same, beside mimalloc", "ns", goal=0.67, against=MIMALLOC),
    )
    return Measurement(name, (GO, MIMALLOC), figures, fixed_count=count, bytes_each=0, group="heap")


def trees(name, what, count, goal):
    """Trees of two pointers each, beside Go and beside bdwgc, each with a goal of its own."""
    figures = (
        Figure(name, what, "ms", goal=goal[0], against=GO),
        Figure(f"{name}_bdwgc", "the same, beside bdwgc", "ms", goal=goal[1], against=BDWGC),
    )
    return Measurement(name, (GO, BDWGC), figures, fixed_count=count, bytes_each=20_000_000, group="heap", weight=300)


def pauses(name, count, text, bytes_each):
    """The stops of each collection together, of as many collections as `count` says."""
    figures = (
        Figure(name, f"the longest stops of {count} collections {text}", "us", goal=1.0, against=GO, at_most=200.0),
        Figure(f"{name}_median", "the median of them", "us", key="median_us", goal=1.0, against=GO, at_most=50.0),
        Figure(
            f"{name}_stop",
            "until all have stopped, mean of all stops, two in each collection or more",
            "us",
            key="stop_us",
            against=GO,
            not_told_by=GO,
        ),
    )
    return Measurement(name, (GO,), figures, fixed_count=count, bytes_each=bytes_each, group="heap", weight=300)


def beside_limit(name, which):
    """What a task's neighbour at the limit of its memory costs it."""
    figures = (
        Figure(
            name,
            f"time of a task that allocates beside another at {which}, as a multiple of it beside one without limits",
            "ratio",
            at_most=1.25,
        ),
        Figure(
            f"{name}_pause",
            "the longest stops of collections meanwhile, as a multiple of those without limits",
            "ratio",
            key="pause_growth",
            at_most=2.0,
        ),
    )
    return Measurement(name, (), figures, fixed_count=20_000_000, group="heap", weight=300)


def marking():
    """What a collection that is asked for goes over in a second, on one processor."""
    figure = Figure(
        "mark_rate", "live heap marked in a second, objects of 64 bytes, one processor", "MB/s", lower_is_better=False
    )
    peers = (GO, BDWGC)
    return Measurement("mark_rate", peers, (figure,), fixed_count=10, bytes_each=20_000_000, group="heap", weight=300)


def churning():
    """Sizes that change over time: the memory of the process as it is, and when garbage and what is free are gone."""
    figures = (
        Figure("churn_resident", "resident memory over live bytes after 12 phases of other sizes", "ratio"),
        Figure("churn_fragmentation", "the same when all that is free was given back", "ratio", key="fragmentation"),
    )
    peers = (GO, MIMALLOC)
    return Measurement("churn", peers, figures, fixed_count=12, bytes_each=25_000_000, group="heap", weight=300)


def skynet(name, peers, leaves):
    """A tree in which each green thread starts ten others."""
    every = leaves * 10 // 9
    what = f"a tree of {every:,} green threads that sums {leaves:,} leaves over channels".replace(",", " ")
    return Measurement(name, peers, (Figure(name, what, "ms"),), weight=leaves)


ALL = (GO, BOOST, TOKIO)
BOTH = (GO, BOOST)

MEASUREMENTS = (
    simple("yield_1p", ALL, "yield, two green threads in turn, one processor", goal=8.0, against=GO),
    simple("chan_unbuffered_1p", ALL, "unbuffered channels, a round trip, one processor", goal=4.0),
    simple("chan_unbuffered_2p", ALL, "unbuffered channels, a round trip, two processors", goal=4.0),
    simple("spawn_1p", ALL, "start a green thread and wait for its end, one processor", goal=4.0),
    simple("spawn_2p", ALL, "start a green thread and wait for its end, two processors", goal=4.0),
    simple("spawn_batch_1p", ALL, "one of 1000 green threads started, then waited for, one processor", goal=4.0),
    simple("spawn_batch_2p", ALL, "one of 1000 green threads started, then waited for, two processors", goal=4.0),
    simple("chan_buffered_1p", ALL, "channel of 128, a producer, a consumer: an element, one processor"),
    simple("chan_buffered_2p", ALL, "channel of 128, a producer, a consumer: an element, two processors", goal=3.0),
    simple("chan_contended_2p", BOTH, "channel of 128, 8 producers, 8 consumers: an element, two processors", goal=3.0),
    simple("select2", (GO, TOKIO), "select over two channels that are both ready", goal=3.0),
    simple("mutex_uncontended", ALL, "mutex, lock and unlock, nobody else", goal=1.3),
    simple("mutex_16", ALL, "mutex, lock and unlock, 16 green threads, two processors", goal=2.0),
    simple("timer_arm_stop", (GO, TOKIO), "make a timer of one hour and stop it", goal=3.0),
    simple("timer_1m_arm_stop", (GO, TOKIO), "the same while a million other timers are armed", goal=3.0),
    simple("timer_reset_stop", (GO,), "set a timer that exists to one hour and stop it"),
    simple("sleep_50us", ALL, "sleep(50 us): its real length, median", unit="us", against=GO, at_most=70.0),
    simple("hog_pingpong_1p", (GO,), "chan_unbuffered_1p beside a loop that never gives up", unit="us", against=GO),
    simple("hog_pingpong_2p", (GO,), "chan_unbuffered_2p beside two such loops", unit="us", against=GO),
    # One slice is 10 ms.
    beside_hogs("hog_light_1p", "8 tasks that wake each millisecond, beside a loop: p99 of their lateness"),
    beside_hogs("hog_light_2p", "the same on two processors, beside two loops"),
    growth("loop_beside_2p", "p99 lateness of 8 tasks beside a loop, as a multiple of it without, two processors"),
    growth("block_beside_1p", "p99 lateness of 8 tasks beside a blocking system call, as a multiple of it without"),
    Measurement(
        "parked_1m",
        (GO, TOKIO),
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
        "stackless_1m",
        (GO, TOKIO),
        (
            Figure("stackless_1m_start", "the same with coroutines, which have no stack", "s", goal=3.0, against=GO),
            Figure(
                "stackless_1m_resident",
                "resident memory of the process with a million of them parked",
                "bytes",
                key="resident_bytes",
                goal=1.0,
                against=GO,
            ),
            Figure(
                "stackless_1m_end", "wake a million of them, until all have ended", "s", key="end_seconds", against=GO
            ),
        ),
        fixed_count=1_000_000,
        bytes_each=6000,
    ),
    skynet("skynet_100k", ALL, 100_000),
    # A million fibers of Boost.Fiber have more stacks than the kernel lets a process have mappings.
    skynet("skynet_1m", (GO, TOKIO), 1_000_000),
    allocation("alloc_32", "allocate 32 bytes with pointers, the last 8192 are alive, one processor", 30_000_000),
    allocation("alloc_1k", "allocate 1 KiB without pointers, the last 8192 are alive, one processor", 4_000_000),
    trees("binary_trees", "build and drop a tree of 2^17 nodes, one of 2^21 is alive", 200, (2.5, 1.3)),
    trees("full_collection", "a collection that is asked for, with a tree of 2^21 nodes alive", 10, (2.0, 1.0)),
    marking(),
    simple("barrier_off", (GO,), "store a reference over another one, no collection under way", group="heap"),
    Measurement(
        "barrier_on",
        (GO,),
        (Figure("barrier_on", "the same while the collector marks 64 MiB, two processors", "ns", against=GO),),
        fixed_count=10_000_000,
        group="heap",
    ),
    pauses("gc_pause", 10, "with 1 GiB alive and 100 000 parked, two processors", 350_000_000),
    pauses("gc_pause_loop", 10, "with as much, beside a loop without any call", 350_000_000),
    beside_limit("soft_limit_beside", "its soft limit"),
    beside_limit("hard_limit_beside", "its hard limit"),
    churning(),
    Measurement(
        "spike",
        (GO, MIMALLOC),
        (Figure("spike_given_back", "resident memory left of a spike of 512 MiB, when all was given back", "bytes"),),
        fixed_count=512,
        bytes_each=1_400_000,
        group="heap",
        weight=8,
    ),
    echo(1),
    echo(64),
    echo(1000),
)

def choose(patterns):
    """The measurements of the groups that are named, and those whose name, or a figure's name, contains one of the
    patterns; all when there are none.

    Raises ValueError naming the first pattern that fits nothing.
    """
    if not patterns:
        return list(MEASUREMENTS)
    chosen = set()
    for pattern in patterns:
        fitting = [one for one in MEASUREMENTS if one.group == pattern] or [
            one for one in MEASUREMENTS if any(pattern in name for name in (one.name, *(f.name for f in one.figures)))
        ]
        if not fitting:
            names = ", ".join(one.name for one in MEASUREMENTS)
            raise ValueError(f"no benchmark has '{pattern}' in its name; there are: {names}")
        chosen.update(one.name for one in fitting)
    return [one for one in MEASUREMENTS if one.name in chosen]
