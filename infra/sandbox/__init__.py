"""The sandbox: one server on loopback that speaks the documented protocols of TopView and mingyan.

It is strict where the vendors are, keeps the truth of what was accepted and charged, renders real videos, lets links
expire, sends notices and misbehaves on demand. It was built from the vendors' pages alone and never imports the
studio's vendor clients, so that a mistake in them cannot hide here; what the pages leave open is in ``guesses.py``.

Start it::

    python -m infra.sandbox --port 4280 --folder .studio/sandbox [--renderer quick|local|clip]

``quick`` draws a simple face within a second; ``local`` asks the studio's own renderer, whose pool must be running;
``clip`` hands out the same few clips of two seconds, for thousands of jobs.
The credentials come from ``SANDBOX_TOPVIEW_UID``, ``SANDBOX_TOPVIEW_KEY`` and ``SANDBOX_MINGYAN_KEY`` (defaults
``sandbox-uid``, ``sandbox-topview-key``, ``sandbox-mingyan-key``). Base addresses for clients::

    http://127.0.0.1:4280/topview
    http://127.0.0.1:4280/mingyan/kyyReactApiServer

Steer it, in JSON::

    GET    /control/health     {"ok": true}
    GET    /control/truth      per vendor: submissions (all that were accepted), refusals, calls, over_rate
    GET    /control/polls      per vendor and video: when it was accepted and ended, how often it was asked for, and
                               when its end was first seen
    PUT    /control/settings   any of the fields of ``knobs.Knobs``; GET reads them
    POST   /control/faults     {"vendor": "topview", "call": "submit", "fault": "lost_answer", "times": 1, "args": {}}
    DELETE /control/faults     disarms everything and lets held calls go on
    GET    /control/held       calls that are being held; POST /control/release lets them go on
    POST   /control/reset      forgets everything

The calls and faults that exist are named in ``faults.py``. Jobs, uploads, charges and settings live in the folder and
survive a SIGKILL, counts but for their last moment; armed faults and held calls do not.
"""
