"""The rows of docs/limits.md: what is limited, per what, and what happens beyond the limit.

A row names the constant, the setting or the data plane's limit that has the number, and the test that exceeds it. The
number is read when the page is written. ``other_limits`` lists the constants of the control plane that no row names.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import Any, Final

from scripts.docstrings import below_names
from sekisho.server.settings import Settings

_PACKAGE: Final = Path(__file__).parents[1] / "python" / "sekisho"
_LIMIT: Final = re.compile(r"(MAX|MIN|MOST)_\w+|(?!POLL_|RETRY_)\w+_(SECONDS|BYTES|LIMIT|LENGTH)")


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound on something that peers or accounts share."""

    subject: str
    """Heading under which the row stands."""
    what: str
    per: str
    """Process, account, certificate, connection, address, ..."""
    source: str
    """``setting NAME``; ``module.CONSTANT`` below ``sekisho``, or ``module.CONSTANT[i]`` of one with several numbers;
    ``CRATE/FILE.rs CONSTANT`` or ``CRATE/FILE.rs CONSTANT.field`` of the data plane."""
    beyond: str
    """What happens to what does not fit."""
    test: str
    """``path::name`` of the test that tries to go beyond."""
    seen_as: str = ""
    """Counter in the health page, or words of the log line."""

    @property
    def value(self) -> str:
        """The number, with its unit. Raises LookupError, AttributeError: ``source`` names nothing."""
        kind, _, name = self.source.rpartition(" ")
        if kind == "setting":
            [found] = [field.default for field in fields(Settings) if field.name == name]
            if found == 0:
                return "from the open file limit"
        elif kind:
            found = _of_crate(kind, name)
        else:
            module, _, constant = _without_index(name).rpartition(".")
            found = getattr(importlib.import_module(f"sekisho.{module}"), constant)
            if name.endswith("]"):
                found = found[int(name[name.index("[") + 1 : -1])]
        return _with_unit(_without_index(name), found)

    @property
    def set_by(self) -> str:
        """The setting, or the constant's name."""
        kind, _, name = self.source.rpartition(" ")
        if kind:
            return f"`{name}`" if kind == "setting" else name
        return _without_index(name).rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Limit:
    """A constant of the control plane that is a limit."""

    name: str
    value: str
    meaning: str


def other_limits() -> Sequence[Limit]:
    """Public constants named as limits that no row of ``BOUNDS`` names, by module."""
    named = {_without_index(bound.source) for bound in BOUNDS}
    return [limit for source, limit in _limits_in_code() if source not in named]


def _limits_in_code() -> Iterator[tuple[str, Limit]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        # The command line's constants bound a command and not the server.
        inner = path.relative_to(_PACKAGE).with_suffix("").parts
        if "migrations" in inner or "cli" in inner:
            continue
        module = ".".join(inner)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        meanings = below_names(body)
        for statement in body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)) if _LIMIT.fullmatch(name) and not name.startswith("_"):
                    value = getattr(importlib.import_module(f"sekisho.{module}"), name)
                    if isinstance(value, int | float):
                        shown = Limit(f"{module}.{name}", _with_unit(name, value), meanings.get(name, ""))
                        yield f"{module}.{name}", shown


def _of_crate(file: str, name: str) -> int:
    """The number of a constant, or of a field in it, in the source of the data plane. Raises LookupError."""
    crate, _, path = file.partition("/")
    source = (_PACKAGE.parents[1] / "crates" / crate / "src" / path).read_text(encoding="utf-8")
    number = r"(?: [\w:]+ =)?\s+(?:Duration::from_secs\()?([0-9_]+(?: \* [0-9_]+)*)\)?\s*[,;}]"
    found = re.search(r"\b" + r"\b[^;]*?\b".join(name.split(".")) + ":" + number, source)
    if found is None:
        raise LookupError(f"{file} has no number {name}")
    return prod(int(factor) for factor in found[1].split(" * "))


def _without_index(name: str) -> str:
    return name.partition("[")[0]


def _with_unit(name: str, value: Any) -> str:
    lower = name.lower()
    if lower.endswith("milliseconds"):
        return f"{value:g} ms"
    if lower.endswith(("seconds", "timeout")):
        return f"{value:g} s"
    if "bytes" in lower:
        for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{value // size:,} {unit}"
        return f"{value:,} bytes"
    return f"{value:,}"


BOUNDS: Final[Sequence[Bound]] = (
    Bound(
        "Connections to the API",
        "connections",
        "process",
        "setting api_connections",
        "the connection that has been idle for longest is closed, otherwise the one whose request has been arriving "
        "for longest; if all are being answered, the new one gets 503",
        "tests/e2e/test_api_server.py::test_connections_that_send_nothing_take_nothing_from_clients_and_devices",
        "`api.refused`, `api.displaced`",
    ),
    Bound(
        "Connections to the API",
        "connections where `api_connections` is 0; one descriptor in four at most",
        "process",
        "server.descriptors.MAX_API_CONNECTIONS",
        "as above",
        "tests/unit/server/test_descriptors.py::test_the_api_gets_its_share_and_devices_the_rest",
        "`api.connections`",
    ),
    Bound(
        "Connections to the API",
        "share of the connections: one in this many",
        "source address (IPv6: /64)",
        "api.connections.ADDRESS_SHARE",
        "an idle or arriving connection of the same address ends",
        "tests/unit/api/test_http_server.py::test_one_address_gets_half_of_the_connections",
        "`api.displaced`",
    ),
    Bound(
        "Connections to the API",
        "request line and headers",
        "request",
        "api.connections.MAX_HEADER_BYTES",
        "431 RequestHeaderFieldsTooLarge, and the connection ends",
        "tests/unit/api/test_http_server.py::test_endless_headers_are_refused_and_the_server_stays_small",
        "`api.invalid`",
    ),
    Bound(
        "Connections to the API",
        "headers",
        "request",
        "api.connections.MAX_HEADER_COUNT",
        "the same",
        "tests/unit/api/test_http_server.py::test_the_number_of_headers_is_bounded",
        "`api.invalid`",
    ),
    Bound(
        "Connections to the API",
        "requests that have arrived in part or wait for their answer",
        "process",
        "api.connections.MAX_ARRIVING_BYTES",
        "the connection that has been arriving for longest ends",
        "tests/unit/api/test_http_server.py::test_the_bytes_of_unfinished_bodies_are_bounded_together",
        "`api.displaced`",
    ),
    Bound(
        "Connections to the API",
        "time for a request to arrive, headers and body",
        "request",
        "setting api_request_timeout",
        "408 RequestTimeout, and the connection ends",
        "tests/unit/api/test_http_server.py::test_a_request_that_takes_too_long_is_ended",
        "`api.timed_out`",
    ),
    Bound(
        "Connections to the API",
        "time between an answer and the next request",
        "connection",
        "setting api_idle_timeout",
        "the connection is closed",
        "tests/unit/api/test_http_server.py::test_an_idle_connection_is_closed_and_a_used_one_is_kept",
    ),
    Bound(
        "Requests to the API",
        "threads that answer operations; a single account gets half",
        "process, account",
        "api.app.OPERATION_THREADS",
        "requests wait in turn, account by account",
        "tests/e2e/test_fairness.py::test_calls_that_wait_for_a_slow_handler_delay_neither_another_account_nor_health",
    ),
    Bound(
        "Requests to the API",
        "requests that wait for such a thread",
        "process",
        "api.app.OPERATIONS_WAITING[0]",
        "ThrottlingException; the account with the most loses its newest",
        "tests/unit/api/test_fair_threads.py::test_the_owner_with_the_most_requests_loses_one_where_the_queue_is_full",
        "`api_requests_throttled`",
    ),
    Bound(
        "Requests to the API",
        "requests that wait for such a thread",
        "account",
        "api.app.OPERATIONS_WAITING[1]",
        "ThrottlingException",
        "tests/unit/api/test_fair_threads.py::test_an_owner_beyond_its_bound_is_refused_at_once_and_beyond_the_wait_later",
        "`api_requests_throttled`",
    ),
    Bound(
        "Requests to the API",
        "time that a request waits for a thread",
        "request",
        "api.fair_threads.WAIT_SECONDS",
        "503 ServiceUnavailableException",
        "tests/unit/api/test_fair_threads.py::test_a_call_that_finds_no_free_thread_in_time_is_unavailable",
    ),
    Bound(
        "Requests to the API",
        "threads that verify signatures; a single address gets half",
        "process, address",
        "api.app.AUTHENTICATION_THREADS",
        "requests wait in turn, address by address",
        "tests/unit/api/test_fair_threads.py::test_a_single_owner_gets_half_of_the_threads_and_another_one_gets_its_turn",
    ),
    Bound(
        "Requests to the API",
        "requests that wait to be authenticated",
        "address",
        "api.app.AUTHENTICATIONS_WAITING[1]",
        "ThrottlingException",
        "tests/unit/api/test_fair_threads.py::test_an_owner_beyond_its_bound_is_refused_at_once_and_beyond_the_wait_later",
        "`api_requests_throttled`",
    ),
    Bound(
        "Requests to the API",
        "time for which an access key that was found is not looked up again",
        "access key",
        "api.access_keys.ACCESS_KEY_SECONDS",
        "looked up again; a deleted key has stopped working",
        "tests/unit/api/test_access_keys.py::test_a_deleted_key_stops_working_after_its_time",
    ),
    Bound(
        "Requests to the API",
        "cached access keys",
        "process",
        "api.access_keys.MAX_CACHED_ACCESS_KEYS",
        "the key that was looked up first is removed",
        "tests/unit/api/test_access_keys.py::test_beyond_the_bound_the_key_looked_up_first_is_removed",
    ),
    Bound(
        "The store",
        "time of a transaction: write lock, connection, statements and commit together",
        "transaction",
        "store.deadline.STORE_TIMEOUT_SECONDS",
        "503 ServiceUnavailableException; nothing of it is kept",
        "tests/store/test_deadlines.py::test_forty_writers_behind_another_process_all_fail_in_time",
        "part `store` of health",
    ),
    Bound(
        "The store",
        "writers that share one commit",
        "commit",
        "store.group_commit.MAX_GROUP_WRITERS",
        "the group is committed; the next writer begins another",
        "tests/store/test_group_commit.py::test_a_group_has_a_maximum_number_of_writers",
    ),
    Bound(
        "The store",
        "age of a group up to which writers join it",
        "commit",
        "store.group_commit.MAX_GROUP_SECONDS",
        "the group is committed; the next writer begins another",
        "tests/store/test_group_commit.py::test_an_old_group_is_committed_before_the_next_writer",
    ),
    Bound(
        "The store",
        "connections to PostgreSQL",
        "process",
        "store.postgresql.MAX_CONNECTIONS",
        "transactions wait, at most until their deadline",
        "tests/store/test_deadlines.py::test_requests_to_a_hanging_server_fail_in_time_and_nothing_acknowledged_is_lost",
        "part `store` of health",
    ),
    Bound(
        "The store",
        "free bytes of the data folder's file system below which the part `data_folder` is failing",
        "process",
        "server.health.MIN_FREE_BYTES",
        "part `data_folder` of health fails",
        "tests/unit/server/test_health.py::test_a_file_system_that_is_nearly_full_is_failing",
        "part `data_folder` of health",
    ),
    Bound(
        "The log",
        "lines that wait to be written",
        "process",
        "observe.log_writer.MAX_WAITING_LINES",
        "further lines are dropped and counted",
        "tests/e2e/test_health.py::test_a_reader_of_the_log_that_stops_delays_nothing_and_misses_nothing",
        "`log_lines_dropped`; part `log` of health",
    ),
    Bound(
        "The log",
        "bytes of lines that wait to be written",
        "process",
        "observe.log_writer.MAX_WAITING_BYTES",
        "the same",
        "tests/unit/observe/test_log_writer.py::test_waiting_bytes_are_bounded_too",
        "the same",
    ),
    Bound(
        "The log",
        "time between two lines about one account's or address's refusals",
        "account, address",
        "observe.tally.LOG_INTERVAL_SECONDS",
        "one line with their count",
        "tests/unit/observe/test_tally.py::test_the_first_event_is_due_at_once_and_the_others_once_per_interval",
        "`count` of the line",
    ),
    Bound(
        "Registration of devices",
        "chains of unregistered certificates that wait to be examined",
        "process",
        "gateway.pump.MAX_REGISTRATION_BYTES",
        "`ADMISSION_QUEUE_FULL`: the account with the most loses its newest",
        "tests/unit/gateway/test_pump.py::test_an_account_that_fills_the_registration_queue_loses_its_newest_to_others",
        "`registrations_refused`",
    ),
    Bound(
        "Registration of devices",
        "chains of unregistered certificates that wait to be examined",
        "account",
        "gateway.pump.MAX_REGISTRATION_BYTES_PER_ACCOUNT",
        "`ADMISSION_QUEUE_FULL`",
        "tests/unit/gateway/test_pump.py::test_an_account_that_fills_the_registration_queue_loses_its_newest_to_others",
        "`registrations_refused`",
    ),
    Bound(
        "Requests of devices to services",
        "requests that are answered at a time; a single account gets half",
        "process, account",
        "gateway.requests.THREADS",
        "requests wait in turn: accounts, then certificates, then connections",
        "tests/e2e/test_fairness.py::test_a_device_that_requests_thousands_of_keys_delays_no_other_account",
        "`requests_waiting`",
    ),
    Bound(
        "Requests of devices to services",
        "requests that wait",
        "process",
        "gateway.requests.MAX_WAITING_BYTES",
        "rejected with 429; the account with the most loses its newest",
        "tests/unit/gateway/test_requests.py::test_requests_without_a_place_are_answered_counted_and_logged_once",
        "`requests_throttled`",
    ),
    Bound(
        "Requests of devices to services",
        "requests that wait",
        "account",
        "gateway.requests.MAX_WAITING_BYTES_PER_ACCOUNT",
        "rejected with 429",
        "tests/unit/gateway/test_requests.py::test_requests_without_a_place_are_answered_counted_and_logged_once",
        "`requests_throttled`",
    ),
    Bound(
        "Requests of devices to services",
        "requests that wait",
        "certificate",
        "gateway.requests.MAX_WAITING_BYTES_PER_CERTIFICATE",
        "rejected with 429",
        "tests/unit/gateway/test_requests.py::test_requests_without_a_place_are_answered_counted_and_logged_once",
        "`requests_throttled`",
    ),
    Bound(
        "Requests of devices to services",
        "requests that wait",
        "connection",
        "gateway.requests.MAX_WAITING_BYTES_PER_CONNECTION",
        "rejected with 429",
        "tests/unit/gateway/test_requests.py::test_requests_without_a_place_are_answered_counted_and_logged_once",
        "`requests_throttled`",
    ),
    Bound(
        "Handlers",
        "processes of Python functions, idle ones included; a single account gets half",
        "process, account",
        "setting handler_processes",
        "an idle one ends to make room; else calls wait in turn for their own timeout, and fail as busy",
        "tests/e2e/test_handler_fairness.py::test_a_function_that_is_called_in_many_regions_has_no_more_processes_than_the_limit",
        "`handler_processes_busy`, `handler_processes_refused`",
    ),
    Bound(
        "Handlers",
        "calls at once of a webhook or Lambda function; a single account gets half",
        "handler, account",
        "handlers.call.MAX_CALLS",
        "calls wait in turn for their own timeout, and fail as busy",
        "tests/unit/handlers/test_webhook.py::test_slow_calls_of_an_account_leave_connections_for_another",
        "`handler_calls_refused`",
    ),
    Bound(
        "Handlers",
        "calls that wait for a place",
        "handler",
        "handlers.turns.MAX_WAITING",
        "fail at once as busy",
        "tests/unit/handlers/test_turns.py::test_the_number_of_waiting_calls_is_bounded",
        "`handler_calls_refused`",
    ),
    Bound(
        "Handlers",
        "calls that wait for a place",
        "account",
        "handlers.turns.MAX_WAITING_OF_ACCOUNT",
        "fail at once as busy",
        "tests/unit/handlers/test_turns.py::test_the_number_of_waiting_calls_is_bounded",
        "`handler_calls_refused`",
    ),
    Bound(
        "Handlers",
        "events that are kept until a handler has processed them, failed ones included",
        "handler and account",
        "provisioning.deliveries.rules.MAX_EVENTS_PER_ACCOUNT",
        "failed ones are deleted, then new ones are not kept; the device's next attempt brings its event again",
        "tests/unit/provisioning/test_deliveries.py::test_the_events_of_an_account_for_a_handler_are_bounded",
        "`handler_events_not_kept`, `handler_events_forgotten`",
    ),
    Bound(
        "Handlers",
        "answer of a handler",
        "call",
        "handlers.call.MAX_RESULT_BYTES",
        "the call fails",
        "tests/unit/handlers/test_webhook.py::test_an_endless_answer_is_an_error",
    ),
    Bound(
        "Connections of devices",
        "connections",
        "process",
        "setting max_connections",
        "a connection that is not admitted yet ends, otherwise the new one: `TOO_MANY_CONNECTIONS`",
        "tests/e2e/test_gateway_settings.py::test_the_settings_of_the_gateway_apply_to_its_connections",
        "`refused.TOO_MANY_CONNECTIONS`",
    ),
    Bound(
        "Connections of devices",
        "connections that are not admitted yet, when all connections are in use: one in this many",
        "network (IPv4 address, IPv6 /64)",
        "gateway/half_open.rs NETWORK_SHARE",
        "the oldest of the network ends to make room for a new one, else the oldest of all",
        "crates/gateway/src/half_open.rs::an_address_with_half_of_them_ends_its_own_oldest",
        "`half_open_displaced`",
    ),
    Bound(
        "Connections of devices",
        "time for the TLS handshake and CONNECT together",
        "connection",
        "setting handshake_timeout",
        "the connection ends",
        "tests/e2e/test_bad_input_gateway.py::test_hundreds_of_half_open_handshakes_exclude_no_device_and_end_by_themselves",
        "`refused.HANDSHAKE_TIMEOUT`",
    ),
    Bound(
        "Connections of devices",
        "bytes that are ready for a client and not sent",
        "connection",
        "broker/limits.rs outbox_bytes",
        "QoS 0 is dropped and counted, QoS 1 waits in the session's queue",
        "crates/gateway/tests/gateway/messages.rs::a_subscriber_that_stops_reading_costs_only_itself",
        "`messages_dropped.outbox_full`",
    ),
    Bound(
        "Connections of devices",
        "time in which a client reads nothing although data waits for it",
        "connection",
        "gateway/connection.rs WRITE_TIMEOUT",
        "the connection ends",
        "crates/gateway/tests/gateway/messages.rs::a_subscriber_that_stops_reading_costs_only_itself",
    ),
    Bound(
        "Connections of devices",
        "certificates that wait for the control plane; an account gets half",
        "process, account",
        "gateway/config.rs admission_queue",
        "`ADMISSION_QUEUE_FULL`; the account, then the network, with the most loses its newest",
        "crates/gateway/src/bridge/tests.rs::an_account_that_fills_the_queue_is_refused_alone_and_gives_way_to_others",
        "`refused.ADMISSION_QUEUE_FULL`",
    ),
    Bound(
        "Connections of devices",
        "time for the control plane's answer about a certificate",
        "certificate",
        "setting admission_timeout",
        "`CONTROL_PLANE_TIMEOUT`; cached certificates still connect",
        "tests/e2e/test_control_plane_paused.py::test_while_python_is_paused_messages_flow_and_known_certificates_connect",
        "`refused.CONTROL_PLANE_TIMEOUT`",
    ),
    Bound(
        "Connections of devices",
        "refusals that wait to be logged; an account gets half",
        "process, account",
        "gateway/bridge.rs MAX_REFUSALS.total",
        "further ones are counted and not logged",
        "crates/gateway/src/bridge/tests.rs::requests_and_refusals_of_one_account_neither_delay_nor_displace_those_of_another",
        "`refusals_dropped`",
    ),
    Bound(
        "Connections of devices",
        "requests to services that wait for the control plane; an account gets half",
        "process, account",
        "gateway/bridge.rs MAX_REQUEST_BYTES.total",
        "the newest of the account with most is dropped and counted",
        "crates/gateway/src/bridge/tests.rs::requests_and_refusals_of_one_account_neither_delay_nor_displace_those_of_another",
    ),
    Bound(
        "Regions",
        "your own regions, in addition to those of AWS",
        "process",
        "regions.MAX_OWN_REGIONS",
        "the server does not start",
        "tests/unit/server/test_settings.py::test_the_regions_of_a_site_are_bounded",
    ),
    Bound(
        "MQTT sessions and messages",
        "messages that are queued, being sent or not acknowledged; packets that have not arrived in full",
        "process; one account gets `account_share` percent",
        "setting max_message_bytes",
        "a QoS 1 message that would have to be queued is refused (MQTT 5: PUBACK 0x97; 3.1.1: no PUBACK; "
        "iot-data: ThrottlingException); with all of it used, QoS 0 is dropped; a connection "
        "within a large packet ends",
        "crates/gateway/tests/gateway/budget.rs::a_device_that_fills_queues_gets_its_accounts_share_and_another_account_goes_on",
        "`held.message_bytes`, `messages_dropped.budget`, `refused.MESSAGE_MEMORY_FULL`",
    ),
    Bound(
        "MQTT sessions and messages",
        "retained messages",
        "the same",
        "setting max_retained_bytes",
        "PUBLISH is refused (0x97); a retained will is sent and not kept",
        "crates/broker/tests/stories/budget.rs::retained_messages_are_held_within_the_budget",
        "`held.retained_bytes`, `refused.RETAINED_STORE_FULL`",
    ),
    Bound(
        "MQTT sessions and messages",
        "persistent sessions",
        "the same",
        "setting max_persistent_sessions",
        "CONNECT without a clean session is refused (0x97; 3.1.1: return code 3)",
        "crates/broker/tests/stories/budget.rs::persistent_sessions_are_limited_and_clean_ones_are_not",
        "`held.persistent_sessions`, `refused.TOO_MANY_SESSIONS`",
    ),
    Bound(
        "MQTT sessions and messages",
        "memory of persistent sessions, subscriptions and wills",
        "the same",
        "setting max_session_bytes",
        "CONNECT or SUBSCRIBE is refused (0x97; 3.1.1: return code 3, SUBACK 0x80)",
        "crates/broker/tests/stories/budget.rs::wills_are_held_within_the_budget_delayed_or_not",
        "`held.session_bytes`, `refused.SESSION_MEMORY_FULL`",
    ),
    Bound(
        "MQTT sessions and messages",
        "percent of each of these limits",
        "account",
        "setting account_share",
        "as above; the first 5 % of its share are an account's own, whatever others use",
        "crates/broker/tests/stories/budget.rs::one_account_that_takes_all_it_can_leaves_another_its_share",
    ),
    Bound(
        "MQTT sessions and messages",
        "clients with a version number of lifecycle events",
        "process",
        "broker/budget.rs presence_records",
        "the oldest is removed; its number begins again at 0",
        "crates/broker/tests/stories/budget.rs::one_account_that_takes_all_it_can_leaves_another_its_share",
        "`held.presence_records`",
    ),
)
