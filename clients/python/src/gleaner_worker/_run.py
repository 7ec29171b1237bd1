"""Runs a handler until Gleaner has no more for it."""

from __future__ import annotations

import asyncio
import collections
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Union

from . import _handler, _item
from ._handler import Handler
from ._item import Item
from ._outcome import Fail, Outcome, of_exception
from ._wire import IN, VERSION, Wire, encode

#: What is said of a row whose work was stopped.
CANCELLED = "stopped when it was told to"


def run(function: Union[Callable[..., Any], Handler, None] = None, **options: Any) -> None:
    """Runs a handler: the function given, or the one that ``@handler`` was put above. Returns when Gleaner has no more for it.

    Options are those of ``handler``.
    """
    if function is None:
        if options:
            raise TypeError("options go with a function, or into @handler(…)")
        chosen = _handler.the_one()
    elif isinstance(function, Handler):
        if options:
            raise TypeError("a handler has its options already")
        chosen = function
    else:
        chosen = Handler(function, **options)
    # So that the log has what is printed when it is printed.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    wire = Wire(chosen.parse_float)
    session = _Session(wire, chosen)
    offered = session.greet()
    if offered is None:
        return
    if chosen.is_async:
        asyncio.run(session.run_async())
    elif session.in_flight > 1:
        session.run_threads()
    else:
        session.run_alone()


class _Session:
    def __init__(self, wire: Wire, handler: Handler) -> None:
        self.wire = wire
        self.handler = handler
        self.in_flight = 1
        self.batch = 1
        self.max_line_bytes = wire.max_line_bytes
        self.is_over = False
        self._write_lock = threading.Lock()
        #: Hand-outs that wait to be worked, of a handler that works one at a time.
        self._waiting: Deque[List[Item]] = collections.deque()
        #: What is in hand, by id.
        self._items: Dict[int, Item] = {}
        self._early: List[Dict[str, Any]] = []
        #: By id, the task that works it and all that it works.
        self._tasks: Dict[int, "tuple[asyncio.Task[None], List[Item]]"] = {}

    # What is said.

    def greet(self) -> Optional[Dict[str, Any]]:
        messages = self.wire.read()
        if not messages:
            return None
        offer, self._early = messages[0], messages[1:]
        if offer.get("type") != "hello" or offer.get("version") != VERSION:
            raise SystemExit(
                f"Gleaner speaks version {offer.get('version')} of the protocol, and this library version {VERSION}: "
                "use the library that comes with it"
            )
        self.in_flight = min(offer["in_flight"], self.handler.in_flight or offer["in_flight"])
        self.batch = min(offer["batch"], self.handler.batch or 1)
        self.max_line_bytes = offer.get("max_line_bytes", self.max_line_bytes)
        self._say(
            {
                "type": "hello",
                "version": VERSION,
                "name": self.handler.name,
                "in_flight": self.in_flight,
                "batch": self.batch,
            }
        )
        return offer

    def _say(self, message: Dict[str, Any]) -> None:
        line = encode(message)
        with self._write_lock:
            self.wire.write(line)

    def _result(self, item: Item, made: Any) -> Dict[str, Any]:
        """What is said of an item, fit to be sent."""
        if isinstance(made, BaseException):
            said = of_exception(made).message()
        elif made is None:
            said = {"status": "completed"}
        elif isinstance(made, Mapping):
            said = {"status": "completed", "columns": dict(made)}
        else:
            kind = type(made).__qualname__
            said = Fail(f"the handler returned {kind}, where a dict of columns is due", retry=False).message()
        said["id"] = item.id
        return said

    def _answer(self, items: Sequence[Item], made: Sequence[Any]) -> None:
        results = [self._result(item, one) for item, one in zip(items, made)]
        for item in items:
            self._items.pop(item.id, None)
        try:
            line = encode({"type": "results", "results": results})
        except (TypeError, ValueError, RecursionError):
            line = b"".join(map(self._alone, results))
        if len(line) > self.max_line_bytes:
            line = b"".join(map(self._alone, results))
        with self._write_lock:
            self.wire.write(line)

    def _alone(self, result: Dict[str, Any]) -> bytes:
        """A result in a line of its own; what cannot be sent fails, and nothing beside it."""
        try:
            line = encode({"type": "results", "results": [result]})
            if len(line) <= self.max_line_bytes:
                return line
            error = f"the answer takes {len(line)} bytes, and a line has at most {self.max_line_bytes}"
        except (TypeError, ValueError, RecursionError) as problem:
            error = f"the answer cannot be sent: {type(problem).__qualname__}: {problem}"
        said = Fail(error, retry=False).message()
        said["id"] = result["id"]
        return encode({"type": "results", "results": [said]})

    # What is heard.

    def _hear(self) -> List[List[Item]]:
        """Waits for messages: the hand-outs among them."""
        messages, self._early = self._early or self.wire.read(), []
        self.is_over = self.is_over or self.wire.is_over
        hand_outs = []
        for message in messages:
            kind = message.get("type")
            if kind == "items":
                items = [Item(told, self._say, self._look) for told in message["items"]]
                self._items.update((item.id, item) for item in items)
                hand_outs.append(items)
            elif kind == "cancel":
                for one in message["ids"]:
                    self._cancel(one)
            elif kind == "shutdown":
                self.is_over = True
            # What a later version says besides is not for this one.
        return hand_outs

    def _cancel(self, id: int) -> None:
        item = self._items.get(id)
        if item is None:
            return
        item._cancelled = True
        task, items = self._tasks.get(id, (None, []))
        if task is not None and all(one._cancelled for one in items):
            task.cancel()

    def _look(self) -> None:
        """Hears what has come, where whoever works is also the one who hears."""

    # What is done.

    def _call(self, items: List[Item]) -> Sequence[Any]:
        """What the function makes of a hand-out, one for each item."""
        handler = self.handler
        if handler.batch is None:
            made: List[Any] = []
            for item in items:
                token = _item._current.set(item)
                try:
                    made.append(handler.function(item if handler.items else item.columns))
                except Exception as error:
                    made.append(error)
                except SystemExit as error:
                    made.append(Fail(f"the handler called sys.exit({error.code!r})"))
                finally:
                    _item._current.reset(token)
            return made
        try:
            return self._spread(items, handler.function(items if handler.items else [item.columns for item in items]))
        except Exception as error:
            return [error] * len(items)
        except SystemExit as error:
            return [Fail(f"the handler called sys.exit({error.code!r})")] * len(items)

    def _spread(self, items: Sequence[Item], made: Any) -> Sequence[Any]:
        """What a batch handler returned, one for each item."""
        if made is None:
            return [None] * len(items)
        if isinstance(made, Outcome):
            return [made] * len(items)
        if not isinstance(made, (list, tuple)) or len(made) != len(items):
            what = f"{len(made)} results" if isinstance(made, (list, tuple)) else type(made).__qualname__
            error = f"the handler returned {what} for {len(items)} rows, where a list of as many is due"
            return [Fail(error, retry=False)] * len(items)
        return made

    def run_alone(self) -> None:
        """One hand-out at a time, in this thread. There is nobody to hear a cancel but whoever asks for it."""
        self._look = self._look_alone  # type: ignore[method-assign]
        while True:
            while self._waiting:
                items = self._waiting.popleft()
                self._answer(items, self._call(items))
            if self.is_over:
                return
            self._waiting.extend(self._hear())

    def _look_alone(self) -> None:
        while not self.is_over and self.wire.is_readable():
            self._waiting.extend(self._hear())

    def run_threads(self) -> None:
        """As many hand-outs at a time as Gleaner gives, each in a thread."""
        todo: "queue.SimpleQueue[Optional[List[Item]]]" = queue.SimpleQueue()

        def work() -> None:
            while True:
                items = todo.get()
                if items is None:
                    return
                self._answer(items, self._call(items))

        threads: List[threading.Thread] = []
        while not self.is_over:
            for items in self._hear():
                # A thread is started when it is needed.
                if len(threads) < self.in_flight:
                    thread = threading.Thread(target=work, name=f"gleaner-{len(threads)}")
                    threads.append(thread)
                    thread.start()
                todo.put(items)
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()

    async def run_async(self) -> None:
        """As many hand-outs at a time as Gleaner gives, each in a task."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        running: "set[asyncio.Task[None]]" = set()

        def begin(items: List[Item]) -> None:
            task = loop.create_task(self._work_async(items))
            running.add(task)
            for item in items:
                self._tasks[item.id] = (task, items)

            def forget(task: "asyncio.Task[None]") -> None:
                running.discard(task)
                for item in items:
                    self._tasks.pop(item.id, None)

            task.add_done_callback(forget)

        def hear() -> None:
            try:
                for items in self._hear():
                    begin(items)
            except BaseException as error:
                loop.remove_reader(IN)
                if not over.done():
                    over.set_exception(error)
                return
            if self.is_over:
                loop.remove_reader(IN)
                if not over.done():
                    over.set_result(None)

        if self._early:
            hear()
        if not self.is_over:
            loop.add_reader(IN, hear)
        await over
        while running:
            await asyncio.wait(set(running))

    async def _work_async(self, items: List[Item]) -> None:
        handler = self.handler
        made: Sequence[Any]
        try:
            if handler.batch is None:
                made = [await self._call_async(item) for item in items]
            else:
                given = items if handler.items else [item.columns for item in items]
                made = self._spread(items, await handler.function(given))
        except asyncio.CancelledError:
            made = [Fail(CANCELLED)] * len(items)
        except Exception as error:
            made = [error] * len(items)
        self._answer(items, made)

    async def _call_async(self, item: Item) -> Any:
        token = _item._current.set(item)
        try:
            return await self.handler.function(item if self.handler.items else item.columns)
        except asyncio.CancelledError:
            if item._cancelled:
                return Fail(CANCELLED)
            raise
        except Exception as error:
            return error
        finally:
            _item._current.reset(token)
