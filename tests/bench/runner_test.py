#!/usr/bin/env python3
"""The runner of the benchmarks, with made-up programs: statistics, goals, failures, its three reports."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

SOURCE = Path(os.environ.get("RTD_SOURCE_DIR", Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(SOURCE / "bench"))

from runner import measuring, plot, programs, report, rows  # noqa: E402

# A program that answers as a benchmark program does: figures from FIGURES, by row, one for each round.
FAKE_PROGRAM = """#!/usr/bin/python3 -IS
import os, sys
figures = {figures!r}
row = sys.argv[1]
if row == "--version":
    print('{{"version": "1", "compiler": "none", "optimized": {optimized}, "sanitized": false}}')
elif row == "echo_server":
    print('{{"listening": 4711}}', flush=True)
    if not figures.get("dies"):
        sys.stdin.read()
    sys.exit(figures.get("server_status", 0))
else:
    name = os.path.basename(sys.argv[0])
    with open(os.path.join(os.path.dirname(sys.argv[0]), "journal"), "a+") as journal:
        journal.seek(0)
        turn = sum(line.startswith(f"{{name}} {{row}} ") for line in journal)
        print(name, *sys.argv[1:], file=journal)
    rounds = figures.get(row, [1.0])
    value = rounds[turn % len(rounds)]
    if value == "crash":
        print("the reason", file=sys.stderr, flush=True)
        os.abort()
    if value == "babble":
        print("no JSON")
    else:
        stop = "" if figures.get("is_old") else ', "stop_us": 3'
        print(f'{{{{"value": {{value}}, "resident_bytes": 4e9, "page_table_bytes": 1e8, "end_seconds": 1.5, "median_us": 40, '
              f'"pause_growth": 0.9, "fragmentation": 1.2{{stop}}}}}}')
"""
FAKE_CLIENT = """#!/usr/bin/python3 -IS
import sys
assert sys.argv[1] == "4711" and int(sys.argv[3]) > 0
if sys.argv[2] == "64":
    sys.exit("connections got no answer")
print('{"value": 1000.0, "p50_us": 50.0, "p99_us": 90.0, "p999_us": 200.0}')
"""


class FakeBuild:
    """A build folder with such programs."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        (self.path / "bench").mkdir()
        self.write("bench_echo_client", FAKE_CLIENT)

    def write(self, name, text):
        path = self.path / "bench" / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def program(self, who, figures, optimized=True):
        self.write(rows.PROGRAMS[who], FAKE_PROGRAM.format(figures=figures, optimized=json.dumps(optimized)))

    def journal(self):
        return (self.path / "bench" / "journal").read_text().splitlines()

    def run(self, *arguments):
        return subprocess.run(
            [SOURCE / "bench" / "run", "--build-dir", self.path, *arguments],
            capture_output=True,
            text=True,
            timeout=600,  # a full run starts some eight hundred of these programs
            check=False,
        )

    def rows(self, *arguments):
        file = self.path / "results.json"
        done = self.run("--json", file, *arguments)
        if not file.exists():
            raise AssertionError(done.stdout + done.stderr)
        return {row["name"]: row for row in json.loads(file.read_text())["rows"]}, done


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.build = FakeBuild()
        self.addCleanup(self.build.folder.cleanup)
        self.build.program("rtd", {"yield_1p": [7, 5, 6], "select2": [10]})
        self.build.program("go", {"yield_1p": [60, 48, 70], "select2": [20]})
        self.build.program("boost_fiber", {"yield_1p": [40]})
        self.build.program("epoll", {})

    def test_medians_of_rounds_taken_in_turn(self):
        found, done = self.build.rows("--rounds", "3", "yield")
        row = found["yield_1p"]
        self.assertEqual(row["rtd"], {"median": 6, "min": 5, "max": 7, "rounds": 3})
        self.assertEqual(row["peers"]["go"]["median"], 60)
        self.assertEqual(row["best_peer"], "boost_fiber")
        # This row's goal names Go, although Boost.Fiber is the best peer.
        self.assertEqual((row["against"], row["ratio"], row["goal"], row["met"]), ("go", 10.0, 8.0, True))
        self.assertIn("10.0 x vs Go", done.stdout)
        self.assertEqual(
            self.build.journal(), ["bench_rt yield_1p 0", "bench_go yield_1p 0", "bench_boost_fiber yield_1p 0"] * 3
        )

    def test_a_missed_goal_is_shown_as_missed(self):
        found, done = self.build.rows("--rounds", "1", "select2")
        self.assertEqual((found["select2"]["ratio"], found["select2"]["met"]), (2.0, False))
        self.assertRegex(done.stdout, r"0 goals met, 1 missed \(select2\)")
        self.assertEqual(done.returncode, 0)

    def test_goals_that_are_limits(self):
        self.build.program("rtd", {"parked_1m": [3.0], "sleep_50us": [80.0]})
        found, _ = self.build.rows("--rounds", "1", "parked", "sleep")
        self.assertTrue(found["parked_1m_resident"]["met"])
        self.assertEqual(found["parked_1m_resident"]["at_most"], 4.4e9)
        self.assertFalse(found["sleep_50us"]["met"])
        self.assertIsNone(found["parked_1m_end"]["met"])
        # With fewer green threads than the goal is about, nothing is judged.
        found, _ = self.build.rows("--quick", "parked")
        self.assertIsNone(found["parked_1m_resident"]["met"])

    def test_what_an_older_peer_does_not_tell(self):
        self.build.program("rtd", {"gc_pause": [50]})
        self.build.program("go", {"gc_pause": [100], "is_old": True})
        found, done = self.build.rows("--rounds", "1", "gc_pause")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual((found["gc_pause_stop"]["peers"], found["gc_pause_stop"]["ratio"]), ({}, None))
        self.assertEqual(found["gc_pause"]["ratio"], 2)
        # rtd itself tells all that there is.
        self.build.program("rtd", {"gc_pause": [50], "is_old": True})
        _, done = self.build.rows("--rounds", "1", "gc_pause")
        self.assertEqual(done.returncode, 1)
        self.assertIn("printed no figure 'stop_us'", done.stderr)

    def test_where_more_is_better(self):
        found, _ = self.build.rows("--rounds", "1", "echo_tcp_1")
        self.assertEqual(found["echo_tcp_1"]["better"], "higher")
        self.assertEqual(found["echo_tcp_1"]["against"], "go")
        self.assertFalse(found["echo_tcp_1"]["met"])
        self.assertEqual(found["echo_tcp_1_p99"]["against"], "epoll")
        self.assertTrue(found["echo_tcp_1_p99"]["met"])
        figure = rows.Figure("x", "x", "1/s", lower_is_better=False)
        self.assertEqual(measuring.times_better(figure, 300, 200), 1.5)

    def test_a_crash_of_rtd_is_a_missed_goal_and_a_failed_run(self):
        self.build.program("rtd", {"yield_1p": [5, "crash", 5]})
        found, done = self.build.rows("--rounds", "3", "yield")
        row = found["yield_1p"]
        self.assertEqual((row["rtd"], row["met"]), (None, False))
        self.assertIn("killed by SIGABRT: the reason", row["errors"]["rtd"])
        self.assertEqual(row["peers"]["go"]["rounds"], 3)
        self.assertEqual(done.returncode, 1)
        self.assertIn("rtd failed: bench_rt was killed by SIGABRT", done.stdout)

    def test_a_peer_that_fails_is_named_and_the_row_goes_on(self):
        self.build.program("go", {"yield_1p": ["babble"]})
        found, done = self.build.rows("--rounds", "2", "yield")
        row = found["yield_1p"]
        self.assertIn("no line of JSON", row["errors"]["go"])
        self.assertEqual((row["rtd"]["rounds"], row["ratio"], row["met"]), (2, None, None))
        self.assertEqual(done.returncode, 0)

    def test_an_echo_client_that_fails_fails_the_measure(self):
        found, done = self.build.rows("--rounds", "1", "echo_tcp_64")
        self.assertIn("connections got no answer", found["echo_tcp_64"]["errors"]["rtd"])
        self.assertEqual(done.returncode, 1)

    def test_a_server_that_ends_badly_fails_the_measure(self):
        self.build.program("rtd", {"server_status": 3})
        found, _ = self.build.rows("--rounds", "1", "echo_tcp_1")
        self.assertIn("echo_server ended with status 3", found["echo_tcp_1"]["errors"]["rtd"])

    def test_a_server_that_dies_is_the_reason_of_its_client_s_failure(self):
        self.build.program("rtd", {"server_status": 3, "dies": True})
        found, _ = self.build.rows("--rounds", "1", "echo_tcp_64")
        self.assertRegex(
            found["echo_tcp_64"]["errors"]["rtd"], r"echo_server ended with status 3 \(bench_echo_client .*no answer\)"
        )

    def test_a_program_that_hangs(self):
        self.build.write("bench_rt", "#!/bin/sh\nexec sleep 60\n")
        with self.assertRaisesRegex(programs.ProgramFailed, "had not ended after 0.2 s"):
            programs.Programs(self.build.path).measure("rtd", rows.choose(["yield"])[0], programs.Effort(timeout=0.2))

    def test_a_peer_that_is_not_built(self):
        (self.build.path / "bench" / "bench_go").unlink()
        found, done = self.build.rows("--rounds", "1", "select2")
        self.assertEqual((found["select2"]["peers"], found["select2"]["ratio"]), ({}, None))
        self.assertIn("Go: bench_go is not built", done.stdout)

    def test_counts(self):
        self.build.rows("--rounds", "1", "--count", "200000", "--peers", "none", "parked", "skynet_1", "select")
        self.assertEqual(
            self.build.journal(),
            [
                "bench_rt select2 200000",
                "bench_rt parked_1m 200000",
                "bench_rt skynet_100k 2",
                "bench_rt skynet_1m 1",
            ],
        )

    def test_a_goal_of_two_conditions(self):
        for value, of_go, met in [(9000, 9500, True), (9000, 8000, False), (11000, 20000, False)]:
            self.build.program("rtd", {"hog_light_1p": [value]})
            self.build.program("go", {"hog_light_1p": [of_go]})
            found, done = self.build.rows("--rounds", "1", "hog_light_1p")
            self.assertEqual(found["hog_light_1p"]["met"], met)
        self.assertIn("1 x, at most 10.0 ms", done.stdout)

    def test_a_group_stands_for_its_rows(self):
        groups = {name: {one.name for one in rows.choose([name])} for name in ("sched", "net", "heap")}
        self.assertEqual(groups["sched"] | groups["net"] | groups["heap"], {one.name for one in rows.MEASUREMENTS})
        self.assertEqual(groups["net"], {"echo_tcp_1", "echo_tcp_64", "echo_tcp_1000"})
        self.assertIn("yield_1p", groups["sched"])

    def test_too_little_memory_skips_the_row(self):
        measurement = rows.choose(["parked"])[0]
        reason = measuring.reason_to_skip(measurement, 10**15)
        self.assertRegex(reason, r"needs \d+\.\d GB of memory")
        row = measuring.skipped_row(measurement.figures[0], reason)
        self.assertEqual((report.verdict(row), row["met"]), ("not run", None))

    def test_bad_arguments(self):
        for arguments, expected in [
            (["yeild"], "no benchmark has 'yeild' in its name; there are: yield_1p"),
            (["--peers", "java", "yield"], "'java' is no peer; there are go, boost_fiber, tokio, epoll"),
            (["scaling", "yield"], "'scaling' is a report of its own"),
            (["--rounds", "0"], "0 is not a whole number above 0"),
            (["--build-dir", "/nonexistent", "yield"], "/nonexistent/bench/bench_rt does not exist: build first"),
            (["--from", "/nonexistent"], "/nonexistent"),
        ]:
            done = self.build.run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(expected, done.stderr)


class TableTest(unittest.TestCase):
    def setUp(self):
        self.build = FakeBuild()
        self.addCleanup(self.build.folder.cleanup)
        self.build.write("bench_echo_client", FAKE_CLIENT.replace('"64"', '"none"'))
        for who in rows.PROGRAMS:
            self.build.program(who, {})
        self.table = self.build.path / "performance.md"
        self.table.write_text(f"before\n{report.BEGIN}\nstale\n{report.END}\nafter\n")

    def test_a_full_run_rewrites_what_stands_between_the_markers(self):
        done = self.build.run("--table", self.table)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        text = self.table.read_text()
        self.assertTrue(text.startswith(f"before\n{report.BEGIN}\nTaken on "), text)
        self.assertTrue(text.endswith(f"\n{report.END}\nafter\n"))
        self.assertNotIn("stale", text)
        self.assertIn("| yield_1p | 1.00 ns (1.00 to 1.00) | 1.00 ns (1.00 to 1.00) |", text)
        self.assertIn("**missed**", text)
        self.assertIn("bench_boost_fiber spawn_2p 0\n", text)
        self.assertIn("bench_echo_client PORT 1000 1200\n", text)
        self.assertTrue((self.build.path / "bench" / "results.json").exists())
        for measurement in rows.MEASUREMENTS:
            for figure in measurement.figures:
                self.assertIn(f"| {figure.name} | ", text)
        # The same table again, from the file of figures.
        self.table.write_text(f"{report.BEGIN}{report.END}")
        done = self.build.run("--from", self.build.path / "bench" / "results.json", "--table", self.table)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(self.table.read_text().strip(), text)

    def test_figures_not_fit_to_be_published_change_no_table(self):
        before = self.table.read_text()
        for arguments in (["--rounds", "4"], ["--quick"], ["--count", "5"], ["yield"], ["--peers", "go"]):
            done = self.build.run("--table", self.table, *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("left as it is", done.stderr)
        self.build.program("rtd", {}, optimized=False)
        done = self.build.run("--table", self.table)
        self.assertIn("without optimisation", done.stderr)
        self.assertEqual(self.table.read_text(), before)

    def test_a_file_without_markers(self):
        with self.assertRaisesRegex(ValueError, "bench:begin"):
            self.table.write_text("nothing")
            report.rewrite_table(self.table, {})

    def test_the_repository_has_a_place_for_the_table(self):
        text = (SOURCE / "docs" / "performance.md").read_text()
        self.assertEqual((text.count(report.BEGIN), text.count(report.END)), (1, 1))


class ScalingTest(unittest.TestCase):
    def test_the_report_and_its_plot(self):
        build = FakeBuild()
        self.addCleanup(build.folder.cleanup)
        build.program("rtd", {"scale_yield_1p": [7.0], "scale_chan_2p": [0.0]})
        build.program("go", {"scale_yield_1p": [80.0]})
        file = build.path / "scaling.json"
        done = build.run("scaling", "--rounds", "2", "--quick", "--json", file)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        found = json.loads(file.read_text())
        one = {"row": "scale_yield", "procs": 1, "count": 100, "who": "go", "median": 80.0, "min": 80.0, "max": 80.0}
        self.assertIn(one, found["figures"])
        self.assertEqual(len(found["figures"]), 3 * 2 * 3 * 2)  # rows, processors, counts, programs
        self.assertRegex(done.stdout, r"scale_yield_1p +100  rtd 7 ns  Go 80 ns")
        picture = ElementTree.fromstring((build.path / "bench" / "scaling.svg").read_text())
        texts = [one.text for one in picture.iter() if one.tag.endswith("text")]
        for expected in ("rtd, 1 processor", "Go, 2 processors", "green threads", "ns an operation"):
            self.assertIn(expected, texts)

    def test_a_peer_that_fails_is_left_out_from_there_on(self):
        build = FakeBuild()
        self.addCleanup(build.folder.cleanup)
        build.program("rtd", {})
        build.program("go", {"scale_chan_1p": ["babble"]})
        file = build.path / "scaling.json"
        done = build.run("scaling", "--quick", "--json", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "scale_chan_1p 10: left out from here on: printed no line of JSON")
        of_go = [one["count"] for one in json.loads(file.read_text())["figures"] if one["who"] == "go"]
        self.assertEqual(len(of_go), (3 * 2 - 1) * 3)

    def test_a_program_that_fails_is_named(self):
        build = FakeBuild()
        self.addCleanup(build.folder.cleanup)
        build.program("rtd", {"scale_yield_1p": ["crash"]})
        done = build.run("scaling", "--quick")
        self.assertEqual(done.returncode, 1)
        self.assertIn("killed by SIGABRT: the reason", done.stderr)


class PlotTest(unittest.TestCase):
    def test_points_lie_where_their_values_say(self):
        line = plot.Series("a", [(10, 1.0), (1000, 100.0), (100, 0.0)], "#000")
        panel = plot.Panel("t", "x", "y", [line])
        drawn = "\n".join(plot.panel_lines(panel, 0, 0))
        left, right = plot.LEFT, plot.PANEL_WIDTH - plot.RIGHT
        low, high = plot.PANEL_HEIGHT - plot.BOTTOM, plot.TOP
        self.assertIn(f'points="{left:.1f},{low:.1f} {right:.1f},{high:.1f}"', drawn, "a zero has no logarithm")
        even = plot.Axis([1, 9.0], 0, 0, 100)
        self.assertEqual((even.ticks, even.place(5)), ([0, 2, 4, 6, 8, 10], 50))
        halves = plot.Axis([3, 100], 2, 0, 1)
        self.assertEqual((halves.ticks[0], halves.ticks[-1]), (2, 128))

    def test_what_is_written_is_escaped(self):
        text = plot.svg("a < b", [plot.Panel("p", "x", "y", [plot.Series("s & t", [(1, 1)], "#000")])], ["n > m"])
        ElementTree.fromstring(text)


class NumbersTest(unittest.TestCase):
    def test_units_and_digits(self):
        for value, unit, expected in [
            (6.839, "ns", "6.84 ns"),
            (9.999, "ns", "10.0 ns"),
            (246.4, "ns", "246 ns"),
            (99.96, "ns", "100 ns"),
            (2373.0, "ns", "2.37 us"),
            (0.5, "ns", "0.50 ns"),
            (1085.0, "us", "1.08 ms"),
            (8.9, "s", "8.90 s"),
            (0.0042, "s", "4.20 ms"),
            (2.67e9, "bytes", "2.67 GB"),
            (64000.0, "1/s", "64.0 k/s"),
        ]:
            self.assertEqual(report.value_text(value, unit), expected)

    def test_row_names_are_unique(self):
        names = [figure.name for measurement in rows.MEASUREMENTS for figure in measurement.figures]
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    sys.exit(unittest.main())
