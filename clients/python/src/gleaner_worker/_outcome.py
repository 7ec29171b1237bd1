"""What a handler can say of a row instead of returning columns."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any, Mapping, NoReturn, Optional, Union

#: The longest error that is sent, in characters. Gleaner cuts it too.
MAX_TEXT = 4_000

Seconds = Union[int, float, timedelta]


def seconds(after: Seconds) -> float:
    """A duration in seconds."""
    value = after.total_seconds() if isinstance(after, timedelta) else float(after)
    if not 0 <= value < float("inf"):
        raise ValueError(f"after must be 0 or more seconds, not {after!r}")
    return value


class Outcome(Exception):
    """What became of a row. Raise it anywhere in a handler, or return it; batch handlers put it into their list."""

    def message(self) -> dict[str, Any]:
        """As the protocol has it, without the id."""
        raise NotImplementedError


class Snooze(Outcome):
    """Not now: the row comes again after so many seconds, and no attempt is charged.

    With ``whole_workflow`` nothing of this workflow is worked until then: for quotas.
    """

    def __init__(self, after: Seconds, reason: str = "", *, whole_workflow: bool = False) -> None:
        self.after = seconds(after)
        self.reason = reason
        self.whole_workflow = whole_workflow
        super().__init__(reason or f"not before {self.after} seconds from now")

    def message(self) -> dict[str, Any]:
        said: dict[str, Any] = {"status": "snoozed", "after": self.after}
        if self.reason:
            said["reason"] = self.reason[:MAX_TEXT]
        if self.whole_workflow:
            said["whole_workflow"] = True
        return said


class Filtered(Outcome):
    """There is rightly nothing to do, for this reason. Columns may be set all the same."""

    def __init__(self, reason: str, columns: Optional[Mapping[str, Any]] = None) -> None:
        if not reason:
            raise ValueError("filtered needs a reason")
        self.reason = reason
        self.columns = columns
        super().__init__(reason)

    def message(self) -> dict[str, Any]:
        said: dict[str, Any] = {"status": "filtered", "reason": self.reason[:MAX_TEXT]}
        if self.columns is not None:
            said["columns"] = dict(self.columns)
        return said


class Fail(Outcome):
    """It went wrong. With ``retry`` (the default) it is tried again as the workflow's settings say, not before ``after`` seconds."""

    def __init__(self, error: str, *, retry: bool = True, after: Optional[Seconds] = None) -> None:
        if after is not None and not retry:
            raise ValueError("what is not tried again has no after")
        self.error = error or "failed"
        self.retry = retry
        self.after = None if after is None else seconds(after)
        super().__init__(self.error)

    def message(self) -> dict[str, Any]:
        said: dict[str, Any] = {"status": "failed", "error": self.error[:MAX_TEXT]}
        if not self.retry:
            said["retry"] = False
        if self.after is not None:
            said["after"] = self.after
        return said


def snooze(after: Seconds, reason: str = "", *, whole_workflow: bool = False) -> NoReturn:
    """Ends the handler: the row comes again after so many seconds, and no attempt is charged."""
    raise Snooze(after, reason, whole_workflow=whole_workflow)


def filtered(reason: str, columns: Optional[Mapping[str, Any]] = None) -> NoReturn:
    """Ends the handler: there is rightly nothing to do."""
    raise Filtered(reason, columns)


def fail(error: str, *, retry: bool = True, after: Optional[Seconds] = None) -> NoReturn:
    """Ends the handler: it went wrong."""
    raise Fail(error, retry=retry, after=after)


def of_exception(error: BaseException) -> Outcome:
    """What an exception says of its row: a failure that is tried again, unless it is an outcome itself."""
    if isinstance(error, Outcome):
        return error
    name = type(error).__qualname__
    text = str(error)
    frames = traceback.extract_tb(error.__traceback__)
    # Our own frames come first, and say nothing.
    place = f" ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    head = f"{name}: {text}" if text else name
    return Fail(head[: MAX_TEXT - len(place)] + place)
