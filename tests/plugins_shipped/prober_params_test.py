#!/usr/bin/env python3
"""prober, in the daemon: parameters that it cannot use fail the task with what is wrong and what to write."""
import unittest

import shipped


class ProberParamsTest(shipped.PluginTestCase):
    def test_bad_parameters(self):
        rtd = self.start({"plugins": {"prober": {"path": "prober.so"}}})
        good = ["tcp://127.0.0.1:1"]
        for params, said in [
            ({}, 'parameter "targets" is missing or empty; give a list such as ["tcp://db:5432", "http://web/health"]'),
            ({"targets": ["127.0.0.1:1"]}, 'parameter "targets" has "127.0.0.1:1": the scheme is missing; write '),
            ({"targets": good + ["https://x/"]}, 'parameter "targets" has "https://x/": https is not spoken here; '
                                                 'probe the port alone with "tcp://host:443"'),
            ({"targets": good + good}, 'it is the same endpoint as "tcp://127.0.0.1:1"; leave one of them out'),
            ({"targets": [f"tcp://127.0.0.1:{1 + i}" for i in range(141)]},
             'parameter "targets" has 141 entries, more than 140; share them out among several tasks'),
            ({"targets": good, "interval": "often"}, 'parameter "interval" is "often", but must be a length of time'),
            ({"targets": good, "interval": "1ms"}, 'parameter "interval" is "1ms", but must be at least 10ms'),
            ({"targets": good, "timeout": "0ms"},
             'parameter "timeout" is "0ms", but must be more than 0 and at most the interval, "5s"'),
            ({"targets": good, "interval": "1s", "timeout": "2s"},
             'parameter "timeout" is "2s", but must be more than 0 and at most the interval, "1s"'),
            ({"targets": good, "jitter": "6s"}, 'parameter "jitter" is "6s", but must be at most the interval, "5s"'),
            ({"targets": good, "expect_status": ["2xx", "9xx"]},
             'parameter "expect_status" has "9xx", which is no status code; write codes ("204"), classes ("2xx")'),
            ({"targets": good, "expect_text": ["a", "b"]}, 'parameter "expect_text" is a list of 2 values'),
        ]:
            with self.subTest(said=said):
                self.assertIn(said, self.refused_params(rtd, "prober", "run", params))

    def test_one_target_need_not_be_a_list(self):
        rtd = self.start_task("prober", "run", {"targets": "tcp://127.0.0.1:1", "interval": "500ms"})
        self.assertEqual(rtd.wait_task("it", "running", "failed")["state"], "running")


if __name__ == "__main__":
    unittest.main()
