#!/usr/bin/env python3
"""The collected heap as operators see it: figures of sandboxes and tasks, limits, settings, paths to objects; in a
sandbox that is shut off completely; and the profile, read by Go's own tool.
"""
import base64
import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import wait_for

HEAP = {"test-heap": {"path": "test_heap.so"}}


def task(entry, limits=None, **params):
    return {"plugin": "test-heap", "entry": entry, "restart": {"policy": "never"}, "limits": limits or {},
            "params": {key: str(value) for key, value in params.items()}}


class HeapTest(harness.RtdTestCase):
    def begin(self, tasks, sandbox=None, wait=True):
        self.config = {"plugins": HEAP, "tasks": tasks, "sandboxes": {"default": sandbox or {}}}
        return self.start(self.config, wait)

    def change(self, rtd, name, what):
        self.config["tasks"][name] = what
        rtd.write_config(self.config)
        rtd.call("config.reload")

    def heap(self, rtd):
        return rtd.call("heap.stats")["sandboxes"][0]

    def heap_of(self, rtd, name):
        # Figures are of the last answer of the host, which may have come before the task had begun.
        return wait_for(lambda: next((one for one in self.heap(rtd)["tasks"] if one["name"] == name), None),
                        "figures of task " + name)

    def messages(self, rtd, name):
        return [line["message"] for line in rtd.call("logs", limit=1000, task=name)["lines"]]


class Figures(HeapTest):
    def test_of_sandbox_and_tasks(self):
        rtd = self.begin({"keeper": task("keep", count=2000), "litterer": task("litter", count=100)})
        wait_for(lambda: any(m.startswith("last ") for m in self.messages(rtd, "keeper")), "the objects")
        collected = rtd.call("gc.run")["sandboxes"][0]
        self.assertGreaterEqual(collected["live_bytes"], 2000 * 1000)
        wait_for(lambda: self.heap_of(rtd, "keeper")["live_bytes"] >= 2000 * 1000, "the figures of the task")
        keeper = self.heap_of(rtd, "keeper")
        self.assertGreaterEqual(keeper["allocated_objects_total"], 2000)
        self.assertLess(keeper["live_bytes"], 3000 * 1100)
        self.assertIsNone(keeper["hard_limit_bytes"])
        heap = self.heap(rtd)
        self.assertEqual(heap["reserved_bytes"], heap["in_use_bytes"] + heap["idle_bytes"])
        self.assertEqual(heap["committed_bytes"], heap["reserved_bytes"] - heap["released_bytes"])
        self.assertEqual(heap["objects"], heap["allocated_objects_total"] - heap["freed_objects_total"])
        classes = {one["size"]: one for one in heap["size_classes"]}
        self.assertGreaterEqual(max(one["objects"] for one in classes.values()), 2000)
        wait_for(lambda: rtd.call("gc.stats")["sandboxes"][0]["cycles_forced_total"] >= 1, "the forced one")

        def agree():
            # The host reads one after the other, and the garbage has it collect meanwhile.
            stats = rtd.call("gc.stats")["sandboxes"][0]
            causes = sum(stats[f"cycles_{why}_total"] for why in ("growth", "forced", "period", "task_limit", "task_end"))
            stops, begins, ends = (sum(stats[kind]["counts"]) for kind in ("stops", "begin_pauses", "end_pauses"))
            return stats["cycles_total"] == causes and stops == begins + ends and stops >= 2 * stats["cycles_total"]
        wait_for(agree, "the figures of the collector agree")
        self.assertGreater(rtd.metric("rtd_heap_live_bytes", sandbox="default"), 2e6)
        self.assertGreaterEqual(rtd.metric("rtd_gc_cycles_total", sandbox="default", trigger="forced"), 1)
        self.assertGreater(rtd.metric("rtd_task_heap_live_bytes", sandbox="default", plugin="test-heap", task="keeper"),
                           2e6)
        row = rtd.task("keeper")
        self.assertGreaterEqual(row["heap_bytes"], 2000 * 1000)

    def test_a_path_to_an_object(self):
        rtd = self.begin({"keeper": task("keep", count=20)})
        wait_for(lambda: any(m.startswith("last ") for m in self.messages(rtd, "keeper")), "the objects")
        address = next(m for m in self.messages(rtd, "keeper") if m.startswith("last ")).split()[1]
        path = rtd.call("heap.why", address=address)
        self.assertEqual(path["object"]["address"], address)
        self.assertEqual(path["object"]["task"], "keeper")
        self.assertRegex(path["root"]["place"], r"^data of .*test_heap\.so")
        self.assertEqual(len(path["steps"]), 19)
        self.refused("not_found", rtd.call, "heap.why", address="0x10")
        self.refused("invalid_params", rtd.call, "heap.why", address="here")

    def test_settings(self):
        rtd = self.begin({}, {"gc": {"percent": 200, "memory_limit": "256MiB"}})
        stats = rtd.call("gc.stats")["sandboxes"][0]
        self.assertEqual((stats["percent"], stats["memory_limit_bytes"]), (200, 256 << 20))
        rtd.call("gc.set", percent=-1, memory_limit=0)

        def changed():
            now = rtd.call("gc.stats")["sandboxes"][0]
            return now["percent"] is None and now["memory_limit_bytes"] is None
        wait_for(changed, "the settings")
        self.assertEqual(rtd.call("gc.set"), {"sandboxes": ["default"]})
        wait_for(lambda: rtd.call("gc.stats")["sandboxes"][0]["percent"] == 200, "the configured settings")
        self.refused("invalid_params", rtd.call, "gc.set", percent=1001)


GO = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")


class Profile(HeapTest):
    def pprof(self, *words):
        """What Go's tool prints. Its first run on a machine builds it."""
        done = subprocess.run([GO, "tool", "pprof", *words], cwd=self.make_folder(), stdin=subprocess.DEVNULL, check=False,
                              env={"GOTOOLCHAIN": "local", "GOPROXY": "off", "HOME": self.make_folder(), **os.environ},
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def rtctl(self, rtd, *words):
        done = subprocess.run([os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, *words], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * harness.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)

    def top(self, file, sample_type):
        """The flat value of each function, in bytes or objects."""
        lines = self.pprof("-top", "-nodecount=1000", "-unit=B", f"-sample_index={sample_type}", file).splitlines()
        self.assertIn(f"Type: {sample_type}", lines)
        rows = lines[next(i for i, line in enumerate(lines) if line.split()[:1] == ["flat"]) + 1:]
        found = {}
        for line in rows:
            flat, *_, function = line.split(maxsplit=5)
            found[function] = found.get(function, 0) + float(flat.removesuffix("B"))
        return found

    @unittest.skipUnless(GO, "there is no go, whose tool reads profiles")
    def test_is_what_go_reads(self):
        mib = 1 << 20
        rtd = self.begin({"keeper": task("keep", count=60_000), "litterer": task("litter", count=100)})
        wait_for(lambda: any(m.startswith("last ") for m in self.messages(rtd, "keeper")), "the objects")
        wait_for(lambda: self.heap_of(rtd, "litterer")["allocated_bytes_total"] > 20 * mib, "the garbage")
        file = os.path.join(self.make_folder(), "heap.pb.gz")
        self.rtctl(rtd, "heap", "profile", "--gc", "--file", file)

        # 60 000 objects of 1 KiB are some 120 samples: a standard deviation of a tenth.
        in_use = self.top(file, "inuse_space")
        self.assertGreater(in_use["::chain_of"], 30 * mib, in_use)
        self.assertLess(in_use["::chain_of"], 120 * mib, in_use)
        self.assertGreater(self.top(file, "inuse_objects")["::chain_of"], 30_000)
        allocated = self.top(file, "alloc_space")
        self.assertGreater(allocated["litter"], 4 * mib, allocated)
        self.assertLess(in_use.get("litter", 0), allocated["litter"])

        raw = self.pprof("-raw", file)
        self.assertIn("PeriodType: space bytes\nPeriod: 524288\n", raw)
        self.assertRegex(raw, r"sandbox:\[default\]")
        self.assertRegex(raw, r"plugin:\[test-heap\]")
        # The program comes first, and the plugin's file is told with its build id, by which others find its lines.
        mappings = raw[raw.index("\nMappings\n"):].splitlines()[2:]
        self.assertIn("rtd-host", mappings[0])
        self.assertTrue(any(re.search(r"/test_heap\.so [0-9a-f]{40} \[FN\]$", line) for line in mappings), mappings)

        self.assertRegex(self.pprof("-symbolize=force", "-lines", "-top", file), r" chain_of .*/heap\.cpp:\d+\n")

        self.rtctl(rtd, "heap", "profile", "litterer", "-f", file)
        of_one = self.top(file, "alloc_space")
        self.assertIn("litter", of_one)
        self.assertNotIn("::chain_of", of_one)
        self.assertNotIn("task:[keeper]", self.pprof("-raw", file))

    def test_refusals(self):
        rtd = self.begin({"keeper": task("keep", count=1)})
        self.assertTrue(base64.b64decode(rtd.call("heap.profile")["profile"]).startswith(b"\x1f\x8b"))
        self.refused("not_found", rtd.call, "heap.profile", task="nobody")
        self.refused("not_found", rtd.call, "heap.profile", sandbox="nowhere")
        self.refused("not_found", rtd.call, "heap.profile", task="keeper", sandbox="nowhere")


class HostileHost(harness.RtdTestCase):
    def test_says_that_something_else_is_a_profile(self):
        rtd = self.start({}, fake="""
    def on_heap_profile(self, params):
        return {"profile": ["\\x1b[2J"]}
""")
        self.assertIn("something else than a profile", str(self.refused("unavailable", rtd.call, "heap.profile")))


class Limits(HeapTest):
    def test_at_the_hard_limit_that_task_fails_and_others_go_on(self):
        rtd = self.begin({"other": task("litter", count=100)})
        before = self.heap_of(rtd, "other")["allocated_bytes_total"]
        self.change(rtd, "filler", task("fill", {"heap_soft": "2MiB", "heap_hard": "4MiB"}))
        failed = rtd.wait_task("filler", "failed")
        self.assertIn("limit of its memory", failed["last_exit"]["error"])
        self.assertIn("of 4194304 bytes", failed["last_exit"]["error"])
        self.assertTrue(any("limit of its memory" in event["message"] for event in rtd.events("task_failed")))
        wait_for(lambda: rtd.metric("rtd_heap_alloc_failures_total", sandbox="default", reason="task_limit") >= 1,
                 "the failure in the metrics")
        wait_for(lambda: self.heap_of(rtd, "other")["allocated_bytes_total"] > before, "the other task goes on")
        # Its memory is back, and nobody has to ask for it. One that begins for another cause at that moment does as well.
        def end_caused_a_collection():
            if rtd.call("gc.stats")["sandboxes"][0]["cycles_task_end_total"] >= 1:
                return True
            if rtd.task("filler")["state"] == "failed":
                rtd.call("task.start", name="filler")
            return False
        wait_for(end_caused_a_collection, "the collection of its end")

    def test_limits_change_while_the_task_runs(self):
        rtd = self.begin({"keeper": task("keep", count=100)})
        wait_for(lambda: any(m.startswith("last ") for m in self.messages(rtd, "keeper")), "the objects")
        before = rtd.task("keeper")["started_at"]
        self.change(rtd, "keeper", task("keep", {"heap_soft": "8MiB", "heap_hard": "16MiB"}, count=100))
        wait_for(lambda: self.heap_of(rtd, "keeper")["hard_limit_bytes"] == 16 << 20, "the new limit")
        self.assertEqual(self.heap_of(rtd, "keeper")["soft_limit_bytes"], 8 << 20)
        self.assertEqual(rtd.task("keeper")["started_at"], before)


@unittest.skipIf(os.environ.get("RTD_SANITIZE"), "sanitizers need /proc, which a sandbox has not")
class Confined(HeapTest):
    def test_nothing_that_the_heap_does_is_refused(self):
        rtd = self.begin({"churner": task("churn")}, {"isolation": {"mode": "strict"}}, wait=False)
        rtd.wait_for_socket()
        rtd.wait_task("churner", "completed")
        self.assertIn("churned", self.messages(rtd, "churner"))
        sandbox = rtd.sandbox()
        self.assertEqual((sandbox["missing_layers"], sandbox["violations_total"]), ([], 0))
        wait_for(lambda: rtd.call("gc.stats")["sandboxes"][0]["cycles_forced_total"] >= 6, "the six collections")
        self.assertGreater(rtd.call("gc.stats")["sandboxes"][0]["scavenged_bytes_total"], 0)


if __name__ == "__main__":
    unittest.main()
