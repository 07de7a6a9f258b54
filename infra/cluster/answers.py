"""Health check of a service: ``python -m infra.cluster.answers URL`` succeeds when the address answers with success."""

import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

_SECONDS = 5


def answers(url: str) -> bool:
    """Whether a plain GET is answered with success; no proxy is asked."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_SECONDS) as answer:
            return bool(200 <= answer.status < 300)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
