"""The crash matrix: every point of the life of a render, every vendor, killed, reconciled, repeated and settled."""

import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.kill_points import POINTS, RENDER_SECONDS, KillPoint
from tests.chaos.lives import AT_ONCE, RESTLESS, Facts, Kind, Life, Place

RANDOM = "at random moments"
# Without an upload a task is told from others by its notice, which matters while its job id is not known.
_WITHOUT_UPLOAD = (
    "right to submit taken, before the POST",
    "inside the POST, after it was accepted",
    "answer lost, before that is noted",
    "answered, before the job id is stored",
)
RANDOM_KILLS, _MOST_BATCHES = 24, 40

Known = dict[str, Facts]


@dataclass(frozen=True)
class Round:
    """One round of the matrix: the renders, and what was known of them after each step."""

    name: str
    lives: list[Life]
    killed: Known
    reconciled: Known
    repeated: Known
    settled: Known
    ended: Known
    rested: list[str]
    """How the reconciles ended."""
    orphans: set[str]
    """Jobs of the sandbox that the ledger does not name, at last."""
    seconds: dict[str, float]
    """How long each step took."""

    def steps(self) -> Iterable[tuple[str, Known]]:
        """The steps in order."""
        for name in ("killed", "reconciled", "repeated", "settled", "ended"):
            yield name, getattr(self, name)


ROUNDS: list[Round] = []
"""The rounds of this test run so far, for the table at its end."""


def run_round(place: Place, name: str) -> Round:
    """Kill at every point, then do all that follows."""
    return _follow(place, name, lambda: _kill_everywhere(place))


def run_random_round(place: Place, name: str, dice: random.Random) -> Round:
    """Kill runs of the same requests again and again from outside, at random moments, then do all that follows."""
    return _follow(place, name, lambda: _kill_at_random(place, dice))


class _Clock:
    """Takes the time of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def take(self, step: str) -> None:
        """A step has ended."""
        now = time.monotonic()
        self.seconds[step], self._last = now - self._last, now


def _follow(place: Place, name: str, kill: Callable[[], list[Life]]) -> Round:
    clock, began = _Clock(), time.time()
    place.sandbox.settings(render_seconds=RENDER_SECONDS)
    lives = kill()
    place.sandbox.wait_ended()
    killed = place.facts(lives)
    clock.take("kills")
    rested = place.reconcile()
    reconciled = place.facts(lives)
    clock.take("reconcile")
    for life, answer in zip(lives, place.ask_again(lives), strict=True):
        life.again = answer
    repeated = place.facts(lives)
    clock.take("asked again")
    place.settle(lives)
    rested += place.reconcile()
    settled = place.facts(lives)
    clock.take("settled")
    open_ones = [life for life in lives if life.again.get("state") != "Completed"]
    for life, answer in zip(open_ones, place.ask_again(open_ones), strict=True):
        life.last = answer
    ended = place.facts(lives)
    clock.take("at last")
    return Round(
        name=name,
        lives=lives,
        killed=killed,
        reconciled=reconciled,
        repeated=repeated,
        settled=settled,
        ended=ended,
        rested=rested,
        orphans=place.orphans(began),
        seconds=clock.seconds,
    )


def _kill_everywhere(place: Place) -> list[Life]:
    lives = []
    inside: list[tuple[Life, KillPoint]] = []
    slow: list[tuple[Life, KillPoint]] = []
    for point in POINTS:
        kinds: list[Kind] = list(point.vendors)
        if point.name in _WITHOUT_UPLOAD:
            kinds.append("topview, no upload")
        made = [place.life(kind, point.name) for kind in kinds]
        lives += made
        if point.held:
            # One call of a vendor is held at a time.
            place.kill_held(made[:2], point)
            if made[2:]:
                place.kill_held(made[2:], point)
        elif point.armed:
            for batch in (made[:2], made[2:]):
                for life in batch:
                    place.sandbox.arm(life.vendor, *point.armed)
                place.kill_inside([(life, point.at(life.vendor)) for life in batch])
        else:
            group = inside if point.render_seconds == RENDER_SECONDS else slow
            group += [(life, point.at(life.vendor)) for life in made]
    place.kill_inside(inside)
    place.sandbox.settings(render_seconds=max(point.render_seconds for point in POINTS))
    place.kill_inside(slow)
    place.sandbox.settings(render_seconds=RENDER_SECONDS)
    return lives


def _kill_at_random(place: Place, dice: random.Random) -> list[Life]:
    """Kill runs until enough have died; some are started and killed again. One that ends before its moment counts not.

    Whoever has never been killed is left out of the round.
    """
    kinds: tuple[Kind, ...] = ("topview", "topview, no upload", "mingyan")
    began = time.monotonic()
    place.ask_again([place.life(kind, "undisturbed") for kind in kinds])
    whole_life = time.monotonic() - began
    killed: list[Life] = []
    for _ in range(_MOST_BATCHES):
        again = dice.sample(killed, min(len(killed), 1))
        batch = [place.life(kind, RANDOM) for kind in dice.sample(kinds, AT_ONCE - len(again))] + again
        whole_life = _kill_batch(place, batch, whole_life, dice)
        killed += [life for life in batch if life.kills and life not in killed]
        if sum(life.kills for life in killed) >= RANDOM_KILLS:
            break
    return killed


def _kill_batch(place: Place, lives: Sequence[Life], whole_life: float, dice: random.Random) -> float:
    """Start some runs at once, and kill each at its moment; returns how long a life is, as seen now."""
    began = time.monotonic()
    for life in lives:
        life.child = place.nursery.start("render", environment=RESTLESS, request=life.request)
    moments = sorted(dice.uniform(0, whole_life) for _ in lives)
    for life, moment in zip(dice.sample(lives, len(lives)), moments, strict=True):
        assert life.child is not None
        life.child.wait_at_most(max(0.0, began + moment - time.monotonic()))
        is_killed = life.child.kill().exit == -signal.SIGKILL
        life.kills += is_killed
        if not is_killed:
            # The machine has become faster than it was at first.
            whole_life = min(whole_life, time.monotonic() - began)
    return whole_life


# For people


def table(rounds: Sequence[Round]) -> list[str]:
    """The matrix, a row for each point and vendor."""
    rows = [
        ("killed", "vendor", "kills", "paid", "after the kill", "after reconcile", "asked again", "settled, at last")
    ]
    cells: dict[tuple[str, str], list[tuple[Round, Life]]] = defaultdict(list)
    for each in rounds:
        for life in each.lives:
            cells[life.point, life.kind].append((each, life))
    order = [point.name for point in POINTS] + [RANDOM]
    for (point, kind), found in sorted(cells.items(), key=lambda cell: (order.index(cell[0][0]), cell[0][1])):
        paid = [len(each.ended[life.token].paid) for each, life in found]
        rows.append(
            (
                point,
                kind,
                str(sum(life.kills for _, life in found)),
                str(max(paid)) if min(paid) == max(paid) else f"{min(paid)}-{max(paid)}",
                _sum(_told(each.killed[life.token]) for each, life in found),
                _sum(_told(each.reconciled[life.token]) for each, life in found),
                _sum(str(life.again.get("state")) for _, life in found),
                _sum(_told(each.ended[life.token]) for each, life in found),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _told(facts: Facts) -> str:
    if facts.state == "archived" and not facts.handed_out:
        return "archived, not handed out"
    return facts.state


def _sum(words: Iterable[str]) -> str:
    counts = Counter(words)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{word} {count}" for word, count in sorted(counts.items()))
