#!/usr/bin/env python3
"""A short run of chaos.py; ./dev chaos makes long ones. RTD_TEST_SEED repeats one."""
import os
import random
import unittest

import chaos

SECONDS = 25


@unittest.skipIf(os.environ.get("RTD_SANITIZE"), "hosts under a sanitizer need /proc and address space without end")
class Chaos(unittest.TestCase):
    def test_a_short_run(self):
        seed = int(os.environ.get("RTD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
        self.assertTrue(chaos.Run(seed, SECONDS).execute(), f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
