"""``sekisho env``: the environment variables with which AWS tools use the running server."""

from __future__ import annotations

import os
import shlex
from typing import Final
from urllib.parse import urlsplit

from sekisho.cli.options import Account, Data, Json

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Hosts to reach without a proxy. Python's libraries compare an IPv6 address with its brackets, others without."""


def env(
    data: Data = None,
    account: Account = None,
    as_json: Json = False,
) -> None:
    """Print exports for a shell: eval "$(sekisho env)"."""
    from sekisho.cli.api_client import access
    from sekisho.cli.output import show_json, show_line
    from sekisho.server.tool_settings import tool_variables

    found = access(data, account)
    run, key = found.run, found.key
    values = {
        **tool_variables(run.api, run.region),
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "SEKISHO_DATA": str(found.folder),
    }
    # Tools read one of the two spellings; where both are set, most read the one in lower case.
    values["NO_PROXY"] = values["no_proxy"] = _without_proxy(
        os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "", run.api
    )
    if run.root_ca:
        values["SEKISHO_ROOT_CA"] = run.root_ca
    if run.dotted_endpoint:
        values["SEKISHO_DOTTED_ENDPOINT"] = run.dotted_endpoint
    if as_json:
        show_json(values)
        return
    # A profile would take precedence over the keys below, and a session token would invalidate them.
    show_line("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN")
    for name, value in values.items():
        show_line(f"export {name}={shlex.quote(value)}")


def _without_proxy(present: str, api: str) -> str:
    """Return the value ``present`` of NO_PROXY with the loopback hosts and the API's host added."""
    hosts = [host for host in (each.strip() for each in present.split(",")) if host]
    if "*" in hosts:
        return "*"
    return ",".join(dict.fromkeys([*hosts, *_LOOPBACK, urlsplit(api).hostname or ""]))
