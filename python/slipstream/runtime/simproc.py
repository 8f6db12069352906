"""A simulated venue as a child process, and its admin routes.

The child ends when its standard input closes, so it cannot outlive the process that started it.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from slipstream.errors import SlipstreamError

READY_TIMEOUT_S: Final = 30
ADMIN_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 10


@dataclass(frozen=True, slots=True)
class SimSettings:
    """How the simulated venue is to behave. Delays in milliseconds."""

    seed: int = 1
    latency_ms: int = 0
    match_ms: int = 0
    weight_factor: int = 1
    extra: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return the command line."""
        return [
            "--venues",
            "aster",
            "--seed",
            str(self.seed),
            "--latency-ms",
            str(self.latency_ms),
            "--match-ms",
            str(self.match_ms),
            "--weight-factor",
            str(self.weight_factor),
            *self.extra,
            "--json",
        ]


@dataclass(slots=True)
class SimProcess:
    """A running simulated venue."""

    rest: str
    ws: str
    admin: str
    _process: asyncio.subprocess.Process
    _client: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(timeout=ADMIN_TIMEOUT_S)
    )

    @classmethod
    async def start(cls, settings: SimSettings) -> "SimProcess":
        """Start one and wait until it listens.

        Raises:
            SlipstreamError: it ended, or said nothing in time.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "slipstream.venues.sim",
            *settings.arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        if process.stdout is None:
            raise SlipstreamError("the simulated venue has no standard output")
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = await process.stdout.readline()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise SlipstreamError("the simulated venue did not become ready in time") from None
        if not line:
            code = await process.wait()
            raise SlipstreamError(f"the simulated venue ended with status {code}")
        ready = orjson.loads(line)
        venue = ready["venues"]["aster"]
        return cls(venue["rest"], venue["ws"], ready["admin"], process)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def post(self, path: str, body: object) -> Any:  # noqa: ANN401 - the route decides
        """Call an admin route.

        Raises:
            SlipstreamError: the route refused.
        """
        answer = await self._client.post(self.admin + path, content=orjson.dumps(body))
        return self._decoded(path, answer)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - the route decides
        """Read an admin route.

        Raises:
            SlipstreamError: the route refused.
        """
        return self._decoded(path, await self._client.get(self.admin + path))

    @staticmethod
    def _decoded(path: str, answer: httpx.Response) -> Any:  # noqa: ANN401
        if answer.status_code != httpx.codes.OK:
            raise SlipstreamError(f"simulated venue: {path}: {answer.text[:200]}")
        return orjson.loads(answer.content)

    async def save_log(self, path: Path) -> None:
        """Write the venue's complete log as JSON lines."""
        async with self._client.stream("GET", f"{self.admin}/_sim/log") as answer:
            with path.open("wb") as out:
                async for chunk in answer.aiter_bytes():
                    out.write(chunk)

    async def stop(self) -> None:
        """End the child: close its input, and kill it if it does not go."""
        await self._client.aclose()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
