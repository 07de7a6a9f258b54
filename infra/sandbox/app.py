"""Puts the sandbox together: one ASGI app with all vendors, the bucket, the result links and the control side."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from infra.sandbox.control import Control
from infra.sandbox.dates import ZEGO_PATH, Dated
from infra.sandbox.faults import FaultBook, Holds
from infra.sandbox.files import Bucket, Results
from infra.sandbox.gate import Desk, Gate
from infra.sandbox.house import Folders, House
from infra.sandbox.knobs import Credentials
from infra.sandbox.material import Renderer
from infra.sandbox.mingyan.jobs import MingyanJobs
from infra.sandbox.mingyan.service import MingyanDialect, MingyanService
from infra.sandbox.rate import RateMeter
from infra.sandbox.records import Vendor
from infra.sandbox.renders import VendorJobs, Workshop
from infra.sandbox.signing import Signer
from infra.sandbox.topview.catalogues import Catalogues
from infra.sandbox.topview.credits import Credits
from infra.sandbox.topview.envelope import TopViewDialect
from infra.sandbox.topview.jobs import TopViewJobs
from infra.sandbox.topview.notices import NoticeSender
from infra.sandbox.topview.tasks import Tasks, task_result
from infra.sandbox.topview.uploads import Uploads
from infra.sandbox.truth import Truth
from infra.sandbox.zego.vendor import Zego


def build_app(folder: Path, renderer: Renderer, credentials: Credentials, host: str) -> Starlette:
    """A sandbox that keeps its state in a folder, and goes on there with what was left unfinished.

    Args:
        folder: where the state is kept.
        renderer: who makes the videos.
        credentials: who may call.
        host: IP address that ZEGO's drive socket listens on.
    """
    folders = Folders(folder)
    folders.prepare()
    truth, signer = Truth(folder / "truth.db"), Signer(folder / "link.key")
    rate, faults, holds = RateMeter(truth), FaultBook(), Holds()
    bucket, results = Bucket(truth, signer, folders.uploads), Results(truth, signer, folders.results)
    uid, key = credentials.topview_uid, credentials.topview_key

    notices = NoticeSender(truth, uid, lambda job: task_result(job, results, job.origin))
    jobs: dict[Vendor, VendorJobs] = {
        "topview": TopViewJobs(truth, bucket, notices),
        "mingyan": MingyanJobs(truth, folders.inputs),
    }
    workshop = Workshop(truth, folders.results, renderer, jobs)

    desk = Desk(truth, rate, faults, holds)
    gates: dict[Vendor, Gate] = {
        "topview": Gate(desk, TopViewDialect(uid, key)),
        "mingyan": Gate(desk, MingyanDialect(credentials.mingyan_key)),
    }
    uploads, catalogues = Uploads(truth, bucket), Catalogues(truth)
    tasks = Tasks(
        truth=truth, faults=faults, uploads=uploads, catalogues=catalogues, results=results, workshop=workshop
    )
    parts = (uploads, catalogues, tasks, notices, Credits(truth, uid, key))
    mingyan = MingyanService(truth, faults, results, workshop)
    zego = Zego(desk, folders.inputs, credentials, host)
    house = House(folders, truth, rate, faults, holds, workshop, zego)

    put = gates["topview"].guard("upload_put", bucket.put, public=True)
    downloads = [
        Route(f"/files/{vendor}/{{name}}", gate.guard("result", results.getter(vendor), public=True))
        for vendor, gate in gates.items()
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - ASGI's form
        workshop.resume()
        await zego.start()
        yield
        holds.release()
        await zego.stop()
        await workshop.stop()
        truth.close()

    return Starlette(
        routes=[
            Mount("/control", routes=Control(house).routes()),
            Mount("/topview", routes=[route for part in parts for route in part.routes(gates["topview"])]),
            Mount("/mingyan", routes=mingyan.routes(gates["mingyan"])),
            Mount(ZEGO_PATH, routes=zego.routes()),
            Route("/bucket/topview/{file_id}", put, methods=["PUT"]),
            *downloads,
        ],
        middleware=[Middleware(Dated, truth)],
        lifespan=lifespan,
    )
