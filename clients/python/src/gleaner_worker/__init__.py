"""Handlers for Gleaner: a function takes a row as a dict and returns the columns to set.

    from gleaner_worker import handler, run

    @handler
    def ocr(row):
        return {"total": read_total(row["pdf_url"])}

    if __name__ == "__main__":
        run()
"""

from ._handler import Handler, handler
from ._item import Item, cancelled, current, progress
from ._outcome import Fail, Filtered, Outcome, Snooze, fail, filtered, snooze
from ._run import run

__all__ = [
    "Fail",
    "Filtered",
    "Handler",
    "Item",
    "Outcome",
    "Snooze",
    "cancelled",
    "current",
    "fail",
    "filtered",
    "handler",
    "progress",
    "run",
    "snooze",
]
__version__ = "0.1.0"
