"""What makes a function a handler."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, Union, overload

_found: list["Handler"] = []


class Handler:
    """A function with how it is to be run. Calling it calls the function, so it can be tested as it is."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        batch: Optional[int] = None,
        in_flight: Optional[int] = None,
        items: bool = False,
        parse_float: Optional[Callable[[str], Any]] = None,
        name: Optional[str] = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a handler must be a function, not {function!r}")
        for what, number in (("batch", batch), ("in_flight", in_flight)):
            if number is not None and number < 1:
                raise ValueError(f"{what} must be 1 or more, not {number}")
        self.function = function
        self.batch = batch
        self.in_flight = in_flight
        self.items = items
        self.parse_float = parse_float
        self.name = name or f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)
        )
        self.__doc__ = getattr(function, "__doc__", None)
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@overload
def handler(function: Callable[..., Any], /) -> Handler: ...
@overload
def handler(
    *,
    batch: Optional[int] = ...,
    in_flight: Optional[int] = ...,
    items: bool = ...,
    parse_float: Optional[Callable[[str], Any]] = ...,
    name: Optional[str] = ...,
) -> Callable[[Callable[..., Any]], Handler]: ...
def handler(
    function: Optional[Callable[..., Any]] = None, /, **options: Any
) -> Union[Handler, Callable[[Callable[..., Any]], Handler]]:
    """Makes a function a handler, which ``run()`` then runs.

    It takes a row as a dict and returns a dict of the columns to set, or ``None`` for none. An exception fails the row, to be tried
    again; ``snooze``, ``filtered`` and ``fail`` say it in other ways. It may be ``async``; then many rows are worked at a time.

    batch: the function takes a list of at most so many rows, and returns a list with a dict, ``None``, an outcome or an exception
        for each, in the same order.
    in_flight: how many calls are under way at a time, in threads unless it is ``async``; as many as Gleaner offers if not given.
    items: the function is given ``Item`` objects (key, attempt, columns, progress, cancelled) instead of dicts.
    parse_float: what makes a number with a decimal point; ``decimal.Decimal`` keeps all digits.
    name: what the handler calls itself in Gleaner's log.
    """

    def make(function: Callable[..., Any]) -> Handler:
        made = Handler(function, **options)
        _found.append(made)
        return made

    return make if function is None else make(function)


def the_one() -> Handler:
    """The handler that was made, if it is one."""
    if len(_found) == 1:
        return _found[0]
    names = ", ".join(found.name for found in _found)
    raise SystemExit(
        f"there are {len(_found)} handlers here ({names}): say which with run(function)"
        if _found
        else "there is no handler: put @handler above a function, or say run(function)"
    )
