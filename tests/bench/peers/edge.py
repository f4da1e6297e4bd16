"""palaver behind its Envoy sidecar, as ``palaver up`` runs it: TLS, and every call asks who calls and whether they may.

Both processes are the front end: Envoy's CPU time is part of what a token costs.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench.clocks import Processes
from tests.bench.peers.palaver_grpc import server_command
from tests.bench.plan import Plan
from tests.bench.processes import Launcher

ANY_PORT = "127.0.0.1:0"
PORTS = ("--listen", ANY_PORT, "--edge-listen", ANY_PORT, "--edge-status-listen", ANY_PORT)


@dataclass(frozen=True, slots=True)
class Edge:
    """A running edge, as a client finds it."""

    port: int
    ca: str
    """The file with the certificate authority that the edge made for itself."""
    pid: int
    """The server's."""

    @property
    def url(self) -> str:
        """Its name is that of the certificate."""
        return f"https://localhost:{self.port}"

    def authority(self) -> bytes:
        """The certificate authority, for gRPC."""
        return Path(self.ca).read_bytes()

    def processes(self) -> Processes:
        """The server and Envoy, which the server has started, are the front end."""
        return Processes.of(self.pid)

    def session(self) -> aiohttp.ClientSession:
        """Connections over TLS, as many as there are streams."""
        trust = ssl.create_default_context(cafile=self.ca)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=trust))


async def start(plan: Plan, launcher: Launcher) -> str:
    """Start server and Envoy; what ``found`` reads."""
    command = [*server_command(plan, "up"), *PORTS, "--edge-access-log", "off"]
    command += ["--state-dir", str(launcher.state_folder)]
    server = await launcher.start("palaver", command)
    listening = json.loads(await server.line_with('"event": "edge listening"'))
    await server.line_with('"event": "ready"')
    port = int(listening["address"].rpartition(":")[2])
    return json.dumps({"port": port, "ca": listening["ca"], "pid": server.pid})


def found(text: str) -> Edge:
    """What ``start`` has started."""
    return Edge(**json.loads(text))
