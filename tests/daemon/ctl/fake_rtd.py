"""A server that speaks the control protocol and answers what a test tells it to, so that rtctl can be shown every kind
of answer, also those that rtd never gives."""
import json
import os
import socket
import tempfile
import threading

GREETING = {"version": "0.1.0", "protocol": 1, "role": "admin", "capabilities": ["events", "logs"]}


class Error(Exception):
    """An error answer."""

    def __init__(self, kind, message, code=-32000, **data):
        super().__init__(message)
        self.body = {"code": code, "message": message, "data": {"kind": kind, **data}}


class FakeRtd:
    """Serves until it is closed. `answers` maps a method to a result, an Error, or a function that gets the parameters
    and returns a result, an Error, or bytes that are sent as they are. `after` maps a method to notifications that
    follow its answer. Requests are kept in `requests` as (method, params)."""

    def __init__(self, answers=None, greeting=None, after=None):
        self.answers = answers or {}
        self.greeting = greeting if greeting is not None else GREETING
        self.after = after or {}
        self.requests = []
        self._folder = tempfile.TemporaryDirectory(prefix="fake-rtd-")
        self.path = os.path.join(self._folder.name, "s")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._connections = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._listener.fileno() < 0:
            return
        # Closing alone leaves the thread in accept(), on a number that the next server's listener gets: it would take that
        # one's connections and answer them with this one's answers.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._folder.cleanup()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if isinstance(self.greeting, bytes):
                connection.sendall(self.greeting)
            else:
                self._send(connection, {"jsonrpc": "2.0", "method": "rtd.hello", "params": self.greeting})
            for line in connection.makefile("rb"):
                self._answer(connection, json.loads(line))
        except OSError:
            pass
        finally:
            connection.close()

    def _answer(self, connection, request):
        method = request["method"]
        self.requests.append((method, request["params"]))
        answer = self.answers.get(method, Error("method_not_found", f"there is no method \"{method}\"", -32601))
        if callable(answer) and not isinstance(answer, Exception):
            answer = answer(request["params"])
        if isinstance(answer, bytes):
            connection.sendall(answer)
            if not answer.endswith(b"\n"):
                connection.shutdown(socket.SHUT_RDWR)
            return
        message = {"jsonrpc": "2.0", "id": request["id"]}
        if isinstance(answer, Error):
            message["error"] = answer.body
        else:
            message["result"] = answer
        self._send(connection, message)
        for name, params in self.after.get(method, []):
            self._send(connection, {"jsonrpc": "2.0", "method": name, "params": params})

    @staticmethod
    def _send(connection, message):
        connection.sendall(json.dumps(message).encode() + b"\n")
