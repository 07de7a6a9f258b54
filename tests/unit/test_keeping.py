"""Values that are made once for many callers: one failure for all who wait, and an old value through an outage."""

import asyncio

import pytest

from tasks import keeping
from tasks.blocks import BlockMissing
from tasks.errors import StudioUnavailable
from tasks.keeping import Kept


class Maker:
    """Makes a new value each time, or fails as it is told."""

    def __init__(self) -> None:
        self.tries = 0
        self.seconds = 0.01
        self.error: Exception | None = None

    async def make(self, key: str) -> str:
        self.tries += 1
        number = self.tries
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return f"{key}-{number}"


async def test_one_failure_is_told_to_all_who_waited_for_it_and_not_kept() -> None:
    """A hundred callers do not repeat the try of a server that is away one after another; the next one tries anew."""
    maker = Maker()
    maker.error = StudioUnavailable("Prefect is away.")
    kept = Kept(maker.make, seconds=100)
    outcomes = await asyncio.gather(*(kept.get("a") for _ in range(100)), return_exceptions=True)

    assert maker.tries == 1
    assert all(outcome is maker.error for outcome in outcomes)

    maker.error = None
    assert await asyncio.gather(*(kept.get("a") for _ in range(100))) == ["a-2"] * 100


async def test_a_caller_who_comes_after_a_failure_starts_the_next_try() -> None:
    """Also while the others are still being told."""
    maker = Maker()
    maker.error = StudioUnavailable("away.")
    kept = Kept(maker.make, seconds=100)

    async def twice() -> str:
        with pytest.raises(StudioUnavailable):
            await kept.get("a")
        maker.error = None
        return await kept.get("a")

    assert await asyncio.gather(*(twice() for _ in range(5))) == ["a-2"] * 5


async def test_a_cancelled_maker_takes_nobody_along() -> None:
    """The next caller makes the value."""
    maker = Maker()
    kept = Kept(maker.make, seconds=100)
    first, second = (asyncio.create_task(kept.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == "a-2"


@pytest.mark.parametrize(("again", "tries"), [(3600.0, 2), (0.0, 4)])
async def test_an_old_value_is_used_on_while_a_new_one_cannot_be_had(
    again: float, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while nobody tries again; then a refresh that works brings the new value."""
    monkeypatch.setattr(keeping, "AGAIN_SECONDS", again)
    maker = Maker()
    kept = Kept(maker.make, seconds=0)
    assert await kept.get("a") == "a-1"
    maker.error = StudioUnavailable("away.")
    assert [await kept.get("a") for _ in range(3)] == ["a-1"] * 3
    assert maker.tries == tries

    maker.error = None
    assert await kept.get("a") == ("a-1" if again else "a-5")


async def test_a_refresh_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a block is patient for minutes; with an old value at hand nobody waits for that."""
    monkeypatch.setattr(keeping, "REFRESH_SECONDS", 0.05)
    maker = Maker()
    kept = Kept(maker.make, seconds=0)
    await kept.get("a")
    maker.seconds = 3600

    assert await asyncio.wait_for(kept.get("a"), 10) == "a-1"


@pytest.mark.parametrize("error", [BlockMissing("there is no block."), ValueError("wrong keys")])
async def test_what_a_person_has_changed_ends_the_old_value(error: Exception) -> None:
    """A block that was removed or broken must not be used on, not even during an outage that follows."""
    maker = Maker()
    kept = Kept(maker.make, seconds=0)
    await kept.get("a")
    for maker.error in (error, StudioUnavailable("away.")):
        with pytest.raises(type(maker.error)):
            await kept.get("a")
