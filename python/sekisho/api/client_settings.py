"""The routes by which clients on other machines get what they need to know: the root CA, and settings of AWS tools.

Both are public: a server sends its chain in every handshake, and access keys are not among the settings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from sekisho.server.run_file import Run
from sekisho.server.tool_settings import tool_variables

ROOT_CA_PATH: Final = "/_sekisho/root-ca.pem"
ENV_PATH: Final = "/_sekisho/env"

_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
"""Of a Host header that is a name or an address. Others are not written into a script."""


class ClientSettingsRoutes:
    """Answers with the facts of ``describe``, which raises nothing."""

    def __init__(self, describe: Callable[[], Run]) -> None:
        self._describe = describe

    @property
    def routes(self) -> Sequence[Route]:
        """For the application's list of routes."""
        return [Route(ROOT_CA_PATH, self._answer_root_ca), Route(ENV_PATH, self._answer_env)]

    async def _answer_root_ca(self, _request: Request) -> Response:
        file = Path(self._describe().root_ca)
        if not await to_thread.run_sync(file.is_file):
            return PlainTextResponse(
                "The root of this server's certificate is not known: set server_root_ca.\n", status_code=404
            )
        return FileResponse(file, media_type="application/x-pem-file", filename="root-ca.pem")

    async def _answer_env(self, request: Request) -> Response:
        run = self._describe()
        host = request.headers.get("host", "")
        # The name by which this client reaches the API, which may be that of a proxy or a container.
        api = f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else run.api
        lines = [
            f"# Sekisho {run.version}. Access keys: run 'sekisho env' where the server is.",
            "unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN",
            *(f"export {name}={shlex.quote(value)}" for name, value in tool_variables(api, run.region).items()),
            f"# Devices of account {run.account}: MQTT over mutual TLS, {run.endpoint} port {run.mqtt_port}.",
            f"# What they trust: curl -s {shlex.quote(api + ROOT_CA_PATH)} > root-ca.pem",
        ]
        return PlainTextResponse("\n".join([*lines, ""]))
