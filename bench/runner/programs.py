"""Starting the benchmark programs and reading what they print."""

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runner.rows import PROGRAMS

CLIENT = "bench_echo_client"
# A server answers the end of its input at once; one that has not ended after this time hangs.
SERVER_END_SECONDS = 20
SERVER_START_SECONDS = 20


class ProgramFailed(Exception):
    """A program crashed, hung, found a wrong result or printed something else than its line of JSON."""


@dataclass
class Effort:
    """How much work each measure does."""

    count: int = 0  # operations; 0: each program fills `seconds`
    seconds: float = 0.4
    echo_milliseconds: int = 1200
    timeout: float = 180.0
    fixed_count_limit: int = 0  # above 0: most operations of a row with a count of its own


class Programs:
    """The benchmark programs of one build folder."""

    def __init__(self, build_folder):
        self.folder = Path(build_folder) / "bench"

    def path(self, who):
        return self.folder / PROGRAMS[who]

    def present(self, who):
        return os.access(self.path(who), os.X_OK)

    def describe(self, who):
        """What `--version` prints: version, compiler, optimized, sanitized."""
        return parse_line(run([self.path(who), "--version"], {}, 60))

    def measure(self, who, measurement, effort):
        """Runs one measurement once. Returns its line of JSON as a dictionary, and the commands as text."""
        if measurement.connections:
            return self.measure_echo(who, measurement, effort)
        count = count_for(measurement, effort)
        command = [self.path(who), measurement.name, str(count)]
        environment = {}
        text = shell_text(command)
        if count == 0 and effort.seconds != Effort.seconds:
            environment["BENCH_SECONDS"] = str(effort.seconds)
            text = f"BENCH_SECONDS={effort.seconds} {text}"
        return parse_line(run(command, environment, effort.timeout)), [text]

    def run_row(self, who, name, count, effort):
        """Runs one row of a program with this count. Returns its line of JSON as a dictionary."""
        return parse_line(run([self.path(who), name, str(count)], {}, effort.timeout))

    def measure_echo(self, who, measurement, effort):
        server_command = [self.path(who), "echo_server", "0"]
        with serving(server_command) as port:
            client = [self.folder / CLIENT, str(port), str(measurement.connections), str(effort.echo_milliseconds)]
            found = parse_line(run(client, {}, effort.timeout))
        client[1] = "PORT"
        return found, [shell_text(server_command), shell_text(client)]


def count_for(measurement, effort):
    """The COUNT argument: 0 lets the program calibrate."""
    if effort.count:
        return max(1, effort.count // measurement.weight)
    if measurement.fixed_count and effort.fixed_count_limit:
        return min(measurement.fixed_count, effort.fixed_count_limit)
    return measurement.fixed_count


def shell_text(command):
    """The command as one would type it in the folder of the programs."""
    return shlex.join([Path(command[0]).name, *map(str, command[1:])])


def run(command, environment, timeout):
    """Runs a program to its end and returns what it printed. Raises ProgramFailed."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            list(map(str, command)),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{name} had not ended after {timeout:g} s") from None
    except OSError as failure:
        raise ProgramFailed(f"{name} cannot be started: {failure.strerror}") from None
    if done.returncode != 0:
        raise ProgramFailed(ending(name, done.returncode, done.stderr))
    return done.stdout


def ending(name, status, errors):
    """One line that says how a program ended, with the last that it printed on standard error."""
    how = f"ended with status {status}"
    if status < 0:
        try:
            how = f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was killed by signal {-status}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return f"{name} {how}" + (f": {lines[0][:300]}" if lines else "")


def parse_line(text):
    """The one line of JSON that a program prints."""
    lines = text.splitlines()
    try:
        if len(lines) != 1:
            raise ValueError
        found = json.loads(lines[0])
        if not isinstance(found, dict):
            raise ValueError
    except ValueError:
        raise ProgramFailed(f"printed no line of JSON but {text[:200]!r}") from None
    return found


@contextlib.contextmanager
def serving(command):
    """Starts an echo server, yields its port, and ends it by ending its input. Raises ProgramFailed."""
    name = f"{Path(command[0]).name} echo_server"
    server = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        ready, _, _ = select.select([server.stdout], [], [], SERVER_START_SECONDS)
        line = server.stdout.readline() if ready else ""
        if not line:
            server.kill()
            _, errors = server.communicate()
            raise ProgramFailed(f"did not listen: {ending(name, server.returncode, errors)}")
        try:
            yield parse_line(line)["listening"]
        except ProgramFailed as failure:
            # A client that lost its server has failed for the server's reason.
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(1)
            if server.returncode is not None:
                reason = ending(name, server.returncode, server.stderr.read())
                raise ProgramFailed(f"{reason} ({failure})") from None
            raise
        try:
            _, errors = server.communicate(timeout=SERVER_END_SECONDS)  # closes the input first
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{name} had not ended {SERVER_END_SECONDS} s after the end of its input") from None
        if server.returncode != 0:
            raise ProgramFailed(ending(name, server.returncode, errors))
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()
        for stream in (server.stdin, server.stdout, server.stderr):
            stream.close()
