"""Plays Gleaner's part: starts a handler with the protocol on descriptors 3 and 4, and talks to it."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time

SOURCE = os.path.join(os.path.dirname(__file__), "..", "src")
# Puts the protocol in its place, as Gleaner does.
PLACE = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


class Gleaner:
    def __init__(self, source=None, arguments=None, folder=None, python=sys.executable, **offer):
        self.folder = tempfile.TemporaryDirectory()
        if source is not None:
            file = os.path.join(self.folder.name, "handlers.py")
            with open(file, "w") as written:
                written.write(textwrap.dedent(source))
            arguments = [file]
        self.printed = tempfile.TemporaryFile("w+")
        read, self.to = os.pipe()
        self.of, write = os.pipe()
        # Away from 3 and 4, which are given out anew.
        (read, high), (write, higher) = (read, os.dup(read)), (write, os.dup(write))
        self.child = subprocess.Popen(
            [sys.executable, "-c", PLACE, str(high), str(higher), python, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self.printed,
            stderr=subprocess.STDOUT,
            pass_fds=(high, higher),
            cwd=folder or self.folder.name,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.path.abspath(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        for descriptor in (read, high, write, higher):
            os.close(descriptor)
        self.lines = os.fdopen(self.of, "rb")
        hello = {"type": "hello", "version": 1, "workflow": "test", "in_flight": 1, "batch": 1, "timeout": 60.0}
        self.say({**hello, "max_line_bytes": 8 << 20, **offer})

    def say(self, message):
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(self.to, line) :]

    def give(self, *items):
        items = [{"id": id, "key": f"k{id}", "attempt": 1, "columns": columns} for id, columns in items]
        self.say({"type": "items", "items": items})

    def hear(self):
        line = self.lines.readline()
        if not line:
            raise EOFError(self.said())
        return json.loads(line)

    def result(self, id, columns):
        """Gives a row, and hears its result."""
        self.give((id, columns))
        (result,) = self.hear()["results"]
        assert result.pop("id") == id
        return result

    def said(self):
        self.printed.seek(0)
        return self.printed.read()

    def end(self):
        """Shuts its input: its exit code."""
        if self.to is not None:
            os.close(self.to)
            self.to = None
        code = self.child.wait(20)
        self.lines.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.to is not None:
            os.close(self.to)
        self.lines.close()
        self.printed.close()
        self.folder.cleanup()


def wait_until(what, condition, patience=20.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(0.01)
