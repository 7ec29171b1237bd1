"""The row that is being worked, for whoever asks from within a handler."""

from __future__ import annotations

import contextvars
from typing import Any, Callable, Optional

_current: contextvars.ContextVar[Optional["Item"]] = contextvars.ContextVar("gleaner_item", default=None)


class Item:
    """A row in hand."""

    __slots__ = ("_cancelled", "_look", "_tell", "attempt", "columns", "id", "key")

    def __init__(
        self,
        told: dict[str, Any],
        tell: Callable[[dict[str, Any]], None],
        look: Callable[[], None],
    ) -> None:
        #: The number of this hand-out.
        self.id: int = told["id"]
        #: The row's key in its table.
        self.key: Any = told["key"]
        #: Which attempt at it this is, from 1.
        self.attempt: int = told["attempt"]
        #: What the handler is given of it.
        self.columns: dict[str, Any] = told["columns"]
        self._tell = tell
        self._look = look
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether Gleaner wants the work on it to stop: its time is over, or nobody wants it any more."""
        if not self._cancelled:
            self._look()
        return self._cancelled

    def progress(self, done: Optional[int] = None, total: Optional[int] = None, step: Optional[str] = None) -> None:
        """Tells how far it has come."""
        said: dict[str, Any] = {"type": "progress", "id": self.id}
        for name, value in (("done", done), ("total", total), ("step", step)):
            if value is not None:
                said[name] = value
        self._tell(said)


def current() -> Item:
    """The row in hand, within a handler for single rows."""
    item = _current.get()
    if item is None:
        raise LookupError("no row is in hand here; batch handlers ask for items=True")
    return item


def progress(done: Optional[int] = None, total: Optional[int] = None, step: Optional[str] = None) -> None:
    """Tells how far the row in hand has come; does nothing where none is, as in a test of the handler."""
    item = _current.get()
    if item is not None:
        item.progress(done, total, step)


def cancelled() -> bool:
    """Whether the work on the row in hand is to stop. To be asked now and then by work that takes long."""
    item = _current.get()
    return item is not None and item.cancelled
