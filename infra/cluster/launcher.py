"""Starts the services of the compose file in the order that they need each other, keeps them up, and stops them."""

import asyncio
import logging
import os
import time
from collections.abc import Iterable

from infra.cluster.compose import Condition, Service, seconds
from infra.cluster.front import Front
from infra.cluster.member_process import MemberProcess, end_leftovers, host_environment
from infra.cluster.plan import Plan
from infra.cluster.state import ClusterState, MemberState, Phase, write_state
from infra.studio.restarts import RestartBudget
from tasks.errors import StudioUnavailable

_LEFTOVER_SECONDS = 5.0
_PASS_THROUGH = 0o711
_LOOK_EVERY_SECONDS = 0.3
"""Docker looks at the check's interval; starts here are waited for by people and tests."""

log = logging.getLogger("studio.cluster")


class Launcher:
    """Runs one cluster.

    Args:
        plan: what to run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._folder = plan, plan.folder
        self._processes = {
            member.name: MemberProcess(member, plan.folder, seconds(plan.services[member.service].stop_grace_period))
            for members in plan.members.values()
            for member in members
        }
        self._fronts = [
            Front(int(plan.address(name, port).rpartition(":")[2]), [member.ports[port] for member in members])
            for name, members in plan.members.items()
            for port in map(int, plan.services[name].expose)
            if len(members) > 1
        ]
        self._reached = {(name, condition): asyncio.Event() for name in plan.services for condition in _CONDITIONS}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.state = ClusterState(
            launcher=os.getpid(),
            members={name: MemberState() for name in self._processes},
            addresses=_addresses(plan),
            environment=host_environment(plan.folder) | plan.members["worker"][0].environment,
        )

    async def up(self) -> None:
        """Start everything and wait until it can be used.

        Raises:
            StudioError: something did not start; what did runs on.
        """
        # PostgreSQL's user passes through; what is inside is private.
        self._folder.chmod(_PASS_THROUGH)
        for name in ("homes", "logs", "tmp", "volumes"):
            (self._folder / name).mkdir(mode=_PASS_THROUGH, exist_ok=True)
        if left := end_leftovers(self._folder, grace_seconds=_LEFTOVER_SECONDS):
            log.warning("ended processes of an earlier launcher pids=%s", left)
        self._write()
        for front in self._fronts:
            await front.start()
        try:
            async with asyncio.TaskGroup() as starting:
                for name in self._plan.services:
                    starting.create_task(self._bring_up(name))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        self.note_phase("ready")

    async def down(self) -> None:
        """Stop everything: who needs others stops before them."""
        self._stopping = True
        self.note_phase("stopping")
        waiting = list(self._plan.services)
        while waiting:
            needed = {need for name in waiting for need in self._plan.services[name].depends_on}
            now = [name for name in waiting if name not in needed]
            await asyncio.gather(*(self.stop(member.name) for name in now for member in self._plan.members[name]))
            waiting = [name for name in waiting if name in needed]
        for front in self._fronts:
            await front.stop()
        end_leftovers(self._folder, grace_seconds=_LEFTOVER_SECONDS)

    async def start(self, member: str) -> None:
        """Start a member that was stopped or killed, and wait until it is healthy."""
        process = self._processes[member]
        await self._start(process)
        await self._until_healthy(process)

    async def stop(self, member: str) -> None:
        """Stop a member; it stays down."""
        await self._let_go(member)
        await self._processes[member].stop()
        self._note(member, "stopped")

    async def kill(self, member: str) -> None:
        """Kill a member with everything that it started; it stays down."""
        await self._let_go(member)
        await self._processes[member].kill()
        self._note(member, "stopped")

    def note_phase(self, phase: str, *, error: str = "", fix: str = "") -> None:
        """Note a change of the whole."""
        self.state = self.state.model_copy(update={"phase": phase, "error": error, "fix": fix})
        self._write()

    def note_answer(self, number: int, error: str) -> None:
        """Note that a request was carried out."""
        self.state = self.state.model_copy(update={"answered": number, "error": error})
        self._write()

    async def _bring_up(self, name: str) -> None:
        service = self._plan.services[name]
        for need, dependency in service.depends_on.items():
            await self._reached[need, dependency.condition].wait()
        processes = [self._processes[member.name] for member in self._plan.members[name]]
        if _runs_once(service):
            await self._run_once(processes)
            self._reached[name, "service_completed_successfully"].set()
            return
        await asyncio.gather(*(self._start(process) for process in processes))
        self._reached[name, "service_started"].set()
        await asyncio.gather(*(self._until_healthy(process) for process in processes))
        self._reached[name, "service_healthy"].set()

    async def _run_once(self, processes: Iterable[MemberProcess]) -> None:
        for process in processes:
            await process.start()
            self._note(process.member.name, "starting")
            if await process.wait():
                raise StudioUnavailable(process.obituary())
            self._note(process.member.name, "done")

    async def _start(self, process: MemberProcess) -> None:
        await process.start()
        name = process.member.name
        self._note(name, "starting")
        self._keepers[name] = asyncio.create_task(self._keep(process))

    async def _keep(self, process: MemberProcess) -> None:
        """Start a member again when it dies, as Docker's restart policy does."""
        name, budget = process.member.name, RestartBudget()
        while True:
            await process.wait()
            pause = budget.next_pause()
            log.error("member died name=%s pause=%.1f %s", name, pause, process.obituary())
            self._note(name, "restarting", restarts=self.state.members[name].restarts + 1)
            # What it started would not outlive its container.
            await process.kill()
            await asyncio.sleep(pause)
            await process.start()
            self._note(name, "ready")

    async def _until_healthy(self, process: MemberProcess) -> None:
        check = self._plan.services[process.member.service].healthcheck
        patience = seconds(check.interval) * check.retries if check else 0
        deadline = time.monotonic() + patience
        while not await process.is_healthy(seconds(check.timeout) if check else 0):
            if time.monotonic() > deadline:
                raise StudioUnavailable(f"not healthy after {patience:g} s: {process.obituary()}")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        self._note(process.member.name, "ready")

    async def _let_go(self, member: str) -> None:
        if keeper := self._keepers.pop(member, None):
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def _note(self, member: str, phase: Phase, **changes: int) -> None:
        facts = {"phase": phase, "pid": self._processes[member].pid, **changes}
        self.state.members[member] = self.state.members[member].model_copy(update=facts)
        self._write()

    def _write(self) -> None:
        write_state(self._folder, self.state)


_CONDITIONS: tuple[Condition, ...] = ("service_started", "service_healthy", "service_completed_successfully")


def _runs_once(service: Service) -> bool:
    return service.restart == "no"


def _addresses(plan: Plan) -> dict[str, str]:
    """What people open, by name; a port of a service that does not run is left out."""
    wanted = {"prefect": ("prefect-server", 4200), "s3": ("seaweedfs", 8333), "webhooks": ("webhooks", 8350)}
    wanted["sandbox"] = ("sandbox", 8340)
    return {name: plan.address(*place) for name, place in wanted.items() if place[0] in plan.services}
