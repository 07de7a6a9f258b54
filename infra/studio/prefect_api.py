"""A few plain calls to the studio's own Prefect server, for readiness and status.

Prefect's client takes a second to import; these calls are made where that second counts.
"""

import json
from typing import Any

from infra.studio.config import StudioConfig
from infra.studio.loopback import ask


def call(config: StudioConfig, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the Prefect API and return the decoded answer: GET, or POST when there is a body.

    Raises:
        StudioUnavailable: no answer in time, or one that is not a success.
    """
    return json.loads(ask(config.prefect_port, f"/api{path}", body))
