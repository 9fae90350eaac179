"""Reads the sections of ``sekisho.toml`` for handlers, which are called where AWS IoT calls Lambda functions.

A handler has a name, which is the function name in a Lambda ARN, and one of four kinds: a Python function, a webhook, a
Lambda function elsewhere, or the built-in CSR signer. Each kind has one required key of its own, which selects it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The name of a Lambda function (AWS Lambda API Reference, CreateFunction)."""

MAX_TIMEOUT_SECONDS: Final = 900.0
"""The limit of a Lambda function (AWS Lambda Developer Guide, quotas)."""

HOW_TO_RESTRICT: Final = (
    "this server has more than one account, and [handlers.{name}] in sekisho.toml does not say for which it may be "
    'called: write accounts = ["123456789012"] with their ids there, and start the server again'
)
"""Message for a handler without ``accounts`` on a server with several accounts."""

RESERVED_VARIABLES: Final = re.compile(
    # AWS Lambda Developer Guide, configuration-envvars: variables that the runtime sets are reserved.
    r"_HANDLER|LAMBDA_TASK_ROOT|AWS_LAMBDA_\w+|AWS_(DEFAULT_)?REGION|AWS_ENDPOINT_URL\w*"
    r"|AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    # These would take precedence over the account's access key, or invalidate it.
    r"|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_(SESSION|SECURITY)_TOKEN|AWS_(DEFAULT_)?PROFILE|AWS_ROLE_ARN"
)
"""Environment variables that a handler's section cannot set, because Sekisho sets or removes them."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LAMBDA_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_.-]+)?"
)
_FUNCTION: Final = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")
_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")
_CERTIFICATE_ID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """The operator's function ``f(event, context)``, which runs in separate processes."""

    module: str
    function: str
    path: Path
    """Folder on ``sys.path``, and the working folder of its processes."""
    workers: int
    """Processes for each account and region."""
    environment: tuple[str, ...] = ()
    """Names of the server's environment variables that are passed on."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further environment variables with their values, which may be secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL to which events are posted as JSON."""

    url: str
    secret_file: Path | None
    """File with the key of the HMAC-SHA256 signature; None: requests are unsigned."""


@dataclass(frozen=True, slots=True)
class LambdaFunction:
    """A Lambda function of AWS, or of another server with the same API."""

    arn: str
    region: str
    endpoint_url: str | None
    """None: AWS."""


@dataclass(frozen=True, slots=True)
class CsrSigner:
    """A CA that signs certificate signing requests."""

    ca_certificate: Path
    ca_key: Path
    days: int


Target: TypeAlias = PythonFunction | Webhook | LambdaFunction | CsrSigner


KIND_NAMES: Final[Mapping[type, str]] = {
    PythonFunction: "function",
    Webhook: "webhook",
    LambdaFunction: "lambda",
    CsrSigner: "signer",
}


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """One handler."""

    name: str
    source: str
    """File and section, for messages."""
    target: Target
    timeout: float
    """Seconds for one call."""
    retries: int
    """Retries of an event after its first call."""
    on_certificate_registered: bool
    """Whether it is called for certificates that just-in-time registration registers."""
    accounts: tuple[str, ...]
    """Account ids for which it may be called; empty: the only account of the server."""
    ca_certificate_ids: tuple[str, ...]
    """CAs whose certificates it is called for; empty: all."""

    @property
    def kind(self) -> str:
        """Function, webhook, lambda or signer."""
        return KIND_NAMES[type(self.target)]

    @property
    def concurrency(self) -> int:
        """How many calls run at the same time."""
        return self.target.workers if isinstance(self.target, PythonFunction) else 4

    def wants_registered(self, account_id: str, ca_certificate_id: str) -> bool:
        """Whether it is called when a certificate of this CA is registered automatically."""
        return (
            self.on_certificate_registered
            and (not self.accounts or account_id in self.accounts)
            and (not self.ca_certificate_ids or ca_certificate_id in self.ca_certificate_ids)
        )


KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "function": ("path", "workers", "environment", "variables"),
    "url": ("secret_file",),
    "lambda_arn": ("endpoint_url",),
    "ca_certificate": ("ca_key", "days"),
}
"""Key that selects a kind → the further keys of that kind."""

COMMON: Final = ("timeout", "retries", "on_certificate_registered", "accounts", "ca_certificate_ids")
"""The keys of every kind."""


def read_handlers(table: Any, file: Path) -> Mapping[str, HandlerSettings]:
    """Read the table ``handlers``. Paths are relative to the file's folder.

    Raises ValueError, which names the file, the handler and the key.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{file}: handlers is a table: write a section [handlers.NAME] for each")
    return {name: _read(name, section, file) for name, section in table.items()}


def _read(name: str, section: Any, file: Path) -> HandlerSettings:
    source = f"{file}: [handlers.{name}]"
    if not NAME.fullmatch(name):
        raise ValueError(f"{source}: a handler's name is 1 to 64 letters, digits, hyphens and underscores")
    if not isinstance(section, Mapping):
        raise ValueError(f"{source} is a section, not {section!r}")
    kinds = [kind for kind in KINDS if kind in section]
    if len(kinds) != 1:
        found = f"it has {' and '.join(kinds)}" if kinds else "it has none"
        raise ValueError(f"{source}: a handler has exactly one of {', '.join(KINDS)}; {found}")
    [kind] = kinds
    known = (kind, *KINDS[kind], *COMMON)
    for key in section:
        if key not in known:
            raise ValueError(f"{source}: there is no {key!r} with {kind!r}; there are {', '.join(known)}")
    keys = _Keys(section, source, file.absolute().parent)
    return HandlerSettings(
        name=name,
        source=source,
        target=_TARGETS[kind](keys),
        timeout=keys.number("timeout", 5.0, 0.1, MAX_TIMEOUT_SECONDS),
        retries=keys.whole("retries", 5, 0, 1000),
        on_certificate_registered=keys.truth("on_certificate_registered"),
        accounts=keys.texts("accounts", _ACCOUNT_ID, "account ids of 12 digits"),
        ca_certificate_ids=keys.texts(
            "ca_certificate_ids", _CERTIFICATE_ID, "ids of CA certificates: 64 hexadecimal digits in lower case"
        ),
    )


class _Keys:
    """The values of a section, each checked when it is read. The methods raise ValueError."""

    def __init__(self, section: Mapping[str, Any], source: str, folder: Path) -> None:
        self._section = section
        self.source = source
        self._folder = folder

    def wrong(self, key: str, what: str) -> ValueError:
        return ValueError(f"{self.source}: {key} is {what}, not {self._section.get(key)!r}")

    def text(self, key: str, what: str) -> str:
        value = self._section.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, what)
        return value

    def matched(self, key: str, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.fullmatch(self.text(key, what))
        if found is None:
            raise self.wrong(key, what)
        return found

    def path(self, key: str, what: str) -> Path:
        text = self.text(key, what)
        if "\0" in text:
            raise self.wrong(key, what)
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError:
            raise self.wrong(key, what) from None

    def url(self, key: str) -> str:
        what = "an http or https URL without user name, password or fragment"
        text = self.text(key, what)
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            raise self.wrong(key, what) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
            raise self.wrong(key, what)
        if not text.isascii() or not text.isprintable() or " " in text:
            raise self.wrong(key, f"{what}, with everything but ASCII escaped")
        return text

    def has(self, key: str) -> bool:
        return key in self._section

    def folder(self, key: str) -> Path:
        return self.path(key, "a folder") if self.has(key) else self._folder

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        value = self._section.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self._section.get(key, default)
        # This form of the comparison also refuses nan.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(key, f"a number of seconds from {least:g} to {most:g}")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self._section.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def texts(self, key: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        if not self.has(key):
            return ()
        value = self._section[key]
        if not isinstance(value, list) or not value:
            # An empty list looks like "none" and would mean "all".
            raise self.wrong(key, f"a list of {what}")
        if not all(isinstance(each, str) and pattern.fullmatch(each) for each in value):
            raise self.wrong(key, f"a list of {what}")
        return tuple(value)

    def variables(self, key: str) -> Mapping[str, str]:
        value = self._section.get(key, {})
        what = f'a table of texts, such as {key} = {{ LEVEL = "high" }}'
        if not isinstance(value, Mapping):
            raise ValueError(f"{self.source}: {key} is {what}")
        for name, content in value.items():
            # The value may be a secret: the message does not show it.
            if not _VARIABLE.fullmatch(name) or not isinstance(content, str) or "\0" in content:
                raise ValueError(f"{self.source}: {key} is {what}; {name!r} is not the name of one, or no text")
        return dict(value)


def _python_function(keys: _Keys) -> Target:
    found = keys.matched("function", _FUNCTION, "module:function, such as my_fleet.jitr:activate")
    environment = keys.texts("environment", _VARIABLE, 'names of environment variables, such as ["INVENTORY_URL"]')
    variables = keys.variables("variables")
    for name in (*environment, *variables):
        if RESERVED_VARIABLES.fullmatch(name):
            raise ValueError(f"{keys.source}: the environment variable {name} is set by Sekisho: leave it out")
        if name in environment and name in variables:
            raise ValueError(f"{keys.source}: {name} is in environment and in variables: leave it out of one of them")
    return PythonFunction(
        module=found["module"],
        function=found["name"],
        path=keys.folder("path"),
        workers=keys.whole("workers", 1, 1, 64),
        environment=environment,
        variables=variables,
    )


def _webhook(keys: _Keys) -> Target:
    return Webhook(keys.url("url"), keys.path("secret_file", "a file") if keys.has("secret_file") else None)


def _lambda_function(keys: _Keys) -> Target:
    what = "the ARN of a Lambda function, such as arn:aws:lambda:eu-central-1:123456789012:function:activate"
    found = keys.matched("lambda_arn", _LAMBDA_ARN, what)
    return LambdaFunction(found[0], found["region"], keys.url("endpoint_url") if keys.has("endpoint_url") else None)


def _csr_signer(keys: _Keys) -> Target:
    return CsrSigner(
        ca_certificate=keys.path("ca_certificate", "the PEM file of a CA certificate"),
        ca_key=keys.path("ca_key", "the PEM file of the CA's private key"),
        days=keys.whole("days", 365, 1, 36500),
    )


_TARGETS: Final = {
    "function": _python_function,
    "url": _webhook,
    "lambda_arn": _lambda_function,
    "ca_certificate": _csr_signer,
}
