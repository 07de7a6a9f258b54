"""infra/compose.yaml: understood in full, made of real settings, without a secret, and what the launcher starts."""

import io
import os
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from prefect.settings.legacy import _get_valid_setting_names
from prefect.settings.models.root import Settings
from prefect_redis.cleanup_queue import RedisWorkerCleanupQueueSettings
from prefect_redis.client import RedisMessagingSettings
from prefect_redis.messaging import RedisMessagingConsumerSettings, RedisMessagingPublisherSettings
from pydantic_settings import BaseSettings

from infra.cluster.__main__ import make_plan
from infra.cluster.compose import COMPOSE_FILE, Compose, fill_in, read_compose, seconds
from infra.cluster.member_process import MemberProcess
from infra.cluster.passwords import make_environment
from infra.cluster.plan import CONTAINERFILE, IMAGE, SOURCE, Member, Plan, read_image_environment
from infra.cluster.settings import DatabaseSettings, SetupSettings
from infra.cluster.setup import check_accounts
from infra.studio.config import SANDBOX_BLOCKS, SANDBOX_PRICES, SANDBOX_ZEGO_APP_ID, StudioConfig
from tasks.errors import StudioError
from tasks.settings import StudioSettings

SANDBOX_FILE = SOURCE / "infra" / "image" / "sandbox.env"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - is looked for, never bound
HOST_ONLY = {"PATH", "LANG", "NO_PROXY", "no_proxy", "HOSTNAME", "TMPDIR", "CLUSTER_FOLDER", "CLUSTER_MEMBER"}
"""What every process has beside the image's and the file's variables; Docker sets the like for containers."""
SECRET = re.compile(r"PASSWORD|SECRET|_KEY|_UID|AUTH|(DATABASE|REDIS|LEDGER|POSTGRES|DOCKET|QUEUE).*_URL$")


def generated() -> dict[str, str]:
    """The settings of a new cluster."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(make_environment())).items()}


def sandbox_settings() -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(SANDBOX_FILE, interpolate=False).items()}


@pytest.fixture
def compose() -> Compose:
    """The file with new passwords."""
    return read_compose(generated())


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A cluster with the sandbox and three workers."""
    return make_plan(tmp_path, workers=3, sandbox=True, variables={})


def variables(compose: Compose, prefix: str) -> set[str]:
    """Names of all variables with this prefix that any service sets."""
    names = chain.from_iterable(service.environment for service in compose.services.values())
    return {name for name in names if name.startswith(prefix)}


def names_of(settings: type[BaseSettings]) -> set[str]:
    """The variables that a class reads."""
    return {f"{settings.model_config['env_prefix']}{name}".upper() for name in settings.model_fields}


# The file


def test_a_key_that_the_launcher_does_not_know_is_refused(tmp_path: Path) -> None:
    """Whoever adds a key to the file learns that the launcher would ignore it."""
    content = yaml.safe_load(COMPOSE_FILE.read_text())
    content["services"]["worker"]["ulimits"] = {"nofile": 1024}
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(content))

    with pytest.raises(StudioError, match=r"services\.worker\.ulimits"):
        read_compose(generated(), file)


def test_new_settings_fill_every_required_variable() -> None:
    """The file that is made up for a new cluster is complete, and nothing in it is without use."""
    names = set(re.findall(r"\$\{(\w+)", COMPOSE_FILE.read_text()))

    assert set(generated()) <= names
    assert set(sandbox_settings()) <= names
    read_compose(generated())


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\$\{(\w+):\?", COMPOSE_FILE.read_text()))))
def test_a_required_variable_that_is_missing_is_named(name: str) -> None:
    """Nothing starts with an empty password."""
    with pytest.raises(StudioError, match=name):
        read_compose(generated() | {name: ""})


@pytest.mark.parametrize(
    ("text", "filled"),
    [("${A}-$$B", "1-$B"), ("${C:-x y}", "x y"), ("${A:?why}", "1"), ("${C:-}", ""), ("plain", "plain")],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    """The forms that the file uses."""
    assert fill_in(text, {"A": "1"}) == filled


@pytest.mark.parametrize("text", ["$A", "${A", "${A:+x}", "${A:-${B}}", "${C:?}"])
def test_other_forms_are_refused(text: str) -> None:
    """A form that Compose would fill in otherwise is no plain text here."""
    with pytest.raises(StudioError):
        fill_in(text, {"A": "1"})


def test_every_prefect_variable_is_a_setting_of_prefect(compose: Compose) -> None:
    """A misspelt setting would be ignored by Prefect without a word."""
    redis = (
        RedisMessagingSettings,
        RedisMessagingPublisherSettings,
        RedisMessagingConsumerSettings,
        RedisWorkerCleanupQueueSettings,
    )
    known = _get_valid_setting_names(Settings) | set().union(*map(names_of, redis))

    found = variables(compose, "PREFECT_")

    assert found - known == set()
    assert len(found) > 20


def test_every_variable_of_the_studio_is_a_setting(compose: Compose) -> None:
    """The same for the studio's own."""
    known = names_of(StudioSettings) | names_of(StudioConfig) | {"STUDIO_SOURCE"}

    assert (variables(compose, "STUDIO_") | set(read_image_environment())) - known == {
        "HOME",
        "PREFECT_HOME",
        "PYTHONUNBUFFERED",
    }
    assert variables(compose, "CLUSTER_") == names_of(SetupSettings) | names_of(DatabaseSettings)


def test_values_are_accepted_by_the_settings(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file and the made-up settings say can be read by those who read it."""
    for service in ("worker", "setup", "database"):
        for name, value in compose.services[service].environment.items():
            monkeypatch.setenv(name, value)

    settings = StudioSettings()

    assert settings.ledger_url == compose.services["worker"].environment["STUDIO_LEDGER_URL"]
    check_accounts(SetupSettings(), settings)
    assert DatabaseSettings().postgres_url.get_secret_value().startswith("postgresql+asyncpg://studio:")


def test_images_are_pinned(compose: Compose) -> None:
    """No image changes under a running cluster."""
    images = {service.image for service in compose.services.values()}
    images |= set(re.findall(r"^FROM (\S+)", CONTAINERFILE.read_text(), re.MULTILINE))

    assert [image for image in images if not re.search(r":[\w.-]*\d+\.?[\w.-]*$", image)] == []
    assert [image for image in images if re.search(r":(latest|stable|\d+)$", image)] == []


def test_no_secret_is_written_in_the_file() -> None:
    """Two clusters share no password: every secret comes from outside."""
    one, other = read_compose(generated()), read_compose(generated())

    checked = 0
    for name, service in one.services.items():
        for key, value in service.environment.items():
            if SECRET.search(key) and not key.endswith("EXPIRES_AFTER_SECONDS"):
                assert value != other.services[name].environment[key], (name, key)
                checked += 1
    assert checked > 20


def test_passwords_are_on_no_command_line() -> None:
    """Everybody on a machine may read command lines."""
    settings = generated()
    passwords = [value for value in settings.values() if re.fullmatch(r"[0-9a-f]{20,}", value)]
    words = [word for service in read_compose(settings).services.values() for word in service.command]

    assert len(passwords) > 10
    assert [word for word in words for password in passwords if password in word] == []


def test_ports_are_published_on_this_machine_alone(compose: Compose) -> None:
    """Nothing is reachable from outside unless somebody says so."""
    published = [port for service in compose.services.values() for port in service.ports]

    assert len(published) == 5
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_everything_starts_after_what_it_needs(compose: Compose) -> None:
    """No service waits for one that is not always there, or for a check that it does not have."""
    for name, service in compose.services.items():
        for need, dependency in service.depends_on.items():
            needed = compose.services[need]
            assert not needed.profiles, (name, need)
            if dependency.condition == "service_healthy":
                assert needed.healthcheck, (name, need)
            if dependency.condition == "service_completed_successfully":
                assert needed.restart == "no", (name, need)


def test_only_those_who_need_a_password_have_it() -> None:
    """A worker, which runs flows, knows neither Prefect's database nor Redis nor the superuser."""
    settings = generated()
    services = read_compose(settings).services

    def knowing(name: str) -> set[str]:
        return {
            service
            for service, found in services.items()
            if any(settings[name] in v for v in found.environment.values())
        }

    assert knowing("POSTGRES_PASSWORD") == {"postgres", "database"}
    assert knowing("PREFECT_DATABASE_PASSWORD") == {"database", "prefect-server", "prefect-services"}
    assert knowing("LEDGER_DATABASE_PASSWORD") == {"database", "worker", "webhooks"}
    assert knowing("REDIS_PASSWORD") == {"redis", "database", "prefect-server", "prefect-services"}
    assert knowing("S3_SECRET_KEY") == {"seaweedfs", "minio", "setup"}
    assert knowing("STUDIO_ZEGO_CALLBACK_SECRET") == {"webhooks", "sandbox", "setup"}


def test_the_image_gets_what_it_copies() -> None:
    """Every file that the image is made of is there, and let through to the builder."""
    sources = re.findall(r"^COPY (.+) \S+$", CONTAINERFILE.read_text(), re.MULTILINE)
    let_through = CONTAINERFILE.with_name("Containerfile.dockerignore").read_text().splitlines()

    for source in chain.from_iterable(line.split() for line in sources):
        assert (SOURCE / source).exists(), source
        assert f"!{source}" in let_through, source


def test_all_four_keys_close_the_store(compose: Compose) -> None:
    """SeaweedFS without one of them serves its internal ports to everybody; and it reports home unless told not to."""
    service = compose.services["seaweedfs"]
    keys = [value for name, value in service.environment.items() if name.startswith("WEED_JWT") and "KEY" in name]

    assert len(set(keys)) == 4
    assert {"-master.telemetry=false", "-disableHttp", "-admin.ui=false"} <= set(service.command)


# The sandbox's settings


def test_sandbox_settings_are_those_of_the_embedded_studio() -> None:
    """The same accounts and the same made-up prices."""
    settings = sandbox_settings()

    assert {name: settings[name] for name in SANDBOX_BLOCKS} == SANDBOX_BLOCKS
    assert yaml.safe_load(settings["STUDIO_PRICES"]) == SANDBOX_PRICES


def test_sandbox_has_the_zego_project_that_setup_saves(compose: Compose) -> None:
    """The number of the project is no secret, so it is written down twice; the secrets come from one place each."""
    sandbox, setup, webhooks = (compose.services[name].environment for name in ("sandbox", "setup", "webhooks"))

    assert sandbox["SANDBOX_ZEGO_APP_ID"] == str(SANDBOX_ZEGO_APP_ID)
    assert sandbox["SANDBOX_ZEGO_SERVER_SECRET"] == setup["CLUSTER_ZEGO_SERVER_SECRET"]
    callback_secrets = {
        sandbox["SANDBOX_ZEGO_CALLBACK_SECRET"],
        setup["CLUSTER_ZEGO_CALLBACK_SECRET"],
        webhooks["STUDIO_ZEGO_CALLBACK_SECRET"],
    }
    assert len(callback_secrets) == 1
    assert all(len(secret) == 40 for secret in callback_secrets)


@pytest.mark.parametrize("block", ["topview", "topview-sandbox"])
def test_sandbox_beside_real_accounts_is_refused(block: str) -> None:
    """Half of the sandbox's settings would send a trial to a vendor that takes money."""
    setup = SetupSettings(s3_endpoint="s3:1", s3_access_key="a", s3_secret_key="b", sandbox_url="http://sandbox:8340")

    with pytest.raises(StudioError, match=r"sandbox\.env"):
        check_accounts(setup, StudioSettings(topview_block=block, mingyan_block="mingyan"))
    with pytest.raises(StudioError, match=r"sandbox\.env"):
        check_accounts(setup, StudioSettings(topview_block="topview-sandbox", mingyan_block="mingyan-sandbox"))
    with pytest.raises(StudioError, match=r"sandbox\.env"):
        check_accounts(
            setup.model_copy(update={"sandbox_url": ""}),
            StudioSettings(topview_block="topview-sandbox", mingyan_block="mingyan"),
        )


# What the launcher makes of it


def in_container(text: str, member: Member, plan: Plan) -> str:
    """A value of a process, told in the words of the compose file again."""
    service = plan.services[member.service]
    back = {
        plan.address(name, int(port)): f"{name}:{port}" for name, one in plan.services.items() for port in one.expose
    }
    back |= {str(plan.folder / "volumes" / volume.split(":")[0]): volume.split(":")[1] for volume in service.volumes}
    back |= {str(plan.folder / "homes" / member.name): "/home/studio", str(SOURCE): "/opt/studio"}
    for here, there in back.items():
        text = re.sub(rf"{re.escape(here)}(?![\w-])", there, text)
    return text


def settings_of(plan: Plan) -> dict[str, str]:
    """The variables that the plan's file was filled with."""
    own = {"WORKERS": "3", "S3_PUBLIC_ENDPOINT": "http://seaweedfs:8333"}
    own["PREFECT_UI_API_URL"] = "http://prefect-server:4200/api"
    made = {name: value or "" for name, value in dotenv_values(plan.folder / "cluster.env").items()}
    return made | sandbox_settings() | own


def test_processes_get_exactly_the_environment_of_the_file(plan: Plan) -> None:
    """Addresses and folders aside, a process sees what its container would see: no more, no less, nothing else."""
    services = read_compose(settings_of(plan)).services
    members = list(chain.from_iterable(plan.members.values()))

    assert len(members) == 13
    for member in members:
        service = services[member.service]
        image = read_image_environment() if service.image.startswith(f"{IMAGE}:") else {}
        told = {name: in_container(value, member, plan) for name, value in member.environment.items()}
        assert told == image | service.environment, member.name


def test_processes_run_the_commands_of_the_file(plan: Plan) -> None:
    """The same programs with the same options; the numbers of ports and the address to listen on differ."""
    services = read_compose(settings_of(plan)).services
    for member in chain.from_iterable(plan.members.values()):
        ports = {str(here): str(there) for there, here in member.ports.items()}

        def told(word: str, member: Member = member, ports: dict[str, str] = ports) -> str:
            word = in_container(word, member, plan)
            word = re.sub(r"\d+", lambda found: ports.get(found[0], found[0]), word)
            return re.sub(r"127\.0\.0\.1|0\.0\.0\.0", "ADDRESS", word)

        wanted = [
            re.sub(r"127\.0\.0\.1|0\.0\.0\.0", "ADDRESS", word).replace(f"-ip={member.service}", "-ip=ADDRESS")
            for word in services[member.service].command
        ]
        assert [told(word) for word in member.command] == wanted
        assert ANY_ADDRESS not in " ".join(member.command)


def test_nothing_of_the_callers_environment_is_inherited(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own Prefect or studio settings do not reach the cluster."""
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("STUDIO_PRICES", "{}")
    monkeypatch.setenv("SOMETHING", "else")
    for member in chain.from_iterable(plan.members.values()):
        environment = MemberProcess(member, plan.folder, 1).environment()

        assert set(environment) - set(member.environment) - {"PYTHONPYCACHEPREFIX"} == HOST_ONLY
        assert {name: environment[name] for name in member.environment} == member.environment


def test_every_container_has_ports_of_its_own(plan: Plan) -> None:
    """Replicas listen beside each other, and behind the address that their clients get."""
    ports = [port for member in chain.from_iterable(plan.members.values()) for port in member.ports.values()]
    servers = {str(member.ports[4200]) for member in plan.members["prefect-server"]}

    assert len(ports) == len(set(ports))
    assert plan.address("prefect-server", 4200).partition(":")[2] not in servers
    assert (
        plan.members["worker"][0].environment["PREFECT_API_URL"] == f"http://{plan.address('prefect-server', 4200)}/api"
    )


def test_settings_are_made_once(tmp_path: Path) -> None:
    """A cluster that is started again finds its databases with the same passwords; nobody else can read them."""
    one = make_plan(tmp_path, workers=1, sandbox=False, variables={})
    again = make_plan(tmp_path, workers=1, sandbox=False, variables={})

    def password(plan: Plan) -> Any:
        return plan.members["postgres"][0].environment["POSTGRES_PASSWORD"]

    assert password(one) == password(again)
    assert (tmp_path / "cluster.env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("2m", 120)])
def test_durations(text: str, expected: float) -> None:
    """The forms that the file uses; any other is refused."""
    assert seconds(text) == expected
    with pytest.raises(StudioError):
        seconds("1h30m")


def test_no_worker_can_be_named_twice(plan: Plan) -> None:
    """Workers of one pool are told apart by their names."""
    names = {MemberProcess(member, plan.folder, 1).environment()["HOSTNAME"] for member in plan.members["worker"]}

    assert len(names) == 3
    assert "$HOSTNAME" in " ".join(plan.members["worker"][0].command)
    assert os.environ.get("HOSTNAME") not in names
