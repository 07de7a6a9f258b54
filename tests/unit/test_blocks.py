"""The blocks: as Prefect wants them, with safe addresses, and without a secret in anything that is printed."""

import json
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from tasks.blocks import MingyanCredentials, S3Storage, TopViewCredentials, ZegoCredentials
from tasks.blocks.accounts import check_base_url
from tasks.providers.mingyan.client import MingyanClient
from tasks.providers.zego.client import ZegoClient
from tasks.storage import ObjectStore

PLANTED = "planted-secret-4711"
BLOCKS = [S3Storage, TopViewCredentials, MingyanCredentials, ZegoCredentials]


class BlockSuite(BlockStandardTestSuite):
    """Prefect's own tests of a block, but for the logo: that one loads a picture from the internet."""

    test_has_a_valid_image = None


class TestS3Storage(BlockSuite):
    """The storage block."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return S3Storage


class TestTopViewCredentials(BlockSuite):
    """The TopView account."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return TopViewCredentials


class TestMingyanCredentials(BlockSuite):
    """The mingyan account."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return MingyanCredentials


class TestZegoCredentials(BlockSuite):
    """The ZEGO project."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return ZegoCredentials


def planted(kind: type[Block]) -> Block:
    """A block whose every secret field is the planted secret."""
    facts: dict[str, Any] = {
        name: SecretStr(PLANTED) for name, field in kind.model_fields.items() if field.annotation is SecretStr
    }
    if kind is S3Storage:
        facts["endpoint"] = "127.0.0.1:8333"
    if kind is ZegoCredentials:
        facts["app_id"] = 12345
    return kind(**facts)


@pytest.mark.parametrize("kind", BLOCKS)
def test_no_secret_is_printed(kind: type[Block]) -> None:
    """Logs, messages and dumps of a block show stars; the planted secret is really inside."""
    block = planted(kind)

    secrets = [getattr(block, name) for name in kind.model_fields if isinstance(getattr(block, name), SecretStr)]
    assert secrets
    assert {secret.get_secret_value() for secret in secrets} == {PLANTED}
    printed = [repr(block), str(block), block.model_dump_json(), str(block.model_dump()), f"{block.__dict__}"]
    assert all(PLANTED not in text for text in printed)
    assert all("*" in text for text in printed)


@pytest.mark.parametrize("kind", BLOCKS)
def test_secrets_are_declared_to_prefect(kind: type[Block]) -> None:
    """The server stores and shows these fields obfuscated, because the schema says that they are secret."""
    block = planted(kind)
    names = {name for name in kind.model_fields if isinstance(getattr(block, name), SecretStr)}

    assert set(kind.model_json_schema()["secret_fields"]) == names


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_mistake_does_not_print_secrets(kind: type[Block]) -> None:
    """What a wrong field's message quotes is that field, not the ones beside it."""
    wrong = {"public_endpoint": "ftp://x"} if kind is S3Storage else {"base_url": "ftp://x"}
    with pytest.raises(ValidationError) as caught:
        kind(**(planted(kind).model_dump() | wrong))

    assert PLANTED not in str(caught.value)


def test_clients_are_made_with_the_accounts_facts() -> None:
    """The clients get the unwrapped keys and do not print them either."""
    mingyan = planted(MingyanCredentials)
    assert isinstance(mingyan, MingyanCredentials)
    client = mingyan.get_client()
    assert isinstance(client, MingyanClient)
    assert client._headers() == {"Authorization": f"Bearer {PLANTED}"}
    assert PLANTED not in repr(client)

    topview = planted(TopViewCredentials)
    assert isinstance(topview, TopViewCredentials)
    assert PLANTED not in repr(topview.get_client())

    zego = planted(ZegoCredentials)
    assert isinstance(zego, ZegoCredentials)
    project = zego.get_client()
    assert isinstance(project, ZegoClient)
    assert project.base_url == "https://aigc-digitalhuman-api.zegotech.cn"
    assert (project._api._app_id, project._api._secret) == (12345, PLANTED)
    assert PLANTED not in f"{project!r} {project._api!r}"

    storage = planted(S3Storage)
    assert isinstance(storage, S3Storage)
    store = storage.get_store()
    assert isinstance(store, ObjectStore)
    assert PLANTED not in repr(store)


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("https://api.topview.ai", "https://api.topview.ai"),
        ("https://api.topview.ai/", "https://api.topview.ai"),
        (" https://reseller.example/path// ", "https://reseller.example/path"),
        ("https://reseller.example:8443", "https://reseller.example:8443"),
        ("http://127.0.0.1:8700/topview", "http://127.0.0.1:8700/topview"),
        ("http://localhost:8700", "http://localhost:8700"),
        ("http://10.0.0.5:8700", "http://10.0.0.5:8700"),
    ],
)
def test_good_addresses_are_kept(written: str, used: str) -> None:
    """TLS anywhere; plain HTTP only inside our own network."""
    assert check_base_url(written) == used


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "not an address"),
        ("api.topview.ai", "not an address"),
        ("ftp://api.topview.ai", "not an address"),
        ("https://", "not an address"),
        ("https:///v1", "not an address"),
        ("https://bücher.example", "not an address"),
        ("http://api.topview.ai", "in clear"),
        ("http://8.8.8.8", "in clear"),
        ("http://127.0.0.1.example.com", "in clear"),
        ("http://localhost.example.com", "in clear"),
        ("https://me:secret@api.topview.ai", "more than host and path"),
        ("https://me@api.topview.ai", "more than host and path"),
        ("https://api.topview.ai/?key=1", "more than host and path"),
        ("https://api.topview.ai/#top", "more than host and path"),
    ],
)
def test_bad_addresses_are_refused(written: str, said: str) -> None:
    """The key travels with every call, so an address that leaks it, or is none, is refused with the way out."""
    with pytest.raises(ValueError, match=said) as caught:
        check_base_url(written)

    assert "https://" in str(caught.value)
    assert "me:secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [TopViewCredentials, MingyanCredentials, ZegoCredentials])
@pytest.mark.parametrize("account", ["", "a" * 101, "new\nline", "<b>", "账户"])
def test_account_labels_stay_plain(kind: type[Block], account: str) -> None:
    """The label is part of keys, logs and tables, so it is short and of plain signs."""
    with pytest.raises(ValidationError):
        kind(**(planted(kind).model_dump() | {"account": account}))


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_found_by_their_names(kind: type[Block]) -> None:
    """Slugs are part of stored blocks' addresses and must not change with a refactoring."""
    slugs = {"S3Storage": "s3-storage", "TopViewCredentials": "topview-credentials"}
    slugs |= {"MingyanCredentials": "mingyan-credentials", "ZegoCredentials": "zego-credentials"}

    assert kind.get_block_type_slug() == slugs[kind.__name__]
    assert json.dumps(kind.model_json_schema())


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_missing_field_does_not_print_secrets(kind: type[Block]) -> None:
    """A form that is filled in half, keys as plain text, is refused without quoting the rest of it."""
    names = [name for name, field in kind.model_fields.items() if field.annotation is SecretStr]
    first: dict[str, Any] = {names[0]: "key-4711"}
    if kind is MingyanCredentials:
        first |= {"account": "new\nline", "base_url": "ftp://x"}
    if kind is S3Storage:
        first |= {"archive_bucket": "one", "staging_bucket": "one"}
    if kind is ZegoCredentials:
        first |= {"app_id": 0}
    with pytest.raises(ValidationError) as caught:
        kind(**first)

    assert "key-4711" not in str(caught.value)


@pytest.mark.parametrize("app_id", [0, -1, 2**32, "app", 1.5])
def test_an_app_id_is_a_number_of_32_bits(app_id: object) -> None:
    """A secret that was pasted into the wrong field is refused before anything is sent, and not quoted."""
    with pytest.raises(ValidationError, match="app_id") as caught:
        ZegoCredentials.model_validate({"app_id": app_id, "server_secret": PLANTED})

    assert PLANTED not in str(caught.value)


def test_the_exception_for_the_sockets_certificate_is_asked_for() -> None:
    """Nobody sends speech to an unverified address without having ticked it."""
    block = planted(ZegoCredentials)
    assert isinstance(block, ZegoCredentials)

    assert block.unverified_socket is False
    assert ZegoCredentials.model_json_schema()["properties"]["unverified_socket"]["title"] == (
        "Accept the drive socket's certificate unseen"
    )
