"""A client of the running server's API that signs its requests as AWS tools do, with an account's access key."""

from __future__ import annotations

import http.client
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from sekisho.accounts.model import AccessKey
from sekisho.cli.failure import Failure
from sekisho.cli.options import settings_of
from sekisho.server.run_file import Run

if TYPE_CHECKING:
    from sekisho.server.settings import Settings

SERVICE: Final = "iot"
HTTP_TIMEOUT_SECONDS: Final = 30.0
"""For one answer."""

_PAGE_SIZE: Final = 250
_RETRIES: Final = 5
_FIRST_RETRY_DELAY_SECONDS: Final = 0.2
"""Before the first retry; each further one waits twice as long."""


class Refused(Exception):
    """The server refused the request. ``code`` is the AWS name of the exception."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Unreachable(Failure):
    """The server did not answer, or answered 503, at every retry."""


@dataclass(frozen=True, slots=True)
class Access:
    """A running server, and an access key of one of its accounts."""

    folder: Path
    run: Run
    key: AccessKey


def access(data: Path | None, account: str | None) -> Access:
    """Find the server on a data folder, and the first access key of an account.

    Args:
        account: None: the server's default account.

    Raises Failure: no server answers, or there is no such account.
    """
    from sekisho.server import run_file

    settings = settings_of(data)
    folder = settings.data
    run = run_file.answering(folder)
    if run is None:
        raise Failure(f"no server answers on {folder}: start one with 'sekisho up --data {shlex.quote(str(folder))}'")
    account_id = account or run.account
    keys = _from_file(settings, run, account_id) or _from_store(settings, account_id)
    if not keys:
        raise Failure(f"there is no account {account_id}: 'sekisho account list' shows those there are")
    return Access(folder, run, keys[0])


def _from_file(settings: Settings, run: Run, account_id: str) -> Sequence[AccessKey]:
    """Read access keys from the SQLite file of the running server; none where that file is not its registry."""
    import sqlite3

    from sekisho.accounts.sqlite_access_keys import access_keys

    file = settings.sqlite_file.absolute()
    if settings.database_url or run.store != str(file):
        return ()
    try:
        return access_keys(file, account_id)
    except sqlite3.Error:
        # The store says what is wrong.
        return ()


def _from_store(settings: Settings, account_id: str) -> Sequence[AccessKey]:
    from sekisho.server.cannot_start import CannotStart
    from sekisho.server.registry_access import open_accounts

    try:
        with open_accounts(settings) as accounts:
            return accounts.access_keys(account_id)
    except CannotStart as error:
        raise Failure(str(error)) from None


class ApiClient:
    """One connection to the API, opened again after it was lost.

    Args:
        region: The region that requests are for; None: the server's own.
    """

    def __init__(self, access: Access, region: str | None = None) -> None:
        from botocore.auth import SigV4Auth
        from botocore.credentials import Credentials

        self._url = access.run.api
        address = urlsplit(self._url)
        # Not urllib: it would use a proxy that the environment names, which cannot reach this machine's loopback.
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=HTTP_TIMEOUT_SECONDS
        )
        credentials = Credentials(access.key.access_key_id, access.key.secret_access_key)
        self._signer = SigV4Auth(credentials, SERVICE, region or access.run.region)

    def get(self, path: str, **query: str | None) -> Any:
        """Return the JSON of the answer. Raises Refused, or Unreachable."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, content: Mapping[str, Any]) -> Any:
        """Send JSON; returns and raises as ``get``. The server gets it again where an answer was lost."""
        return self._ask("POST", path, json.dumps(content).encode())

    def delete(self, path: str) -> Any:
        """Delete; returns and raises as ``get``. The server gets it again where an answer was lost."""
        return self._ask("DELETE", path)

    def each(self, path: str, member: str, **query: str | None) -> Iterator[Any]:
        """Yield every item of a list, page by page."""
        marker: str | None = None
        while True:
            page = self.get(path, pageSize=str(_PAGE_SIZE), marker=marker, **query)
            yield from page[member]
            marker = page.get("nextMarker")
            if marker is None:
                return

    def _ask(self, method: str, target: str, body: bytes = b"") -> Any:
        for attempt in range(_RETRIES + 1):
            if attempt:
                time.sleep(_FIRST_RETRY_DELAY_SECONDS * 2 ** (attempt - 1))
            try:
                status, code, content = self._once(method, target, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                lost = f"the server at {self._url} does not answer: {error or type(error).__name__}"
                continue
            if status == 200:
                return content
            if status != 503:
                raise Refused(code, str(content.get("message", "")))
            lost = f"the server at {self._url} cannot answer at present: {content.get('message', '')}"
        raise Unreachable(lost)

    def _once(self, method: str, target: str, body: bytes) -> tuple[int, str, Any]:
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, f"{self._url}{target}", data=body)
        # A signature is valid for some minutes only, so each attempt signs anew.
        self._signer.add_auth(request)
        self._connection.request(method, target, body=body, headers=dict(request.headers.items()))
        response = self._connection.getresponse()
        said = response.read()
        try:
            content = json.loads(said)
        except ValueError:
            raise OSError(f"what answers there is not Sekisho (status {response.status})") from None
        return response.status, (response.getheader("x-amzn-errortype") or "").rstrip(":"), content
