"""The sandbox: one server on loopback that speaks the documented protocols of TopView, mingyan and ZEGO.

It is strict where the vendors are, keeps the truth of what was accepted and charged, renders real videos, lets links
expire, sends notices and misbehaves on demand. It was built from the vendors' pages alone and never imports the
studio's vendor clients, so that a mistake in them cannot hide here; what the pages leave open is in
``guesses.py`` and, for ZEGO, in ``zego/guesses.py`` and ``zego/media_guesses.py``.

Start it::

    python -m infra.sandbox --port 4280 --folder .studio/sandbox [--renderer quick|local|clip]

``quick`` draws a simple face within a second; ``local`` asks the studio's own renderer, whose pool must be running;
``clip`` hands out the same few clips of two seconds, for thousands of jobs.
The credentials come from ``SANDBOX_TOPVIEW_UID``, ``SANDBOX_TOPVIEW_KEY``, ``SANDBOX_MINGYAN_KEY``,
``SANDBOX_ZEGO_APP_ID``, ``SANDBOX_ZEGO_SERVER_SECRET`` and ``SANDBOX_ZEGO_CALLBACK_SECRET``, and ZEGO's callbacks go to
``SANDBOX_ZEGO_CALLBACK_URL``; defaults are in ``knobs.Credentials``. Base addresses for clients::

    http://127.0.0.1:4280/topview
    http://127.0.0.1:4280/mingyan/kyyReactApiServer
    http://127.0.0.1:4280/zego

What ZEGO's digital humans say can be seen and heard on http://127.0.0.1:4280/zego/preview.

Steer it, in JSON::

    GET    /control/health     {"ok": true}
    GET    /control/truth      per vendor: submissions (all that were accepted), refusals, calls, over_rate; for ZEGO
                               streams, drives and callbacks instead of submissions
    GET    /control/polls      per vendor and video: when it was accepted and ended, how often it was asked for, and
                               when its end was first seen
    PUT    /control/settings   any of the fields of ``knobs.Knobs``; GET reads them
    POST   /control/faults     {"vendor": "topview", "call": "submit", "fault": "lost_answer", "times": 1, "args": {}}
    DELETE /control/faults     disarms everything and lets held calls go on
    GET    /control/held       calls that are being held; POST /control/release lets them go on
    POST   /control/zego/cut   closes ZEGO's drive sockets hard
    POST   /control/reset      forgets everything

The calls and faults that exist are named in ``faults.py``. Jobs, uploads, streams, charges and settings live in the
folder and survive a SIGKILL, counts but for their last moment; armed faults, held calls and sockets do not.
"""
