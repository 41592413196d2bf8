#!/usr/bin/env python3
"""Inside a virtual machine: runs the commands that the tests send, one at a time. See virtual_machine.py.

usage: agent.py DEVICE

A request is a line of JSON, {"command": […], "input": "…"}; the answer is any number of lines {"piece": "…"} with what the
command printed, standard error included, and one {"status": N} when it has ended and nobody has its output open.
"""
import json
import os
import subprocess
import sys
import tempfile
import time


def serve(device):
    with open(device, "r+b", buffering=0) as link:
        buffer = b""
        while True:
            piece = link.read(1 << 16)
            if not piece:
                time.sleep(0.1)  # nobody is connected
                continue
            buffer += piece
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                answer(link, json.loads(line))


def send(link, message):
    rest = json.dumps(message).encode() + b"\n"
    while rest:
        rest = rest[link.write(rest):]


def answer(link, request):
    with tempfile.TemporaryFile() as given:
        given.write(request.get("input", "").encode())
        given.seek(0)
        try:
            process = subprocess.Popen(request["command"], stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            send(link, {"piece": f"{request['command'][0]}: {error.strerror}\n"})
            send(link, {"status": 127})
            return
    with process:
        while piece := os.read(process.stdout.fileno(), 1 << 14):
            send(link, {"piece": piece.decode(errors="surrogateescape")})
    send(link, {"status": process.returncode})


if __name__ == "__main__":
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.1)
    serve(sys.argv[1])
