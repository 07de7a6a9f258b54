"""Every call of a vendor comes through here: counted, authorised, kept to the allowed rate, and spoiled when armed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from infra.sandbox.connection import Cut
from infra.sandbox.faults import FaultBook, Holds
from infra.sandbox.rate import RateMeter
from infra.sandbox.records import Refusal, Vendor
from infra.sandbox.spoil import Spoiler
from infra.sandbox.truth import Truth

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """A call that the vendor would not accept.

    Args:
        code: the vendor's code, or the HTTP status where it has none.
        message: what is wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Dialect(Protocol):
    """How a vendor greets and refuses."""

    vendor: Vendor

    def authorize(self, request: Request) -> None:
        """Check the credentials; raises ``Refused``."""
        ...

    def refuse(self, refused: Refused) -> Response:
        """Word a refusal."""
        ...

    def say(self, code: Any, message: str) -> Response:
        """Answer with a code of the vendor in the vendor's form, whatever HTTP status goes with it."""
        ...


@dataclass(frozen=True)
class Desk:
    """What all calls share."""

    truth: Truth
    rate: RateMeter
    faults: FaultBook
    holds: Holds


class Gate:
    """Wraps the calls of one vendor."""

    def __init__(self, desk: Desk, dialect: Dialect) -> None:
        self._desk, self._dialect = desk, dialect

    def guard(self, call: str, handler: Handler, *, public: bool = False, rated: bool = False) -> Handler:
        """The handler of a call with everything around it.

        Args:
            call: its name, as faults and counts know it.
            handler: does the work; raises ``Refused``.
            public: no credentials are asked for, as the link itself is the permission.
            rated: it counts against the allowed rate of queries.
        """
        vendor = self._dialect.vendor

        async def act(request: Request) -> Response:
            try:
                if not public:
                    self._dialect.authorize(request)
                return await handler(request)
            except Refused as refused:
                self._desk.truth.add_refusal(
                    Refusal(vendor=vendor, call=call, code=refused.code, message=refused.message)
                )
                return self._dialect.refuse(refused)

        async def answer(request: Request) -> Response:
            self._desk.truth.count_call(vendor, call)
            if rated and not self._desk.rate.admit(vendor, call):
                return self._dialect.refuse(Refused("429", "Too many requests"))
            fault = self._desk.faults.take(vendor, call)
            try:
                if fault is None:
                    return await act(request)
                return await Spoiler(fault, self._desk.holds, self._dialect.say).answer(request, act)
            except ClientDisconnect:
                # Gone before its request was whole: there is nobody to answer.
                return Cut(hard=False)

        return answer
