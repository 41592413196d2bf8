"""A program on a terminal of its own."""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time


def set_size(descriptor, rows, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """Runs `words` on a terminal of the given size. Use as a context; `seen` is all that it has written."""

    def __init__(self, words, environment, rows=24, columns=100):
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a read may end within a character
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            try:
                # Before the program is there to ask for it.
                set_size(0, rows, columns)
                os.execvpe(words[0], words, environment)
            finally:
                os._exit(127)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._descriptor)

    def resize(self, rows, columns):
        set_size(self._descriptor, rows, columns)

    def send(self, text):
        os.write(self._descriptor, text.encode())

    def expect(self, pattern, timeout=60):
        """Waits until what has been written since the last match matches; returns the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen, re.DOTALL)
            if match:
                self.seen = self.seen[match.end():]
                return match
            self._read(end, pattern)

    def _read(self, end, pattern):
        ready, _, _ = select.select([self._descriptor], [], [], max(0, end - time.monotonic()))
        try:
            data = os.read(self._descriptor, 65536) if ready else b""
        except OSError:
            data = b""
        if not data:
            raise AssertionError(f"no {pattern!r} in {self.seen[-3000:]!r}")
        self.seen += self._decoder.decode(data)

    def wait(self, timeout=20):
        """Waits for the end; the result is the exit status, or minus the signal."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if select.select([self._descriptor], [], [], 0.02)[0]:
                try:
                    self.seen += self._decoder.decode(os.read(self._descriptor, 65536))
                except OSError:
                    pass
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                self._read_rest(end)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still runs; it wrote {self.seen[-3000:]!r}")

    def _read_rest(self, end):
        """What it wrote after the last look, up to the error that is the end of a terminal."""
        while select.select([self._descriptor], [], [], max(0, end - time.monotonic()))[0]:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += self._decoder.decode(data)

    def kill(self, which):
        os.kill(self._pid, which)

    def state(self):
        """The state of the process as the kernel names it ("S", "T")."""
        with open(f"/proc/{self._pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    def echoes(self):
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)
