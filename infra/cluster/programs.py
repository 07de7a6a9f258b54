"""What images do before their command: PostgreSQL's makes a cluster, and Docker makes folders."""

import os
import pwd
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.cluster.plan import HOST, Member
from tasks.errors import StudioError

POSTGRES = "postgres"
_INIT_SECONDS = 120


@dataclass(frozen=True)
class Launch:
    """A member's command with what its image would have added, and as whom it runs."""

    command: tuple[str, ...]
    uid: int | None = None
    gid: int | None = None
    """None: as the caller."""


def prepare(member: Member, environment: dict[str, str]) -> Launch:
    """Make what the member expects to find: its folders, and PostgreSQL's cluster.

    Raises:
        StudioError: PostgreSQL is not installed, or its folder cannot be made.
    """
    homes = [Path(environment[name]) for name in ("HOME", "TMPDIR") if name in environment]
    for folder in (member.folder, *member.volumes, *homes):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if member.service != POSTGRES:
        return Launch(member.command)
    user = _unprivileged() if os.getuid() == 0 else None
    (volume,) = member.volumes
    for folder in (member.folder, volume):
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
    data = volume / "data"
    if not (data / "PG_VERSION").exists():
        _make_cluster(member, data, user, environment)
    port = next(iter(member.ports.values()))
    added = [f"listen_addresses={HOST}", f"port={port}", "unix_socket_directories="]
    options = [word for setting in added for word in ("-c", setting)]
    command = (*member.command, "-D", str(data), *options)
    return Launch(command, user.pw_uid, user.pw_gid) if user else Launch(command)


def _make_cluster(member: Member, data: Path, user: pwd.struct_passwd | None, environment: dict[str, str]) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="pg-") as password:
        password.write(environment["POSTGRES_PASSWORD"])
        password.flush()
        if user:
            os.chown(password.name, user.pw_uid, user.pw_gid)
        who = ["-U", environment["POSTGRES_USER"], "--pwfile", password.name]
        _run(["initdb", "-D", str(data), *who, "-A", "scram-sha-256", "-E", "UTF8"], member, user, environment)
    # As the image does: the first database bears the name of POSTGRES_DB.
    script = f'CREATE DATABASE "{environment["POSTGRES_DB"]}"\n'.encode()
    _run(["postgres", "--single", "-D", str(data), "postgres"], member, user, environment, script)


def _run(
    command: list[str], member: Member, user: pwd.struct_passwd | None, environment: dict[str, str], script: bytes = b""
) -> None:
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    try:
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - own fixed commands
            command,
            check=False,
            input=script,
            capture_output=True,
            cwd=member.folder,
            env=environment,
            timeout=_INIT_SECONDS,
            **identity,
        )
    except FileNotFoundError as error:
        raise StudioError(f"there is no {command[0]}.", fix="On Debian: apt-get install postgresql") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace")[-2000:]
        raise StudioError(
            f"{command[0]} failed: {told}",
            fix=f"The user {user.pw_name if user else 'that you are'} must be able to reach {member.folder}.",
        )


def _unprivileged() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StudioError("PostgreSQL does not run as root, and there is no user postgres.", fix="Run it as somebody else.")
