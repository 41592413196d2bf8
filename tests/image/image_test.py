#!/usr/bin/env python3
"""The image of the Dockerfile: built by buildah, and run as a container runtime would.

The stage that builds the package is replaced by the package of ./dev package (RTD_PACKAGES), which the same commands made,
and the base by a bare Debian that is made here, so that no image has to be fetched. RTD_MACHINES is for archives and images.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

SOURCE_DIR = os.environ.get("RTD_SOURCE_DIR", "")
PACKAGES = os.environ.get("RTD_PACKAGES", "")
FOLDER = os.path.join(os.environ.get("RTD_MACHINES", ""), "image")
BASE = "localhost/debian:bookworm-slim"
IMAGE = "localhost/rtd:test"
PATIENCE = 60

# A network of its own, with a loopback: the container listens on a port of every address.
ALONE = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def buildah(*arguments, **options):
    command = ["buildah", "--root", f"{FOLDER}/store", "--runroot", f"{FOLDER}/run", "--storage-driver", "vfs", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-3000:]}")
    return done.stdout.strip()


class ImageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        absent = [tool for tool in ("buildah", "mmdebstrap", "ip") if not shutil.which(tool)]
        if absent:
            raise unittest.SkipTest(f"not installed: {', '.join(absent)}")
        os.makedirs(f"{FOLDER}/package/packages", exist_ok=True)
        archive = f"{FOLDER}/slim.tar"
        if not os.path.exists(archive):
            subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", archive + ".new"], check=True)
            os.rename(archive + ".new", archive)
        cls.addClassCleanup(shutil.rmtree, f"{FOLDER}/store", True)
        base = buildah("from", "scratch")
        buildah("add", "--quiet", base, archive, "/")
        buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", base)
        buildah("commit", "--quiet", base, BASE)
        package, = glob.glob(os.path.join(PACKAGES, "rtd_*.deb"))
        shutil.copy(package, f"{FOLDER}/package/packages/rtd.deb")
        buildah("build", "--format", "docker", "--isolation", "chroot", "--build-arg", f"BASE={BASE}",
                "--build-context", f"build={FOLDER}/package", "--tag", IMAGE, SOURCE_DIR)
        cls.container = buildah("from", IMAGE)

    def command(self, *command):
        return ["buildah", "--root", f"{FOLDER}/store", "--runroot", f"{FOLDER}/run", "--storage-driver", "vfs",
                "run", "--isolation", "chroot", self.container, "--", *command]

    def inside(self, *command):
        return subprocess.run(self.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_it_runs_without_rights_and_is_healthy(self):
        settings = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
        self.assertEqual(settings["User"], "65532:65532")
        check = settings["Healthcheck"]["Test"][1:]
        self.assertEqual(self.inside("id", "-u").stdout.strip(), "65532")
        self.assertNotEqual(self.inside(*check).returncode, 0, "nothing runs yet")

        log = f"{FOLDER}/rtd.log"
        with open(log, "w", encoding="utf-8") as file:
            daemon = subprocess.Popen([*ALONE, *self.command(*settings["Entrypoint"], *settings["Cmd"])], stdout=file,
                                      stderr=file, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            while self.inside(*check).returncode != 0:
                with open(log, encoding="utf-8") as file:
                    self.assertLess(time.monotonic(), deadline, file.read())
                    self.assertIsNone(daemon.poll(), file.read())
                time.sleep(0.2)
            status = json.loads(self.inside("rtctl", "status", "-o", "json").stdout)
            self.assertEqual((status["ready"], status["http"]), (True, "0.0.0.0:9180"))
            sandbox = json.loads(self.inside("rtctl", "sandbox", "inspect", "default", "-o", "json").stdout)
            # What a container always leaves.
            self.assertLessEqual({"no_new_privs", "capabilities", "seccomp", "seccomp_sealed"}, set(sandbox["layers"]))
            self.assertEqual(self.inside("sh", "-c", "kill -TERM $1", "sh", str(status["pid"])).returncode, 0)
            self.assertEqual(daemon.wait(PATIENCE), 0)
        finally:
            daemon.kill()
            daemon.wait()


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
