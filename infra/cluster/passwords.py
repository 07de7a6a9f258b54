"""Makes up the passwords of a new cluster: ``python3 -m infra.cluster.passwords >infra/.env``.

Needs nothing but Python, so that a machine that has only Docker can run it. Keep the file: who loses it loses the
access to the databases and to the store.
"""

import secrets
import sys

_BYTES = 20
_ACCESS_KEY_BYTES = 10
"""AWS's access keys have 20 signs, and MinIO takes no more."""

_GENERATED = (
    "POSTGRES_PASSWORD",
    "PREFECT_DATABASE_PASSWORD",
    "LEDGER_DATABASE_PASSWORD",
    "REDIS_PASSWORD",
    "PREFECT_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "WEED_KEY",
    "STUDIO_WEBHOOK_SECRET",
    "STUDIO_ZEGO_CALLBACK_SECRET",
    "SANDBOX_TOPVIEW_UID",
    "SANDBOX_TOPVIEW_KEY",
    "SANDBOX_MINGYAN_KEY",
    "SANDBOX_ZEGO_SERVER_SECRET",
)
"""Letters and digits only: most of them become part of an address."""

_EXAMPLE = """\
# Settings of infra/compose.yaml. Private: made on this machine, in no repository.
{passwords}

# How many workers this machine has, and how many runs each takes on at once.
WORKERS=4
WORKER_RUNS=2

# What providers take, and how much they may; every setting is explained in tasks/settings.py. JSON in single quotes:
# STUDIO_PRICES='{{"topview": {{"per_second": "0.1", "unit": "credits"}}}}'
STUDIO_PRICES={{}}
STUDIO_BUDGETS={{}}
STUDIO_QUERY_RATES={{}}
STUDIO_CONCURRENCY={{}}

# Addresses at which this machine is reached from outside, through a proxy with TLS. The first is signed into every link
# that people and providers are given; to the second, providers tell that a job ended; without it they are not asked to.
# S3_PUBLIC_ENDPOINT=https://media.example.com
# STUDIO_WEBHOOK_URL=https://studio.example.com/notices
# ZEGO calls an address that its support was given; let it lead to /zego of the same service, and put the CallbackSecret
# of your ZEGO project in place of the made-up STUDIO_ZEGO_CALLBACK_SECRET above, which is good for the sandbox only.

# For a store other than the SeaweedFS that comes along:
# S3_ENDPOINT=s3.eu-central-1.amazonaws.com
# S3_SECURE=true
# S3_REGION=eu-central-1

# Where the ports are published; by default on this machine alone.
# PREFECT_BIND=127.0.0.1:4200-4203
# PREFECT_UI_API_URL=http://127.0.0.1:4200/api
"""


def make_environment() -> str:
    """A new settings file with made-up passwords."""
    sizes = dict.fromkeys(_GENERATED, _BYTES) | {"S3_ACCESS_KEY": _ACCESS_KEY_BYTES}
    passwords = "\n".join(f"{name}={secrets.token_hex(size)}" for name, size in sizes.items())
    return _EXAMPLE.format(passwords=passwords)


if __name__ == "__main__":
    sys.stdout.write(make_environment())
