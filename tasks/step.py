"""A step of a recipe: a Prefect task run where a person watches one video, a plain call inside a batch.

One Prefect server takes in 20 to 35 task runs a second: too few for each step of thousands of renders.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from prefect import task

P = ParamSpec("P")
R = TypeVar("R")

_is_plain: ContextVar[bool] = ContextVar("plain_steps", default=False)


class Step(Generic[P, R]):
    """An async function that is a task run of its own, unless ``plain_steps`` is on.

    Args:
        fn: the plain function.
        name: of the task and its runs.
    """

    def __init__(self, fn: Callable[P, Awaitable[R]], name: str) -> None:
        self.fn = fn
        self._task: Any = task(name=name, task_run_name=name)(fn)
        update_wrapper(self, fn)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step."""
        if _is_plain.get():
            return await self.fn(*args, **kwargs)
        result: R = await self._task(*args, **kwargs)
        return result


def step(name: str) -> Callable[[Callable[P, Awaitable[R]]], Step[P, R]]:
    """Make an async function a step of this name."""

    def decorate(fn: Callable[P, Awaitable[R]]) -> Step[P, R]:
        return Step(fn, name)

    return decorate


@contextmanager
def plain_steps() -> Iterator[None]:
    """Run steps as plain calls within a block, and in the asyncio tasks that are begun in it."""
    before = _is_plain.set(True)
    try:
        yield
    finally:
        _is_plain.reset(before)


def steps_are_plain() -> bool:
    """Whether nobody watches single steps, so that nothing about them is shown on the run's page either."""
    return _is_plain.get()
