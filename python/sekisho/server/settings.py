"""Settings of a server: defaults, then the configuration file, then the environment, then the command line.

A setting has one name in all of them: ``mqtt_port`` here and in the file, ``SEKISHO_MQTT_PORT`` in the environment,
``--mqtt-port`` on the command line. The file is TOML: ``sekisho.toml`` in the data folder, or the one that
``--config`` or ``SEKISHO_CONFIG`` names; relative paths in it are relative to its folder. ``load`` validates every
setting. A value in the file has the setting's own type; values in the environment are text. Only the file has handlers.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from sekisho.files import WritableByOthers, refuse_writable_by_others
from sekisho.realm import Realm
from sekisho.regions import MAX_OWN_REGIONS, NAME, Regions
from sekisho.server import listen_host
from sekisho.server.handler_settings import HandlerSettings, LambdaFunction, read_handlers

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_PREFIX: Final = "SEKISHO_"

OTHER_VARIABLES: Final = frozenset({"SEKISHO_CONFIG", "SEKISHO_DOTTED_ENDPOINT", "SEKISHO_ROOT_CA"})
"""Environment variables that are not settings: the settings file, and what ``sekisho env`` exports for clients."""

_OF_KUBERNETES: Final = re.compile(
    r"SEKISHO_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|PORT)"
)
"""Variables that Kubernetes and Docker links set in containers where a service's name begins with "sekisho"."""

_FILE_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "str": ((str,), "text in quotes"),
    "int": ((int,), "a whole number without quotes"),
    "float": ((int, float), "a number without quotes"),
    "bool": ((bool,), "true or false, without quotes"),
    "Path": ((str,), "a path in quotes"),
    "Path | None": ((str,), "a path in quotes"),
    "tuple[str, ...]": ((list,), 'a list of texts, such as ["one", "two"]'),
}
"""Type of a field of Settings → its types in TOML, and how it is written there."""

FILE_ALONE: Final = frozenset({"endpoints", "handlers", "s3_buckets"})
"""Settings that only the file can hold."""


MIN_SECRET_LENGTH: Final = 16
"""Characters of ``endpoint_secret``."""

_DNS_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?"
_MAX_LABEL: Final = 63
"""Characters of a label (RFC 1035, section 2.3.4)."""


class ConfigError(Exception):
    """A setting is wrong; the message says which, where it was set, and which values it takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a server."""

    data: Path
    """Folder of all state: database, keys, certificates."""
    host: str = "127.0.0.1"
    """Address that the API and MQTT listen on."""
    api_port: int = 5883
    """TCP port of the HTTP API; 0: a free one."""
    mqtt_port: int = 8883
    """TCP port of MQTT over TLS; 0: a free one."""
    region: str = "us-east-1"
    """Home region, in which the default account's endpoint is ``domain`` itself. One of AWS's, or of ``regions``."""
    regions: tuple[str, ...] = ()
    """Names of your own regions, in addition to those of AWS; in the environment separated by commas."""
    account: str = "123456789012"
    """The default account, created at the first start."""
    endpoint: str = ""
    """Host name under which devices of the default account connect in the home region, such as iot.factory.example."""
    endpoints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Sections of the file: host names of other accounts and regions, by account and region."""
    domain: str = "localhost"
    """Other endpoints are ``<prefix>-ats.iot.<region>.<domain>``; without ``endpoint`` the default one is ``localhost``
    where this is ``localhost``."""
    endpoint_secret: str = field(default="", repr=False)
    """Text from which prefixes of endpoints are derived, so that they are known before the first start; empty: made at
    the first start and kept in the registry."""
    log_level: str = "info"
    """One of debug, info, warning, error."""
    log_file: Path | None = None
    """File that the log is appended to, opened anew at a reload; unset: standard error."""
    database_url: str = field(default="", repr=False)
    """SQLAlchemy URL of a PostgreSQL database; empty: SQLite in the data folder."""
    server_certificate: Path | None = None
    """Your own server certificate chain for MQTT, PEM; unset: Sekisho's own."""
    server_key: Path | None = None
    """Its private key, PEM."""
    server_root_ca: Path | None = None
    """Root of ``server_certificate`` for clients, PEM; unset: the last certificate of the chain, if it is a root."""
    tls13_session_tickets: bool = False
    """Send TLS 1.3 session tickets, so that devices can resume. AWS IoT sends none, and old wolfSSL fails at one."""
    require_sni: bool = True
    """Refuse certificates in SNI_ONLY mode where the client sends no SNI, as AWS IoT does; see docs/java.md."""
    any_credentials: bool = False
    """Accept unsigned API requests and unknown access keys for the default account. Loopback only, no web pages."""
    bulk_folder: Path | None = None
    """Folder of the inputs of bulk registration, ``<account>/<bucket>/<key>``; unset: ``<data folder>/buckets``."""
    s3_endpoint_url: str = ""
    """URL of an S3-compatible store with the buckets, instead of ``bulk_folder``; credentials as for AWS tools."""
    s3_buckets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Section of the file: the buckets of each account in that store. Without it, a single account may use all."""
    api_connections: int = 0
    """Open connections to the API, of which one source address gets at most half; 0: a quarter of the file descriptors
    that the process may open, at most 1000. Devices get the rest."""
    api_request_timeout: int = 30
    """Seconds for an API request to arrive, headers and body."""
    api_idle_timeout: int = 60
    """Seconds after which a connection to the API without a request is closed."""
    max_connections: int = 0
    """Open MQTT connections of all accounts; 0: the file descriptors that the process may open, without those of the
    API. Beyond, a connection whose handshake is not finished ends, or the new one is refused."""
    handshake_timeout: int = 10
    """Seconds for a device to finish the TLS handshake and send CONNECT."""
    admission_timeout: int = 5
    """Seconds for the registry's answer about a certificate that the data plane does not have in memory. Beyond, the
    connection is refused (CONTROL_PLANE_TIMEOUT)."""
    verbose_refusals: bool = False
    """Answer a refused CONNECT and SUBSCRIBE with a reason code, where AWS IoT closes the connection without one."""
    workers: int = 0
    """Threads of the data plane; 0: one per core."""
    max_message_bytes: int = 512 * 1024 * 1024
    """Bytes of memory for queued and unacknowledged messages to MQTT clients, of all accounts together. Beyond, a
    message that would have to be queued is refused (MQTT 5: PUBACK 0x97)."""
    max_retained_bytes: int = 256 * 1024 * 1024
    """Bytes of memory for retained messages of all accounts together. Beyond, a retained message is refused."""
    max_session_bytes: int = 512 * 1024 * 1024
    """Bytes of memory for persistent sessions, subscriptions and wills of all accounts together. Beyond, CONNECT or
    SUBSCRIBE is refused (0x97)."""
    max_persistent_sessions: int = 200_000
    """Persistent MQTT sessions of all accounts. Beyond, CONNECT for such a session is refused (0x97; 3.1.1: 3)."""
    account_share: int = 50
    """Percentage of each ``max_…`` limit that one account may use."""
    handler_processes: int = 16
    """Processes of all Python handlers together; beyond, idle ones are ended. One account gets at most half."""
    handlers: Mapping[str, HandlerSettings] = field(default_factory=dict)
    """Sections of the file: what is called where AWS IoT calls a Lambda function, see docs/handlers.md."""

    @property
    def is_loopback(self) -> bool:
        """Whether the server listens on a loopback address only."""
        return listen_host.is_loopback(self.host)

    @property
    def sqlite_file(self) -> Path:
        """The file of the registry where ``database_url`` is not set."""
        return self.data / "sekisho.db"

    @property
    def endpoint_names(self) -> Mapping[Realm, str]:
        """Host names of endpoints that the settings name."""
        names = {
            Realm(account, region): name
            for account, by_region in self.endpoints.items()
            for region, name in by_region.items()
        }
        if self.endpoint:
            names[Realm(self.account, self.region)] = self.endpoint
        return names

    @property
    def known_regions(self) -> Regions:
        """The regions that the server serves."""
        return Regions(self.regions)


def data_folder(chosen: Path | str | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that the command line names, else ``SEKISHO_DATA``, else ``~/.sekisho``. Raises ConfigError."""
    if chosen is not None:
        return _path("data", chosen, "--data", Path.cwd())
    named = environment.get("SEKISHO_DATA")
    return _path("data", named or "~/.sekisho", "SEKISHO_DATA", Path.cwd())


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of a setting comes from."""

    kind: str
    """One of default, file, environment, command line."""
    name: str = ""
    """The file, the variable or the option; empty for a default."""

    def __str__(self) -> str:
        return self.name or self.kind


DEFAULT: Final = Source("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with their sources."""

    settings: Settings
    """A setting with a problem has its default here."""
    sources: Mapping[str, Source]
    """The source of every setting."""
    file: Path
    """The settings file; where none is named, it may not exist."""
    problems: Sequence[str]
    """What is wrong, one line each: which setting, where it was set, and which values it takes."""

    def checked(self) -> Loaded:
        """Return the same. Raises ConfigError: there is a problem."""
        if self.problems:
            raise ConfigError(self.problems[0])
        return self


def load(
    chosen: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> Settings:
    """Return the settings from all sources, as ``read``. Raises ConfigError, which names the setting and its source."""
    return read(chosen, environment=environment, config_file=config_file).checked().settings


def read(
    chosen: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> Loaded:
    """Read the settings from all sources, and collect what is wrong with them.

    Args:
        chosen: Setting → value on the command line, None where it has none.
        config_file: The file that the command line names.

    Raises ConfigError: the path of the data folder or of the file is not a path.
    """
    types = {each.name: str(each.type) for each in fields(Settings)}
    values: dict[str, tuple[Any, Source]] = {}
    problems = list(_unknown_variables(environment, types))
    data = data_folder(chosen.get("data"), environment)

    named = environment.get("SEKISHO_CONFIG")
    named_file = config_file or (_path("config", named, "SEKISHO_CONFIG", Path.cwd()) if named else None)
    file = (named_file or data / "sekisho.toml").absolute()
    in_file: Mapping[str, Any] = {}
    with _collected(problems):
        if named_file is not None or _is_file(file):
            in_file = _read(file)
    for name, value in in_file.items():
        with _collected(problems):
            found = (
                _usable_handlers(value, file, problems) if name == "handlers" else _of_file(name, value, types, file)
            )
            values[name] = (found, Source("file", str(file)))
    aws_region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if aws_region and "region" not in values:
        variable = "AWS_REGION" if environment.get("AWS_REGION") else "AWS_DEFAULT_REGION"
        values["region"] = (aws_region, Source("environment", variable))
    for name in types.keys() - FILE_ALONE:
        variable = f"{_PREFIX}{name.upper()}"
        if environment.get(variable):
            values[name] = (environment[variable], Source("environment", variable))
    for name, value in chosen.items():
        if value is not None:
            values[name] = (value, Source("command line", f"--{name.replace('_', '-')}"))

    converted: dict[str, Any] = {}
    for name, (value, source) in values.items():
        with _collected(problems):
            converted[name] = _convert(name, value, str(source))
    settings = Settings(**{"data": data} | converted)
    wrong = (in_file.keys() | values.keys()) - converted.keys()
    sources = {name: values[name][1] if name in values else DEFAULT for name in types}
    for names, problem in (*_unknown_regions(settings, sources), *_contradictions(settings)):
        if wrong.isdisjoint(names):
            problems.append(problem)
    return Loaded(settings, sources, file, problems)


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """Append the message of a ConfigError in the block."""
    try:
        yield
    except ConfigError as error:
        problems.append(str(error))


def _unknown_variables(environment: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    known = {f"{_PREFIX}{name.upper()}" for name in names if name not in FILE_ALONE} | OTHER_VARIABLES
    for variable in sorted(environment):
        if not variable.startswith(_PREFIX) or variable in known or _OF_KUBERNETES.fullmatch(variable):
            continue
        if variable.removeprefix(_PREFIX).lower() in FILE_ALONE:
            yield f"{variable}: this setting is in the file sekisho.toml alone; unset the variable"
        else:
            yield (
                f"{variable} in the environment is no setting{_nearest(variable, known)}; unset it, or correct its "
                "name. docs/reference/settings.md lists them all"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    # Compared without the common prefix, which would make all names similar.
    rests = {each.removeprefix(_PREFIX): each for each in known}
    close = difflib.get_close_matches(name.removeprefix(_PREFIX), rests, n=1)
    return f" (did you mean {rests[close[0]]}?)" if close else ""


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        refuse_writable_by_others(file)
        # Editors on Windows write a byte-order mark.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except WritableByOthers as refusal:
        raise ConfigError(str(refusal)) from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from None


def _of_file(name: str, value: Any, types: Mapping[str, str], file: Path) -> Any:
    """Check the type of a value from the file, and resolve a path against the file's folder. Raises ConfigError."""
    if name not in types:
        raise ConfigError(
            f"{file}: there is no setting {name!r}{_nearest(name, types)}; there are {', '.join(sorted(types))}"
        )
    if name in FILE_ALONE:
        # Tables; ``_convert`` checks them.
        return value
    kind = types[name]
    in_toml, what = _FILE_TYPES[kind]
    # Not isinstance: bool is a subclass of int.
    if type(value) not in in_toml:
        raise ConfigError(f"{file}: {name} is {what}, not {value!r}")
    return _path(name, value, str(file), file.parent) if kind.startswith("Path") else value


def _path(name: str, value: Any, source: str, folder: Path) -> Path:
    """Return an absolute path; a relative one is resolved against ``folder``. Raises ConfigError."""
    text = str(value)
    if not text or "\0" in text:
        raise ConfigError(f"{source}: {name} is a path, not {text!r}")
    try:
        return (folder / Path(text).expanduser()).absolute()
    except RuntimeError:
        raise ConfigError(f"{source}: {name} is in the home folder of a user who is not known: {text!r}") from None


def _usable_handlers(table: Any, file: Path, problems: list[str]) -> Mapping[str, HandlerSettings]:
    """Return the handlers without a problem, and append the problems of the others."""
    found: dict[str, HandlerSettings] = {}
    for each in [{name: section} for name, section in table.items()] if isinstance(table, Mapping) else [table]:
        try:
            found |= read_handlers(each, file)
        except ValueError as error:
            problems.append(str(error))
    return found


def _convert(name: str, value: Any, source: str) -> Any:
    match name:
        case "data" | "server_certificate" | "server_key" | "server_root_ca" | "bulk_folder" | "log_file":
            return _path(name, value, source, Path.cwd())
        case "handlers":
            return value
        case "s3_buckets":
            return _buckets(value, source)
        case "api_port" | "mqtt_port":
            return _integer(name, value, source, 0, 65535)
        case "api_connections":
            return _integer(name, value, source, 0, 1_000_000)
        case "max_connections":
            return _integer(name, value, source, 0, 100_000_000)
        case "handshake_timeout" | "admission_timeout":
            return _integer(name, value, source, 1, 300)
        case "api_request_timeout" | "api_idle_timeout":
            return _integer(name, value, source, 1, 3600)
        case "handler_processes":
            return _integer(name, value, source, 1, 1024)
        case "workers":
            return _integer(name, value, source, 0, 1024)
        case "max_message_bytes" | "max_retained_bytes" | "max_session_bytes":
            return _integer(name, value, source, 1024 * 1024, 2**50)
        case "max_persistent_sessions":
            return _integer(name, value, source, 1, 2**32)
        case "account_share":
            return _integer(name, value, source, 1, 100)
        case "any_credentials" | "tls13_session_tickets" | "require_sni" | "verbose_refusals":
            if isinstance(value, bool):
                return value
            if str(value).lower() in ("1", "true", "yes", "on"):
                return True
            if str(value).lower() in ("0", "false", "no", "off"):
                return False
            raise ConfigError(f"{source}: {name} is true or false, not {value!r}")
        case "log_level":
            if str(value).lower() not in LOG_LEVELS:
                raise ConfigError(f"{source}: log_level is one of {', '.join(LOG_LEVELS)}, not {value!r}")
            return str(value).lower()
        case "regions":
            return _own_regions(value, source)
        case "account":
            return _text(name, value, source, r"[0-9]{12}", "12 digits")
        case "domain":
            return _text(name, value, source, _DNS_NAME, "a lower-case DNS name")
        case "endpoint":
            return _endpoint(name, value, source) if value else ""
        case "endpoints":
            return _endpoints(value, source)
        case "endpoint_secret":
            # Not in the message: it is a secret.
            if value and len(str(value)) < MIN_SECRET_LENGTH:
                raise ConfigError(f"{source}: endpoint_secret has at least {MIN_SECRET_LENGTH} characters")
            return str(value)
        case "s3_endpoint_url":
            return _text(name, value, source, r"(https?://[^\s/]+/?)?", "a URL such as http://localhost:9000")
        case "host":
            try:
                return listen_host.parse(str(value))
            except ValueError:
                raise ConfigError(
                    f"{source}: host is an IP address or a host name, such as 127.0.0.1, not {value!r}"
                ) from None
        case _:
            return str(value)


def _buckets(table: Any, source: str) -> Mapping[str, tuple[str, ...]]:
    what = 's3_buckets is a section with a list of buckets for each account, such as 123456789012 = ["fleet"]'
    if not isinstance(table, Mapping):
        raise ConfigError(f"{source}: {what}, not {table!r}")
    for account_id, buckets in table.items():
        is_list = isinstance(buckets, list) and all(isinstance(each, str) and each for each in buckets)
        if not re.fullmatch(r"[0-9]{12}", account_id) or not is_list:
            raise ConfigError(f"{source}: {what}, not {account_id} = {buckets!r}")
    return {account_id: tuple(buckets) for account_id, buckets in table.items()}


def _endpoint(name: str, value: Any, source: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{source}: {name} is text in quotes, not {value!r}")
    text = _text(name, value, source, _DNS_NAME, "a lower-case DNS name such as iot.factory.example")
    # TLS sends no IP address as a server name (RFC 6066, section 3), and no label of a host name is a number alone.
    if re.fullmatch(r"[0-9.]+", text) or ".." in text or any(len(label) > _MAX_LABEL for label in text.split(".")):
        raise ConfigError(f"{source}: {name} is a DNS name such as iot.factory.example, not {value!r}")
    return text


def _endpoints(table: Any, source: str) -> Mapping[str, Mapping[str, str]]:
    what = (
        "endpoints has a section for each account with a host name for each region, such as "
        '[endpoints.210987654321] and in it eu-west-1 = "iot-eu.factory.example"'
    )
    if not isinstance(table, Mapping):
        raise ConfigError(f"{source}: {what}, not {table!r}")
    for account_id, names in table.items():
        if not re.fullmatch(r"[0-9]{12}", account_id) or not isinstance(names, Mapping):
            raise ConfigError(f"{source}: {what}, not {account_id} = {names!r}")
    return {
        account_id: {
            region: _endpoint(f"endpoints.{account_id}.{region}", name, source) for region, name in names.items()
        }
        for account_id, names in table.items()
    }


def _own_regions(value: Any, source: str) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError(
                f"{source}: regions has names of up to 32 lower-case letters, digits and hyphens, such as plant-1, "
                f"not {name!r}"
            )
    if len(names) > MAX_OWN_REGIONS:
        raise ConfigError(f"{source}: regions has at most {MAX_OWN_REGIONS} names, not {len(names)}")
    return tuple(dict.fromkeys(names))


def _unknown_regions(settings: Settings, sources: Mapping[str, Source]) -> Iterator[tuple[Collection[str], str]]:
    """Yield the settings with a region that is not in the list, and the message."""
    known = settings.known_regions
    if settings.region not in known:
        yield ("region", "regions"), f"{sources['region']}: {known.why_not(settings.region)}"
    for account_id, names in settings.endpoints.items():
        for region in names:
            if region not in known:
                message = f"{sources['endpoints']}: endpoints.{account_id}: {known.why_not(region)}"
                yield ("endpoints", "regions"), message
    for handler in settings.handlers.values():
        target = handler.target
        if isinstance(target, LambdaFunction) and target.region not in known:
            yield ("handlers", "regions"), f"{handler.source}: lambda_arn: {known.why_not(target.region)}"


def _integer(name: str, value: Any, source: str, least: int, most: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if isinstance(value, bool) or not least <= number <= most:
        raise ConfigError(f"{source}: {name} is a whole number from {least} to {most}, not {value!r}")
    return number


def _text(name: str, value: Any, source: str, pattern: str, what: str) -> str:
    if not re.fullmatch(pattern, str(value)):
        raise ConfigError(f"{source}: {name} is {what}, not {value!r}")
    return str(value)


def _contradictions(settings: Settings) -> Iterator[tuple[Collection[str], str]]:
    """Yield settings that do not go together, and the message."""
    if (settings.server_certificate is None) != (settings.server_key is None):
        yield (
            ("server_certificate", "server_key"),
            "server_certificate and server_key go together: give both, or neither for Sekisho's own",
        )
    if settings.server_root_ca is not None and settings.server_certificate is None:
        yield (
            ("server_root_ca", "server_certificate"),
            "server_root_ca is the root of server_certificate: give that too, or neither",
        )
    if settings.endpoint and settings.region in settings.endpoints.get(settings.account, {}):
        yield (
            ("endpoint", "endpoints", "account", "region"),
            f"endpoint and endpoints.{settings.account}.{settings.region} name the same endpoint: give one of them",
        )
    counts = Counter(settings.endpoint_names.values())
    for name, count in counts.items():
        if count > 1:
            yield (
                ("endpoint", "endpoints"),
                f"{name} is the endpoint of {count} accounts or regions: each needs a name of its own",
            )
    if settings.bulk_folder is not None and settings.s3_endpoint_url:
        yield (
            ("bulk_folder", "s3_endpoint_url"),
            "bulk_folder and s3_endpoint_url both say where the buckets are: give one of them",
        )
    if settings.s3_buckets and not settings.s3_endpoint_url:
        yield (
            ("s3_buckets", "s3_endpoint_url"),
            "s3_buckets assigns the buckets of an S3 store to accounts: give its s3_endpoint_url too",
        )
    if settings.any_credentials and not settings.is_loopback:
        yield (
            ("any_credentials", "host"),
            f"any_credentials accepts every request that reaches {settings.host}: "
            "it needs a loopback host such as 127.0.0.1",
        )
    if settings.api_port == settings.mqtt_port and settings.api_port != 0:
        yield (
            ("api_port", "mqtt_port"),
            f"api_port and mqtt_port are both {settings.api_port}: they need a port each",
        )
