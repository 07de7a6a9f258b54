"""ZEGO's signatures: the vendor's own numbers, and nothing shared between two calls."""

import hashlib
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.providers.zego import signature
from tasks.providers.zego.signature import callback_signature, is_callback_genuine, sign, signed_params

# Published in the vendor's sample for calls; section 1.3 of the page.
APP_ID, NONCE, SECRET, TIMESTAMP = 12345, "4fd24687296dd9f3", "9193cc662a4c0ec135ec71fb57194b38", 1615186943
SIGNATURE = "43e5cfcca828314675f91b001390566a"
# Published for callbacks; section 6.
CALLBACK = ("secret", "1470820198", "123412")
CALLBACK_SIGNATURE = "5bd59fd62953a8059fb7eaba95720f66d19e4517"


def test_a_call_is_signed_as_the_vendor_documents() -> None:
    """The published example comes out digit by digit."""
    assert sign(APP_ID, NONCE, SECRET, TIMESTAMP) == SIGNATURE


def test_a_callback_is_signed_as_the_vendor_documents() -> None:
    """The published example comes out digit by digit, and is taken for genuine."""
    assert callback_signature(*CALLBACK) == CALLBACK_SIGNATURE
    assert is_callback_genuine(*CALLBACK, CALLBACK_SIGNATURE)


def test_the_query_carries_exactly_what_was_signed() -> None:
    """Nonce and time that are sent are those in the signature; the time is in whole seconds."""
    params = signed_params(APP_ID, SECRET, "DoAction", now=1615186943.9)

    assert params.keys() == {"Action", "AppId", "SignatureNonce", "Timestamp", "Signature", "SignatureVersion"}
    assert (params["Action"], params["AppId"], params["Timestamp"]) == ("DoAction", "12345", "1615186943")
    assert params["SignatureVersion"] == "2.0"
    text = "12345" + params["SignatureNonce"] + SECRET + "1615186943"
    assert params["Signature"] == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert SECRET not in str(params)


def test_no_two_tries_share_a_nonce() -> None:
    """A repeated query would be a replay; the documented shape is 16 lower-case hex digits."""
    nonces = {signed_params(APP_ID, SECRET, "DoAction", now=1)["SignatureNonce"] for _ in range(1000)}

    assert len(nonces) == 1000
    assert all(len(nonce) == 16 and set(nonce) <= set("0123456789abcdef") for nonce in nonces)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        CALLBACK_SIGNATURE[:-1],
        CALLBACK_SIGNATURE + "0",
        CALLBACK_SIGNATURE.upper(),
        "6" + CALLBACK_SIGNATURE[1:],
        "ü" * 40,
        "\ud800",
    ],
)
def test_a_wrong_signature_is_not_genuine(wrong: str) -> None:
    """Cut, extended, changed or not even text of this world: refused without an error."""
    assert not is_callback_genuine(*CALLBACK, wrong)


def test_without_a_secret_nothing_is_genuine() -> None:
    """Anybody can sign with an empty secret."""
    assert not is_callback_genuine("", *CALLBACK[1:], callback_signature("", *CALLBACK[1:]))


@given(st.text(min_size=1), st.text(), st.text(), st.text())
def test_only_the_right_secret_makes_a_callback_genuine(secret: str, timestamp: str, nonce: str, other: str) -> None:
    """Whatever texts a stranger sends, checking never fails, and another secret's signature is refused."""
    signed = callback_signature(secret, timestamp, nonce)

    assert is_callback_genuine(secret, timestamp, nonce, signed)
    if "".join(sorted((other, timestamp, nonce))) != "".join(sorted((secret, timestamp, nonce))):
        assert not is_callback_genuine(other, timestamp, nonce, signed)


def test_signatures_are_compared_in_constant_time() -> None:
    """How long a refusal takes must not tell how much of a guess was right."""
    source = inspect.getsource(signature.is_callback_genuine)

    assert "hmac.compare_digest" in source
    assert "==" not in source
