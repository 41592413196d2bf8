#!/usr/bin/env python3
"""The files for containers, Kubernetes and Nomad agree with each other and with rtd."""
import json
import os
import re
import subprocess
import tempfile
import unittest

try:
    import yaml
except ImportError as error:
    raise unittest.SkipTest("python3-yaml is not installed") from error

RTD = os.path.join(os.environ["RTD_BIN_DIR"], "rtd")
SOURCE_DIR = os.environ["RTD_SOURCE_DIR"]


def text_of(*parts):
    with open(os.path.join(SOURCE_DIR, *parts), encoding="utf-8") as file:
        return file.read()


class DeployTest(unittest.TestCase):
    def setUp(self):
        self.image = text_of("Dockerfile")
        self.account = re.search(r"^USER (\d+):\1$", self.image, re.MULTILINE)[1]
        documents = list(yaml.safe_load_all(text_of("packaging", "kubernetes", "rtd.yaml")))
        self.kubernetes = {document["kind"]: document for document in documents}
        self.nomad = text_of("packaging", "nomad", "rtd.nomad.hcl")

    def configurations(self):
        return {"container": text_of("packaging", "container", "rtd.json"),
                "kubernetes": self.kubernetes["ConfigMap"]["data"]["rtd.json"],
                "nomad": re.search(r"<<CONFIGURATION\n(.*?)^CONFIGURATION$", self.nomad, re.DOTALL | re.MULTILINE)[1]}

    def test_rtd_takes_the_configurations(self):
        for name, text in self.configurations().items():
            with self.subTest(name=name), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                file.write(text)
                file.flush()
                done = subprocess.run([RTD, "--check-config", file.name], stdout=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(json.loads(text)["http"]["listen"], "0.0.0.0:9180")

    def test_version(self):
        version = re.search(r"^project\(rtd VERSION ([\d.]+)", text_of("CMakeLists.txt"), re.MULTILINE)[1]
        for text in (self.image, json.dumps(self.kubernetes), self.nomad):
            self.assertEqual(set(re.findall(r"\brtd:(\d[\d.]*)", text)), {version})
        self.assertIn(f"rtd ({version}) ", text_of("packaging", "debian", "changelog"))

    def test_account(self):
        pod = self.kubernetes["Deployment"]["spec"]["template"]["spec"]
        wanted = int(self.account)
        self.assertEqual([pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")], [wanted] * 3)
        self.assertIn(f'user         = "{self.account}:{self.account}"', self.nomad)
        for option in ("--gid", "--uid"):
            self.assertIn(f"{option} {self.account} ", self.image)

    def test_ports_and_probes(self):
        container, = self.kubernetes["Deployment"]["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        self.assertEqual(ports["metrics"], 9180)
        self.assertIn("EXPOSE 9180\n", self.image)
        self.assertEqual({container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness")}, {"/readyz"})
        self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/livez")
        service = {port["name"]: port["targetPort"] for port in self.kubernetes["Service"]["spec"]["ports"]}
        self.assertLessEqual(set(service.values()), set(ports))
        monitor = yaml.safe_load(text_of("packaging", "kubernetes", "servicemonitor.yaml"))
        self.assertLessEqual({endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}, set(service))
        labels = self.kubernetes["Service"]["metadata"]["labels"].items()
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels)

    def test_pods_are_of_the_restricted_profile(self):
        pod = self.kubernetes["Deployment"]["spec"]["template"]["spec"]
        container, = pod["containers"]
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                        "capabilities": {"drop": ["ALL"]}})


if __name__ == "__main__":
    unittest.main(verbosity=2)
