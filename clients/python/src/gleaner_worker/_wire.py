"""The protocol's lines over descriptors 3 and 4."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import os
import select
import sys
import uuid
from typing import Any, Callable, List, Optional

VERSION = 1
IN, OUT = 3, 4
READ_BYTES = 1 << 18


def plain(value: Any) -> Any:
    """What JSON has no form for, as PostgreSQL reads it."""
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return f"{value.total_seconds()} seconds"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"{type(value).__qualname__} has no form in JSON")


_encode = json.JSONEncoder(default=plain, allow_nan=False, separators=(",", ":"), check_circular=True).encode


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line."""
    return _encode(message).encode() + b"\n"


class Wire:
    """Both ends. One thread reads; any may write, one at a time."""

    def __init__(self, parse_float: Optional[Callable[[str], Any]] = None) -> None:
        for descriptor in (IN, OUT):
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                raise SystemExit(
                    "this is a handler for Gleaner, which starts it itself and speaks to it over the descriptors 3 and 4.\n"
                    f"To try it out: gleaner worker check -- {' '.join([sys.executable, *sys.argv])}"
                ) from None
        # What is forked and does not become another program must not hold them either.
        os.register_at_fork(after_in_child=_forget)
        self._decode = json.JSONDecoder(parse_float=parse_float).decode
        self._parts: List[bytes] = []
        self.is_over = False
        self.max_line_bytes = 8 << 20

    def read(self) -> list[dict[str, Any]]:
        """Waits for messages; none at the end."""
        while not self.is_over:
            try:
                data = os.read(IN, READ_BYTES)
            except InterruptedError:
                continue
            except BlockingIOError:
                select.select([IN], [], [])
                continue
            if not data:
                self.is_over = True
                break
            # Of a long line each part is looked at once.
            if b"\n" not in data:
                self._parts.append(data)
                continue
            if self._parts:
                data = b"".join(self._parts) + data
            *lines, rest = data.split(b"\n")
            self._parts = [rest] if rest else []
            return [self._decode(line.decode()) for line in lines if line]
        return []

    def is_readable(self) -> bool:
        """Whether something has come."""
        return bool(select.select([IN], [], [], 0)[0])

    def write(self, line: bytes) -> None:
        """Writes lines whole."""
        view = memoryview(line)
        while view:
            try:
                view = view[os.write(OUT, view) :]
            except InterruptedError:
                continue
            except BlockingIOError:
                select.select([], [OUT], [])


def _forget() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (IN, OUT):
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
