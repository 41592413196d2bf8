#!/usr/bin/env python3
"""Holds the JSON Schema of the configuration and the parser together.

What the schema refuses, the parser must refuse. What the parser refuses beyond that must be something that a schema
cannot say, and is listed here. Besides the files of the corpus, thousands of slightly damaged ones are tried.
"""
import copy
import glob
import json
import os
import re
import subprocess
import unittest

try:
    import jsonschema
except ImportError as error:
    raise unittest.SkipTest("the package python3-jsonschema is not installed") from error

SOURCE = os.environ["RTD_SOURCE_DIR"]
CONFIG = os.path.join(SOURCE, "config")
DATA = os.path.join(SOURCE, "tests", "daemon", "config", "data")
PROBE = os.path.join(os.environ["RTD_BUILD_DIR"], "tests", "daemon", "config", "config_probe")

# Problems that the parser finds in documents that the schema takes: relations between parts, the system's accounts, and
# bounds that a pattern cannot express.
BEYOND_SCHEMA = re.compile("|".join([
    r'is not in "(plugins|sandboxes|tasks)"',
    r"is no cron expression",
    r"the task names itself|wait for each other in a circle",
    r"names no sandbox",
    r"there is no (user|group) .* on this system",
    r"has been given a role above",
    r"stands for everybody whom",                                 # a name whose number is 65534
    r"socket's absolute path .* has \d+ bytes|is a folder",
    r"the duration .* is out of range|it is longer than 292 years|it has parts below a nanosecond",
    r"only its last number may have a fraction",
    r"is shorter than initial_delay|can never be reached|is larger than heap_hard|has no effect without",
    r'the size ".*" is out of range|it is larger than 8191 PiB',  # written as a string
    r"is no address to listen on: .*(no IP address|no IPv6 address|no number from 0 to 65535|the port is 0)",
    r"must be a whole number .*, not the number [0-9]+\.0",       # a schema takes 4.0 for an integer
    r"must be a number of bytes .*, not the number [0-9]+\.0",
]))

# Put in the place of every value of a good document.
VALUES = [
    None, True, False, 0, 1, -1, 1.5, 4.0, 63, 64, 256, 257, 4096, 4097, 16383, 16384, 65534, 70000000, 1 << 32, 1 << 61, 1e30,
    "", "x", "default", "hello", "one", "a b", "Upper", "a" * 64, "a" * 300, "0", "0s", "5s", "1.5s", "1m30s", "1s1m", "5",
    "-5s", "5 s", "s", "1ms", "2h", "99d", "5\u00b5s", "0.0000000001s", "1.5m3s", "1B", "256KiB", "256KB", "1.5MiB", "64MiB", "65MiB",
    "0660", "660", "0066", "8888", "@x", "run/", "127.0.0.1:80", "[::1]:80", "[::1]", ":80", "a:80", "localhost:0",
    "1.2.3.4:99999", "999.1.1.1:80", "always", "on-failure", "never", "info", "auto", "view", "admin", "root", "nobody", "no-such-name",
    [], [1], ["a", True, 2.5], [None], [[]], [{}], {}, {"default": {}}, {"a": 1}, {"path": "a.so"}, {"plugin": "hello", "entry": "serve"},
    {"role": "view", "uid": 1}, [{"role": "view", "uid": 1}], [{"role": "view", "uid": 1, "gid": 1}], [{"role": "view"}],
]


def load(path):
    with open(path, encoding="utf-8-sig") as file:
        return json.load(file)


def paths_of(document, path=()):
    """The path of every value, the document's own first."""
    yield path
    entries = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, entry in entries:
        yield from paths_of(entry, path + (key,))


def at(document, path):
    for key in path:
        document = document[key]
    return document


def parts(document):
    """Small good documents that together contain all of this one: judging those is much quicker. Each comes with the key
    that it is about."""
    for key, part in document.items():
        if key == "tasks":
            sandboxes = {name: {} for name in document.get("sandboxes", {"default": {}})}
            for name, task in part.items():
                named = {*task.get("after", []), *task.get("requires", [])}
                others = {other: {"plugin": part[other]["plugin"], "entry": "run", "sandbox": "one"} for other in named}
                yield key, {"plugins": document["plugins"], "sandboxes": sandboxes, "tasks": {name: task, **others}}
        else:
            yield key, {key: part}


def damaged(document, about):
    """Copies of the document, each with one thing changed in what it is about."""
    for path in paths_of(document):
        if path and path[0] != about:
            continue
        if path:
            for value in VALUES:
                changed = copy.deepcopy(document)
                at(changed, path[:-1])[path[-1]] = copy.deepcopy(value)
                yield changed
            removed = copy.deepcopy(document)
            del at(removed, path[:-1])[path[-1]]
            yield removed
        if path and isinstance(path[-1], str):
            for name in (path[-1] + "x", path[-1].upper(), "", "a b", "a.b", "9", "a" * 64):
                renamed = copy.deepcopy(document)
                parent = at(renamed, path[:-1])
                parent[name] = parent.pop(path[-1])
                yield renamed
        if isinstance(at(document, path), dict):
            extended = copy.deepcopy(document)
            at(extended, path)["unknown_key"] = 1
            yield extended


def ask_all(documents):
    """The parser's answer to each of the documents (texts, or what json.dumps takes), by one process for all."""
    texts = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    probe = subprocess.run([PROBE], input=lines, capture_output=True, text=True, encoding="utf-8", check=False)
    answers = [json.loads(line) for line in probe.stdout.split("\n") if line]
    if len(answers) != len(texts) or probe.returncode != 0:
        raise AssertionError(f"the parser ended with status {probe.returncode} on this text: {texts[len(answers):][:1]}\n{probe.stderr}")
    return answers


def ask(document):
    return ask_all([document])[0]


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = load(os.path.join(CONFIG, "rtd.schema.json"))
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def refused_by_schema(self, document):
        error = jsonschema.exceptions.best_match(self.validator.iter_errors(document))
        return None if error is None else f"{error.json_path}: {error.message}"

    def compare(self, document, answer):
        """True when the document is good. Fails when schema and parser disagree in a way that they may not."""
        problems = answer.get("problems")
        if not self.validator.is_valid(document):
            if problems is None:
                self.fail(f"the schema refuses what the parser takes: {self.refused_by_schema(document)}\n{json.dumps(document)}")
            return False
        for problem in problems or []:
            if not BEYOND_SCHEMA.search(problem):
                self.fail(f"the parser refuses what the schema takes: {problem}\n{json.dumps(document)}")
        return problems is None

    def test_schema_is_valid(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_schema_is_embedded(self):
        embedded = subprocess.run([PROBE, "--schema"], check=True, capture_output=True).stdout.decode()
        self.assertEqual(json.loads(embedded), self.schema)

    def test_every_object_is_closed_and_every_key_described(self):
        def walk(schema, where):
            if isinstance(schema, list):
                for i, entry in enumerate(schema):
                    walk(entry, f"{where}/{i}")
            if not isinstance(schema, dict):
                return
            if "properties" in schema:
                self.assertIs(schema.get("additionalProperties"), False, where)
                for name, entry in schema["properties"].items():
                    target = self.resolve(entry)
                    self.assertIn("description", {**target, **entry}, f"{where}/{name}")
            for key, entry in schema.items():
                walk(entry, f"{where}/{key}")

        walk(self.schema, "")

    def resolve(self, schema):
        """The schema with its reference followed; its own keywords win."""
        while "$ref" in schema:
            target = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return schema

    def complete(self, schema, document):
        """Fills in the defaults that the schema names."""
        schema = self.resolve(schema)
        if not isinstance(document, dict):
            return
        for name, entry in schema.get("properties", {}).items():
            entry = self.resolve(entry)
            if name not in document and "default" in entry:
                document[name] = copy.deepcopy(entry["default"])
            if name in document:
                self.complete(entry, document[name])
        if isinstance(schema.get("additionalProperties"), dict):
            for name, entry in document.items():
                if name not in schema.get("properties", {}):
                    self.complete(schema["additionalProperties"], entry)

    def test_defaults_are_the_parsers(self):
        document = {"plugins": {"p": {"path": "/p.so"}}, "tasks": {"t": {"plugin": "p", "entry": "run"}}}
        parsed = ask(document)["config"]
        self.complete(self.schema, document)
        # The one default that depends on where the object stands; its description says so.
        self.assertEqual(parsed["sandboxes"]["default"]["restart"].pop("policy"), "always")
        self.assertEqual(parsed["tasks"]["t"]["restart"].pop("policy"), "on-failure")
        # Durations have several spellings.
        for restart in (parsed["sandboxes"]["default"]["restart"], parsed["tasks"]["t"]["restart"]):
            self.assertEqual((restart["window"], restart["stable_after"]), ("1m", "10s"))
        self.assertEqual(parsed, document)

    def test_good_files_pass_both(self):
        files = [os.path.join(CONFIG, "rtd.json"), *glob.glob(f"{CONFIG}/examples/*.json"), *glob.glob(f"{DATA}/good/*.json")]
        self.assertGreater(len(files), 8)
        for path in files:
            with self.subTest(os.path.relpath(path, SOURCE)):
                document = load(path)
                self.assertIsNone(self.refused_by_schema(document))
                answer = ask(document)
                self.assertNotIn("problems", answer)
                # What the parser writes is again a good document.
                self.assertIsNone(self.refused_by_schema(answer["config"]))
                self.assertEqual(ask(answer["config"]), answer)

    def test_bad_files_are_refused_by_the_parser(self):
        files = glob.glob(f"{DATA}/bad/*.json")
        self.assertGreater(len(files), 20)
        for path in files:
            with self.subTest(os.path.relpath(path, SOURCE)):
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                self.assertIn("problems", ask(text))

    def test_damaged_files_are_judged_alike(self):
        documents = []
        for about, document in parts(load(f"{DATA}/good/full.json")):
            self.assertNotIn("problems", ask(document))
            documents += damaged(document, about)
        judgements = [self.compare(*pair) for pair in zip(documents, ask_all(documents))]
        good = sum(judgements)
        bad = len(judgements) - good
        # Both sides must have had something to decide.
        self.assertGreater(good, 500)
        self.assertGreater(bad, 3000)
        print(f"{good} good and {bad} bad documents")


if __name__ == "__main__":
    unittest.main()
