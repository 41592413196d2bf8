#!/usr/bin/env python3
"""Every row of the benchmarks with a tiny count: that each program runs it, checks its result and reports a figure."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

SOURCE = Path(os.environ.get("RTD_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("RTD_BUILD_DIR", SOURCE / "build" / "release"))


class ProgramsTest(unittest.TestCase):
    def test_every_row_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "results.json"
            done = subprocess.run(
                [SOURCE / "bench" / "run", "--build-dir", BUILD, "--count", "300", "--rounds", "1", "--json", file],
                capture_output=True,
                text=True,
                timeout=500,
                check=False,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = json.loads(file.read_text())
        absent = set(found["absent"])
        for row in found["rows"]:
            if row.get("skipped"):
                continue
            with self.subTest(row["name"]):
                # What Boost.Fiber does is not ours to test.
                errors = {who: text for who, text in row.get("errors", {}).items() if who != "boost_fiber"}
                self.assertEqual(errors, {})
                self.assertGreater(row["rtd"]["median"], 0)
                # What older versions of Go do not tell, and what rtd is compared with itself.
                if not absent and not row["name"].endswith("_stop") and "limit_beside" not in row["name"]:
                    self.assertIsNotNone(row["ratio"])
        self.assertTrue(any(row["name"] == "echo_tcp_1000_p999" for row in found["rows"]))
        self.assertTrue(found["short"])

    def test_the_rows_of_the_plots_run(self):
        for program in ("bench_rt", "bench_go"):
            if not (BUILD / "bench" / program).exists():
                continue
            for row in ("scale_yield_1p", "scale_yield_2p", "scale_chan_2p", "scale_spawn_2p"):
                with self.subTest(f"{program} {row}"):
                    done = self.run_program(row, "30", program=program)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertGreater(json.loads(done.stdout)["value"], 0)

    def test_the_simulation_reports_and_plots(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "simulation.json"
            done = subprocess.run(
                [SOURCE / "bench" / "run", "simulation", "--quick", "--build-dir", BUILD, "--json", file],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = json.loads(file.read_text())
        self.assertEqual({one["cores"] for one in found["runs"]}, {1, 2, 4, 8})
        self.assertTrue(all(one["created"] == one["ended"] for one in found["runs"] if one["workload"] != "pairs"))
        self.assertTrue(all(one["real"] > 1 and one["model"] > 1 for one in found["real"]))
        ElementTree.parse(BUILD / "bench" / "simulation.svg")

    def test_the_simulation_names_bad_arguments(self):
        for arguments in (["pears", "4"], ["pairs", "0"], ["pairs", "4", "locked=-1"], ["pairs", "4", "--waking"]):
            done = self.run_program(*arguments, program="bench_simulation")
            self.assertEqual(done.returncode, 2)
            self.assertIn("workloads: spawner tree pairs arrivals", done.stderr)

    def run_program(self, *arguments, program="bench_rt"):
        return subprocess.run(
            [BUILD / "bench" / program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"BENCH_SECONDS": "0.02"},
        )

    def test_a_count_of_zero_is_calibrated(self):
        found = json.loads(self.run_program("chan_buffered_1p", "0").stdout)
        self.assertGreater(found["count"], 100)
        self.assertGreaterEqual(found["seconds"], 0.01)
        self.assertEqual(found["procs"], 1)

    def test_bad_arguments_are_named(self):
        done = self.run_program("yield_1p", "-3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("'-3' is not a count", done.stderr)
        done = self.run_program("yeild_1p", "3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no row 'yeild_1p'", done.stderr)
        self.assertIn(" yield ", done.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
