"""The lists to choose from: digital humans and timbres (section 3)."""

from typing import Any

from infra.sandbox.gate import Refused
from infra.sandbox.zego.envelope import NO_HUMAN
from infra.sandbox.zego.humans import HUMANS, Row, humans, timbres
from infra.sandbox.zego.orders import HumanOrder, HumansOrder, TimbresOrder


def show_humans(order: HumansOrder) -> dict[str, Any]:
    """One page of all, of the public or of the private ones."""
    return _page("DigitalHumans", humans(order.fetch_mode), order)


def show_human(order: HumanOrder) -> dict[str, Any]:
    """One of them; raises ``Refused``."""
    return known_human(order.digital_human_id)


def show_timbres(order: TimbresOrder) -> dict[str, Any]:
    """One page of the public timbres, or of those that belong to a digital human; raises ``Refused``."""
    if order.digital_human_id:
        known_human(order.digital_human_id)
    return _page("Timbres", timbres(order.digital_human_id), order)


def known_human(human_id: str) -> Row:
    """A digital human in stock; raises ``Refused``."""
    if human_id not in HUMANS:
        raise Refused(NO_HUMAN, "digital human not found")
    return HUMANS[human_id]


def _page(name: str, rows: list[Row], order: HumansOrder | TimbresOrder) -> dict[str, Any]:
    return {"Total": len(rows), name: rows[order.offset : order.offset + order.limit]}
