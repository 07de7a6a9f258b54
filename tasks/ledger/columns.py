"""Column types that mean the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

_MONEY = Decimal("0.000001")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Always aware, always UTC; a naive datetime is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values; SQLite keeps no offset, so it gets plain UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: the ledger takes aware ones only")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give every value back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Money(TypeDecorator[Decimal]):
    """An exact amount with six decimals; SQLite has no decimals, so it keeps whole millionths."""

    impl = Numeric(20, 6)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the stored form."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(20, 6))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Round to millionths, the same on both databases."""
        if value is None:
            return None
        amount = Decimal(value).quantize(_MONEY)
        return int(amount.scaleb(6)) if dialect.name == "sqlite" else amount

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Give every amount back with six decimals."""
        if value is None:
            return None
        return (Decimal(int(value)).scaleb(-6) if dialect.name == "sqlite" else Decimal(value)).quantize(_MONEY)


class FreeText(TypeDecorator[str]):
    """Words from people and vendors; what PostgreSQL cannot store (NUL, lone surrogates) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be stored rather than lose the row that carries it."""
        _ = dialect
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
