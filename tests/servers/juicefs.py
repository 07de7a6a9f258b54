"""The JuiceFS gateway, which speaks S3 through MinIO's own front end, as a test server."""

import subprocess
from pathlib import Path

from tests.servers.objectserver import START_SECONDS, ObjectServer, program


class JuiceServer(ObjectServer):
    """``juicefs gateway`` over a local folder and a SQLite catalogue."""

    name = "JuiceFS gateway"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._catalogue = f"sqlite3://{folder / 'catalogue.db'}"
        blocks = str(folder / "blocks")
        subprocess.run(
            [
                program("juicefs"),
                "format",
                "--storage",
                "file",
                "--bucket",
                blocks,
                "--trash-days",
                "0",
                self._catalogue,
                "studio",
            ],
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def environment(self) -> dict[str, str]:
        """The root keys of the gateway."""
        return {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}

    def command(self) -> list[str]:
        """Many buckets, real ETags, metadata and tags; nothing phones home."""
        return [
            program("juicefs"),
            "gateway",
            "--multi-buckets",
            "--keep-etag",
            "--object-tag",
            "--object-meta",
            "--no-usage-report",
            "--no-banner",
            "--cache-dir",
            str(self.folder / "cache"),
            "--cache-size",
            "0",
            "--log",
            str(self.folder / "gateway.log"),
            "--metrics",
            f"127.0.0.1:{self.port + 1}",
            "--backup-meta",
            "0",
            self._catalogue,
            self.endpoint,
        ]
