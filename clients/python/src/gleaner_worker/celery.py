"""Runs an existing Celery task as a handler, without a broker.

    python -m gleaner_worker.celery billing.tasks.ocr
    python -m gleaner_worker.celery billing.tasks.ocr --args id --set total

The row's columns are the task's keyword arguments, or with ``--args`` the named ones its positional arguments. What it returns are the
columns to set if it is a dict; with ``--set`` it is the value of that column; else it is dropped, as without a result backend.

``self.retry`` fails the row, to be tried again after its countdown, as long as ``max_retries`` allows; ``autoretry_for`` works by it.
How often Gleaner tries is for its own ``max_attempts`` to say, too. ``Ignore`` and ``Reject`` filter the row. ``self.request`` has the id
and the number of retries. What a task sends to other tasks (``delay``, ``apply_async``, chains) still goes to the broker: let
``then`` in Gleaner's configuration ask for the next stage instead.

A plain function that is no task is run just so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import sys
from typing import Any, Callable, List, Optional, Sequence

from ._handler import Handler
from ._item import Item
from ._outcome import Fail, Filtered
from ._run import run


def find(dotted: str) -> Any:
    """What a dotted name names: ``package.module.task``, or ``package.module:task``."""
    if ":" in dotted:
        module, _, path = dotted.partition(":")
        return _below(importlib.import_module(module), path.split("."))
    parts = dotted.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            # Another module that is missing is another matter.
            if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
                continue
            raise
        return _below(found, parts[end:])
    raise SystemExit(f"there is no module behind {dotted}: it must be package.module.task, as Celery knows it")


def _below(found: Any, path: Sequence[str]) -> Any:
    for name in path:
        try:
            found = getattr(found, name)
        except AttributeError:
            raise SystemExit(f"{found!r} has no {name}") from None
    return found


class Task:
    """A task with how it is called for a row."""

    def __init__(self, task: Any, args: Sequence[str] = (), set_column: Optional[str] = None) -> None:
        # Celery's shared tasks are proxies until somebody asks.
        real = getattr(task, "_get_current_object", None)
        self.task = real() if callable(real) else task
        if not callable(self.task):
            raise SystemExit(f"{self.task!r} is neither a task nor a function")
        self.args = tuple(args)
        self.set_column = set_column
        self.is_task = hasattr(self.task, "push_request") and hasattr(self.task, "run")
        self.name: str = getattr(self.task, "name", None) or getattr(self.task, "__qualname__", "task")
        if self.is_task:
            self.task.retry = self._retry

    def __call__(self, item: Item) -> Any:
        columns = dict(item.columns)
        try:
            positional = [columns.pop(name) for name in self.args]
        except KeyError as error:
            raise Fail(f"the row has no column {error}: --args names columns that the handler is given", retry=False) from None
        keywords = {} if self.args else columns
        returned = self._call(item, positional, keywords)
        if self.set_column is not None:
            return {self.set_column: returned}
        return returned if isinstance(returned, dict) else None

    def _call(self, item: Item, positional: List[Any], keywords: Any) -> Any:
        if not self.is_task:
            return self.task(*positional, **keywords)
        self.task.push_request(
            id=f"{item.key}-{item.attempt}",
            args=positional,
            kwargs=keywords,
            retries=item.attempt - 1,
            called_directly=False,
            delivery_info={},
        )
        try:
            return self.task.run(*positional, **keywords)
        except Exception as error:
            name = type(error).__name__
            # By name: Celery may not be there at all.
            if type(error).__module__.startswith("celery.") and name in ("Ignore", "Reject"):
                raise Filtered(f"{name}: {error}") from error
            raise
        finally:
            self.task.pop_request()

    def _retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Optional[BaseException] = None,
        throw: bool = True,
        eta: Optional[datetime.datetime] = None,
        countdown: Optional[float] = None,
        max_retries: Optional[int] = None,
        **_options: Any,
    ) -> Any:
        """In the place of ``Task.retry``, which would send the task to the broker."""
        task = self.task
        most = task.max_retries if max_retries is None else max_retries
        if most is not None and task.request.retries >= most:
            if exc is not None:
                raise exc
            raise Fail(f"cannot be tried more than {most} times again", retry=False)
        if eta is not None:
            now = datetime.datetime.now(eta.tzinfo or datetime.timezone.utc)
            at = eta if eta.tzinfo else eta.replace(tzinfo=datetime.timezone.utc)
            countdown = max(0.0, (at - now).total_seconds())
        if countdown is None:
            countdown = getattr(task, "default_retry_delay", None)
        why = f"{type(exc).__qualname__}: {exc}" if exc is not None else "the task asked to be tried again"
        failure = Fail(why, after=countdown)
        if throw:
            raise failure
        return failure


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gleaner_worker.celery", description="Runs a Celery task as a handler for Gleaner."
    )
    parser.add_argument("task", help="its dotted name: package.module.task")
    parser.add_argument("--args", default="", help="columns that are its positional arguments, separated by commas")
    parser.add_argument("--set", metavar="COLUMN", help="the column that takes what it returns")
    options = parser.parse_args(arguments)
    # As with `celery -A`: a project is found where one stands.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    names = [name.strip() for name in options.args.split(",") if name.strip()]
    task = Task(find(options.task), names, options.set)
    call: Callable[..., Any] = task.__call__
    run(Handler(call, items=True, name=task.name))


if __name__ == "__main__":
    main()
