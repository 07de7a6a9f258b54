"""SeaweedFS, the object store that the studio brings along, as a test server."""

import json
import secrets
from pathlib import Path

from tests.servers.objectserver import ObjectServer, program


class SeaweedServer(ObjectServer):
    """``weed mini`` with every listener on loopback and signed internal calls."""

    name = "SeaweedFS"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        keys = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
        (folder / "security.toml").write_text("".join(f'[{key}]\nkey = "{secrets.token_hex(24)}"\n' for key in keys))
        identity = {
            "name": "studio",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (folder / "data").mkdir(exist_ok=True)

    def environment(self) -> dict[str, str]:
        """Bound the server's memory."""
        return {"GOMEMLIMIT": "400MiB", "GOGC": "50"}

    def command(self) -> list[str]:
        """One process; neighbouring ports for its parts."""
        return [
            program("weed"),
            "-logtostderr=true",
            "mini",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={self.port}",
            f"-master.port={self.port + 1}",
            f"-volume.port={self.port + 2}",
            f"-filer.port={self.port + 3}",
            f"-admin.port={self.port + 4}",
            f"-s3.config={self.folder / 's3.json'}",
            f"-s3.localSocket={self.sockets}/s3.sock",
            f"-filer.localSocket={self.sockets}/filer.sock",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.concurrentUploadLimitMB=128",
            "-filer.concurrentUploadLimitMB=128",
            "-volume.concurrentUploadLimitMB=128",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
        ]
