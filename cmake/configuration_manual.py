#!/usr/bin/env python3
"""Writes rtd.json(5): a frame of text with the keys of the configuration's schema in it, so that the manual cannot lag
behind what the daemon takes.

usage: configuration_manual.py SCHEMA FRAME MANUAL
"""
import json
import re
import sys

#: Definitions that the manual explains by their own headings or by a word.
WORDS = {"duration": "length of time", "size": "size", "size_string": "size", "path": "path", "name": "name",
         "account": "name", "id": "number", "restart": "object, see RESTART", "isolation": "object, see ISOLATION",
         "granted_paths": "list of paths", "granted_addresses": "list of addresses"}


def roff(text):
    """Text with a sentence on each line, as mandoc asks for."""
    lines = []
    for sentence in re.split(r"(?<=\.) (?=[A-Z0-9\"]|root\b)", text):
        sentence = sentence.replace("\\", "\\e").replace('"', "\\(dq").replace("'", "\\(aq").replace("…", "...")
        lines.append("\\&" + sentence if sentence.startswith((".", "'")) else sentence)
    return lines


class Manual:
    def __init__(self, schema):
        self.schema = schema
        self.definitions = schema["$defs"]

    def kind(self, node):
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            return WORDS.get(name) or self.kind(self.definitions[name])
        if "enum" in node:
            return " | ".join(str(word) for word in node["enum"])
        if "anyOf" in node or "oneOf" in node:
            return " or ".join(dict.fromkeys(self.kind(one) for one in node.get("anyOf") or node["oneOf"]))
        kind = node.get("type", "value")
        if kind == "array":
            return "list" if "items" not in node else "list of " + self.kind(node["items"]) + "s"
        if isinstance(kind, list):
            return " or ".join(kind)
        return {"string": "text", "integer": "number"}.get(kind, kind)

    def described(self, node):
        if "description" in node:
            return node["description"]
        return self.definitions[node["$ref"].rsplit("/", 1)[1]].get("description", "") if "$ref" in node else ""

    def keys(self, node):
        return [".Bl -tag -width Ds", *self.items(node, ""), ".El"]

    def items(self, node, prefix):
        lines = []
        required = node.get("required", [])
        for key, value in node.get("properties", {}).items():
            if key.startswith("$"):
                continue
            notes = [self.kind(value)]
            if key in required:
                notes.append("required")
            elif value.get("default") not in (None, {}, [], ""):
                notes.append("default " + json.dumps(value["default"]).replace('"', ""))
            lines.append(f".It Va {prefix}{key} Pq {', '.join(notes)}".replace(" | ", "\\ |\\ "))
            lines += roff(self.described(value))
            lines += self.items(self.inner(value), f"{prefix}{key}.")
        return lines

    def inner(self, node):
        """The object whose keys stand below this one's: none where the frame has a heading for it."""
        if "$ref" not in node:
            return node
        name = node["$ref"].rsplit("/", 1)[1]
        return {} if name in WORDS else self.inner(self.definitions[name])

    def section(self, name):
        """What stands for @KEYS NAME@: the keys of a definition, of a section, or of the file itself."""
        if name in self.definitions:
            return self.keys(self.definitions[name])
        return self.keys({"properties": {name: self.schema["properties"][name]}})

    def others(self, named):
        """What stands for @OTHERS@: the sections that the frame does not name."""
        rest = {key: node for key, node in self.schema["properties"].items() if key not in named}
        return [".Pp", *self.keys({"properties": rest})] if rest else []


def main():
    schema, frame, manual = sys.argv[1:]
    with open(schema, encoding="utf-8") as file:
        made = Manual(json.load(file))
    with open(frame, encoding="utf-8") as file:
        text = file.read()
    named = {"$schema", "plugins", "sandboxes", "tasks", *re.findall(r"^@KEYS (\w+)@$", text, re.MULTILINE)}
    lines = []
    for line in text.splitlines():
        if match := re.fullmatch(r"@KEYS (\w+)@", line):
            lines += made.section(match[1])
        else:
            lines += made.others(named) if line == "@OTHERS@" else [line]
    with open(manual, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
