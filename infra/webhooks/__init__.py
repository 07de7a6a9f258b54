"""The receiver of providers' notices: that a job ended, or what becomes of a live stream.

A notice is a hint: it wakes whoever waits, and decides nothing.

Start it with ``python -m infra.webhooks --host 127.0.0.1 --port 8350``. It reads ``STUDIO_WEBHOOK_SECRET``,
``STUDIO_ZEGO_CALLBACK_SECRET`` and the address of the ledger from the environment, as every part of the studio does.
Providers reach it through a proxy of the operator's, whose public address is ``STUDIO_WEBHOOK_URL``; from a proxy on
this machine the caller's address is taken from ``X-Forwarded-For``, another one is named in ``FORWARDED_ALLOW_IPS``.
"""
