"""Child processes of the demo: started in sessions of their own, logged to files, and always stopped."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_SECONDS = 40.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
COMMAND_SECONDS = 60.0
LOG_TAIL = 2_000
LAZARETTO = ("-m", "service")
"""How this very interpreter runs the command line, wherever the console script may be."""


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Children:
    """Starts and stops processes.

    Parameters
    ----------
    folder
        Where their output goes, one file each.
    """

    folder: Path
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def run(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run a program of this project to its end and return what it printed.

        Raises
        ------
        DemoError
            When it fails or takes too long; the text ends with its output.
        """
        path = self.folder / f"{name}.log"
        with path.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                env={**os.environ, **environment},
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                output, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
            except TimeoutError:
                await _stop(process)
                raise DemoError(f"{name} took longer than {COMMAND_SECONDS:g} seconds: {tail(path)}") from None
            except asyncio.CancelledError:
                await _stop(process)
                raise
        if process.returncode != 0:
            raise DemoError(f"{name} ended with code {process.returncode}: {tail(path)}")
        return output.decode()

    async def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], ready_url: str) -> None:
        """Start a server and wait until it says that it is ready.

        Raises
        ------
        DemoError
            When it ends early or is not ready in time; the text ends with its output.
        """
        path = self.folder / f"{name}.log"
        with path.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._stack.push_async_callback(_stop, process)
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        async with httpx.AsyncClient() as http:
            while not await _is_ready(http, ready_url):
                if process.returncode is not None:
                    raise DemoError(f"{name} ended with code {process.returncode}: {tail(path)}")
                if asyncio.get_running_loop().time() > deadline:
                    raise DemoError(f"{name} was not ready after {START_SECONDS:g} seconds: {tail(path)}")
                await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Stop every server, the last one first."""
        await self._stack.aclose()


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        answer = await http.get(url, timeout=2.0)
    except httpx.TransportError:
        return False
    return answer.is_success


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def tail(path: Path) -> str:
    """Return the end of a log, for an error that should explain itself."""
    return path.read_bytes()[-LOG_TAIL:].decode(errors="replace").strip()
