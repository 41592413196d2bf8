#!/usr/bin/env python3
"""Adapts the shipped configuration to a build folder and a folder that the user can write to, for `./dev run`.

usage: run_in_place.py CONFIG BUILD_FOLDER RUN_FOLDER

Writes RUN_FOLDER/rtd.json: the control socket lies in RUN_FOLDER and plugins come from BUILD_FOLDER/plugins; all else is
as shipped. Prints where the daemon can be reached.
"""
import json
import os
import sys


def addresses(config):
    """What the configured tasks listen on, as (task, address)."""
    for name, task in sorted(config.get("tasks", {}).items()):
        if not task.get("autostart", True):
            continue
        listen = task.get("params", {}).get("listen", [])
        for address in [listen] if isinstance(listen, str) else listen:
            yield name, address


def main():
    source, build, folder = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        config = json.load(file)
    if "$schema" in config:
        schema = os.path.join(os.path.dirname(os.path.abspath(source)), config["$schema"])
        if os.path.exists(schema):
            config["$schema"] = schema
    socket = os.path.join(folder, "control.sock")
    config.setdefault("control", {})["socket"] = socket
    config["plugin_dir"] = os.path.join(build, "plugins")
    target = os.path.join(folder, "rtd.json")
    with open(target, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")

    print(f"configuration   {target} (from {source})")
    print(f"control socket  {socket}")
    print(f"                {os.path.relpath(build)}/bin/rtctl --socket {socket} status")
    http = (config.get("http") or {}).get("listen", "127.0.0.1:9180")
    if http:
        for path in ("metrics", "livez", "readyz?verbose"):
            print(f"{'HTTP' if path == 'metrics' else '':<15} http://{http}/{path}")
    for task, address in addresses(config):
        print(f"task {task:<10} {address}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
