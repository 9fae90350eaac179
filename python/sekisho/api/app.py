"""The steps by which a request is answered, and the ASGI application around them.

    signature and access key (sigv4) → operation (router) → parameters (codec) → constraints of the model (validate)
    → the operation's function → the response (codec)

Any step may refuse with an exception of `sekisho.errors` or `sekisho.api.errors`; `sekisho.api.errors` turns it into
the answer. All steps are synchronous and run in worker threads, because operations use a database: the first step
in threads for requests that are not authenticated yet, the others in threads that accounts share (`fair_threads`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from sekisho.api import query, reports, rotations
from sekisho.api.access_keys import CachedCredentials
from sekisho.api.browsers import RefuseWebPages
from sekisho.api.client_settings import ClientSettingsRoutes
from sekisho.api.codec import codec_of
from sekisho.api.documents import take_documents
from sekisho.api.echo import echo
from sekisho.api.errors import (
    InvalidSignatureException,
    NotImplementedException,
    error_response,
)
from sekisho.api.fair_threads import WAIT_SECONDS, Busy, FairThreads, TooLate
from sekisho.api.health import HealthRoutes, ReportsHealth
from sekisho.api.http import MAX_BODY_BYTES, HttpRequest, HttpResponse, header_text
from sekisho.api.metrics import MetricsRoute
from sekisho.api.model import ModelError, ServiceModel, service_models
from sekisho.api.operation import Call, Caller, Handler, Operations, installed_operations
from sekisho.api.router import Router
from sekisho.api.sigv4 import (
    ClaimedSignature,
    Credentials,
    SecretKey,
    claimed_signature,
    header_scope_of,
    scope_of,
    verify,
)
from sekisho.api.validate import validate
from sekisho.errors import (
    AwsException,
    InternalFailureException,
    RequestEntityTooLargeException,
    ServiceUnavailableException,
    ThrottlingException,
)
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.observe.tally import Tally
from sekisho.realm import Realm
from sekisho.regions import Regions
from sekisho.store.errors import StoreError

if TYPE_CHECKING:
    from sekisho.server.run_file import Run
from sekisho.server.run_file import METRICS_PATH
from sekisho.server.services import Services

# The services that a signing name may mean. The developer guide signs data-plane requests for `iotdevicegateway`,
# botocore for `iotdata`; jobs on the data plane have a name of their own.
_SIGNING_NAMES: Mapping[str, Sequence[str]] = {
    "iot": ("iot",),
    "iotdata": ("iot-data",),
    "iotdevicegateway": ("iot-data", "iot-jobs-data"),
    "iot-jobs-data": ("iot-jobs-data",),
    "sts": ("sts",),
}
_ANY_SERVICE = ("iot", "iot-data", "iot-jobs-data")

_OWN_PATHS: Final = "/_sekisho/"
"""Prefix of the server's own resources, all but the metrics: health, client settings, reports, rotations."""

R = TypeVar("R")

OPERATION_THREADS: Final = 40
"""Requests of all accounts that are answered at a time; one account gets at most half of them."""

OPERATIONS_WAITING: Final = (1000, 250, 250)
"""Requests that wait for a thread: in all, of one account, of one access key. Further ones are throttled."""

AUTHENTICATION_THREADS: Final = 8
"""Requests whose signature is verified at a time, and reports of bulk registrations; one address gets at most half."""

AUTHENTICATIONS_WAITING: Final = (1000, 500, 250)
"""Requests that wait to be authenticated: in all, from one address, with one access key. Further ones are throttled."""

_READS: Final = ("Describe", "Get", "List", "Search", "Test", "Validate")
"""How the names of operations begin that change nothing."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The signer of a request, and the services that the request may be for.

    Attributes:
        signed_headers: The names of the headers that the signature covers; None where no signature is verified.
    """

    call: Call
    services: Sequence[str]
    signed_headers: frozenset[str] | None = None


class Api:
    """Answers requests; needs no web framework. `build` makes an ASGI application of it.

    Args:
        services: Passed to every operation.
        credentials: Looks up access keys.
        clock: The present time, aware.
        default_realm: The account and region of requests that name none (with `any_credentials` only).
        regions: The regions that the server serves; by default AWS's own.
        any_credentials: Accept unsigned requests and unknown access keys for the default account, and verify no
            signature. The account of a known key and the region are taken from the Authorization header alone. The
            caller makes sure that the server listens on loopback only and that no web page reaches it (`build` does).
        operations: By default those of `sekisho.api.operations`.

    Raises:
        ModelError: The installed models do not have one of the operations.
    """

    def __init__(
        self,
        services: Services,
        credentials: Credentials,
        clock: Callable[[], datetime],
        *,
        default_realm: Realm,
        regions: Regions | None = None,
        any_credentials: bool = False,
        operations: Operations | None = None,
    ) -> None:
        self._services = services
        self._credentials = CachedCredentials(credentials)
        self._clock = clock
        self._default_realm = default_realm
        self._regions = regions or Regions()
        self._any_credentials = any_credentials
        self._operations = installed_operations() if operations is None else operations
        self._models = service_models()
        self._router = Router(self._models)
        _refuse_unknown(self._operations, self._models)

    def cached_account(self, access_key_id: str) -> str | None:
        """Return the account of an access key if it is cached and signatures are verified, else None."""
        key = None if self._any_credentials else self._credentials.cached(access_key_id)
        return None if key is None else key.account_id

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the response to `request`; never raises."""
        authenticated = self.authenticate(request)
        if isinstance(authenticated, HttpResponse):
            return authenticated
        return self.perform(request, authenticated)

    def authenticate(
        self, request: HttpRequest, claimed: ClaimedSignature | None = None
    ) -> Authenticated | HttpResponse:
        """Return the signer of a request, or the response that refuses it; never raises.

        Args:
            claimed: As of ``sigv4.verify``.
        """
        request_id = str(uuid4())
        try:
            realm, caller, services, signed_headers = self._authenticate(request, claimed)
            call = Call(realm, caller, self._services, request_id, request.source_ip, _base_url(request))
        except (AwsException, StoreError, OSError) as error:
            return self._refusal(error, request, None, request_id)
        except Exception:
            log.exception(LogEvent.API_REQUEST_FAILED, **_log_fields(request, request_id))
            return self._failure(self._likely_service(request), request_id)
        return Authenticated(call, services, signed_headers)

    def perform(self, request: HttpRequest, authenticated: Authenticated) -> HttpResponse:
        """Return the response to an authenticated request; never raises."""
        call, services = authenticated.call, authenticated.services
        request_id = call.request_id
        service: str | None = None
        name: str | None = None
        try:
            if services == ("sts",):
                return self._answer_query(request, call)
            if rotations.is_meant(request):
                service = rotations.SERVICE
                return self._answer_own(request, call, services)
            route = self._router.route(services, request.method, request.raw_path)
            service, name = route.service, route.operation
            handler = self._handler(service, route.operation)
            operation = self._models[service].operation(route.operation)
            codec = codec_of(operation)
            _refuse_unsigned_parameters(request, codec.header_names, authenticated.signed_headers)
            parameters = codec.parse(request, route.labels)
            validate(operation, parameters)
            response = codec.write(handler(call, take_documents(parameters)))
        except (AwsException, StoreError, OSError) as error:
            return self._refusal(error, request, service, request_id, call, name)
        except Exception:
            log.exception(LogEvent.API_REQUEST_FAILED, **_log_fields(request, request_id, call, name))
            return self._failure(service or self._likely_service(request), request_id)
        event = LogEvent.API_CHANGE_MADE if is_change(service, name) else LogEvent.API_REQUEST_ANSWERED
        log.write(event, **_log_fields(request, request_id, call, name), http_status=response.status)
        return HttpResponse(response.status, [*response.headers, ("x-amzn-requestid", request_id)], response.body)

    def _refusal(
        self,
        error: AwsException | StoreError | OSError,
        request: HttpRequest,
        service: str | None,
        request_id: str,
        call: Call | None = None,
        operation: str | None = None,
    ) -> HttpResponse:
        service = service or self._likely_service(request)
        fields = _log_fields(request, request_id, call, operation)
        if isinstance(error, AwsException):
            response = error_response(error, self._models, service, request_id)
            log.write(
                LogEvent.API_REQUEST_REFUSED,
                reason=error.message,
                error_code=error.code,
                **fields,
                http_status=response.status,
            )
            return response
        # Not a bug: a full disk, a lock, a database that is down. Clients retry after 503.
        log.write(LogEvent.REGISTRY_UNAVAILABLE, reason=str(error), **fields)
        unavailable = ServiceUnavailableException(
            f"Sekisho's registry cannot be used at present. Its log has the reason under request id {request_id}."
        )
        return error_response(unavailable, self._models, service, request_id)

    def refuse(self, request: HttpRequest, error: AwsException) -> HttpResponse:
        """Return the response to a request that is refused before it is read."""
        return error_response(error, self._models, self._likely_service(request), str(uuid4()))

    def _answer_own(self, request: HttpRequest, call: Call, services: Sequence[str]) -> HttpResponse:
        if rotations.SERVICE not in services:
            raise InvalidSignatureException(
                f"Credential should be scoped to the service '{rotations.SERVICE}' for {echo(request.raw_path)}."
            )
        response = rotations.answer(call, request)
        event = LogEvent.API_REQUEST_ANSWERED if request.method == "GET" else LogEvent.API_CHANGE_MADE
        log.write(event, **_log_fields(request, call.request_id, call), http_status=response.status)
        return HttpResponse(response.status, [*response.headers, ("x-amzn-requestid", call.request_id)], response.body)

    def _answer_query(self, request: HttpRequest, call: Call) -> HttpResponse:
        model = self._models["sts"]
        fields = query.parse_form(request)
        operation = model.operation(query.action_of(model, fields))
        handler = self._handler("sts", operation.name)
        parameters = query.parse_parameters(operation, fields)
        validate(operation, parameters)
        response = query.write_result(model, operation, handler(call, parameters), call.request_id)
        about = _log_fields(request, call.request_id, call, operation.name)
        log.write(LogEvent.API_REQUEST_ANSWERED, **about, http_status=response.status)
        return HttpResponse(response.status, [*response.headers, ("x-amzn-requestid", call.request_id)], response.body)

    def _handler(self, service: str, operation: str) -> Handler:
        handler = self._operations.handler(service, operation)
        if handler is None:
            family = "an AWS STS" if service == "sts" else "an AWS IoT"
            raise NotImplementedException(
                f"{operation} is {family} operation that Sekisho does not have yet; "
                "`sekisho api coverage` lists those it has."
            )
        return handler

    def _failure(self, service: str | None, request_id: str) -> HttpResponse:
        error = InternalFailureException(
            f"Sekisho failed to answer this request. Its log has the reason under request id {request_id}."
        )
        return error_response(error, self._models, service, request_id)

    # The signer, the realm and the service.

    def _authenticate(
        self, request: HttpRequest, claimed: ClaimedSignature | None
    ) -> tuple[Realm, Caller, Sequence[str], frozenset[str] | None]:
        if self._any_credentials:
            return *self._take_anyone(request), None
        signer = verify(request, self._credentials, self._clock, claimed)
        services = _services_of(signer.scope.service)
        realm = self._realm(signer.key.account_id, signer.scope.region)
        return realm, _caller(signer.scope.access_key_id, signer.key), services, signer.signed_headers

    def _take_anyone(self, request: HttpRequest) -> tuple[Realm, Caller, Sequence[str]]:
        # Clients with invented keys choose their region in the Authorization header, which a web page cannot set.
        scope = header_scope_of(request)
        if scope is None:
            services: Sequence[str] = ("sts",) if _looks_like_query(request) else _ANY_SERVICE
            return self._default_realm, _caller("", _anyone(self._default_realm)), services
        key = self._credentials(scope.access_key_id) or _anyone(self._default_realm)
        return (
            self._realm(key.account_id, scope.region),
            _caller(scope.access_key_id, key),
            _services_of(scope.service),
        )

    def _realm(self, account_id: str, region: str) -> Realm:
        """Return the realm that a request is signed for. All objects of a request are in it."""
        if region not in self._regions:
            raise InvalidSignatureException(
                f"Credential should be scoped to a valid region. {self._regions.why_not(region)}"
            )
        return Realm(account_id, region)

    def _likely_service(self, request: HttpRequest) -> str | None:
        """Return the service whose form of errors the client most likely reads, before anything is verified."""
        scope = scope_of(request)
        if scope is not None and scope.service in _SIGNING_NAMES:
            return _SIGNING_NAMES[scope.service][0]
        return "sts" if _looks_like_query(request) else None


def build(
    services: Services,
    credentials: Credentials,
    clock: Callable[[], datetime],
    *,
    default_realm: Realm,
    regions: Regions | None = None,
    any_credentials: bool = False,
    health: ReportsHealth | None = None,
    describe: Callable[[], Run] | None = None,
    operations: Operations | None = None,
) -> Starlette:
    """Make the ASGI application: the AWS APIs on every path, the server's health and reports.

    Its `state.statistics()` counts requests that are being answered, that wait, and that were throttled.

    Args:
        health: The server's health; with None there are no health routes.
        describe: Where clients find the server; with None there are no routes of client settings.

    The other arguments, and ModelError, are those of `Api`.
    """
    api = Api(
        services,
        credentials,
        clock,
        default_realm=default_realm,
        regions=regions,
        any_credentials=any_credentials,
        operations=operations,
    )

    host = _Host(api)

    # Looked up at each request: tests build the application without services.
    fetch_report = reports.route(lambda file: services.registration_tasks.report(file), host.run_unauthenticated)
    middleware = [Middleware(RefuseWebPages), Middleware(_RoutedAsSent)]
    health_routes: list[BaseRoute] = []
    if health is not None:
        of_health = HealthRoutes(health)
        health_routes = [*of_health.routes, *MetricsRoute(of_health.report).routes]
    client_routes = [] if describe is None else ClientSettingsRoutes(describe).routes
    routes = [*health_routes, *client_routes, fetch_report, Mount("/", host)]
    application = Starlette(routes=routes, middleware=middleware) if any_credentials else _Application(routes, host)
    application.state.statistics = host.statistics
    # Targets that are not paths, such as `*`, match no route.
    application.router.default = host
    return application


class _Application(Starlette):
    """Starlette for the server's own paths; requests of the AWS APIs, which are all others, bypass its layers."""

    def __init__(self, routes: Sequence[BaseRoute], host: ASGIApp) -> None:
        super().__init__(routes=routes, middleware=[Middleware(_RoutedAsSent)])
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_own(_raw_path(scope)):
            await self._host(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _is_own(path: str) -> bool:
    return path.startswith(_OWN_PATHS) or path == METRICS_PATH


class _RoutedAsSent:
    """ASGI middleware: routes paths as they were sent, with their escapes.

    Starlette's patterns do not match line feeds: `/things/a%0Ab`, unescaped, would match none of them, and
    `/_sekisho/health%0A` would be health.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": _raw_path(scope)}, receive, send)


class _Host:
    """Carries requests between ASGI and an `Api`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._authentication = FairThreads(AUTHENTICATION_THREADS, AUTHENTICATIONS_WAITING)
        self._operations = FairThreads(OPERATION_THREADS, OPERATIONS_WAITING)
        self._throttled = Tally()
        self._given_up = Tally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(scope, receive)
        except ClientDisconnect:
            return
        except RequestEntityTooLargeException as error:
            answer = self._api.refuse(_request(scope, b""), error)
        else:
            answer = await self._answer(_request(scope, body))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def run_unauthenticated(self, source_ip: str, function: Callable[[], R]) -> R:
        """Return what `function` returns, called in a thread for requests whose account is unknown. Raises Busy."""
        return await self._authentication.run((source_ip, ""), function)

    def statistics(self) -> Mapping[str, int]:
        """Return the numbers of requests in threads and waiting; since the start, of those throttled and timed out."""
        operations, authentication = self._operations.statistics(), self._authentication.statistics()
        return {
            "requests_in_hand": operations["busy"],
            "requests_waiting": operations["waiting"],
            "authentications_in_hand": authentication["busy"],
            "authentications_waiting": authentication["waiting"],
            "requests_throttled": self._throttled.total,
            "requests_timed_out": self._given_up.total,
        }

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        signature = claimed_signature(request)
        claimed = signature.scope.access_key_id if signature is not None else ""
        answer = self._answer_in_one_thread(request, signature, claimed)
        if answer is not None:
            return await answer
        try:
            authenticated = await self._authentication.run(
                (request.source_ip, claimed), self._api.authenticate, request, signature
            )
        except TooLate:
            return self._give_up(request, source_ip=request.source_ip)
        except Busy:
            return self._throttle(request, f"The address {request.source_ip}", source_ip=request.source_ip)
        if isinstance(authenticated, HttpResponse):
            return authenticated
        account_id = authenticated.call.realm.account_id
        try:
            return await self._operations.run(
                (account_id, authenticated.call.caller.access_key_id), self._api.perform, request, authenticated
            )
        except TooLate:
            return self._give_up(request, account_id=account_id)
        except Busy:
            return self._throttle(request, f"Account {account_id}", account_id=account_id)

    def _answer_in_one_thread(
        self, request: HttpRequest, signature: ClaimedSignature | None, claimed: str
    ) -> Awaitable[HttpResponse] | None:
        """Return the answer from one thread instead of two if no thread has to be waited for; else None.

        A request that only claims to be of an account uses a thread of the account before its signature is verified:
        at most ``AUTHENTICATION_THREADS`` of them, and never a place in the account's queue.
        """
        account_id = self._api.cached_account(claimed)
        if account_id is None:
            return None
        peer, caller = (request.source_ip, claimed), (account_id, claimed)
        if not self._authentication.try_take(peer):
            return None
        if not self._operations.try_take(caller):
            self._authentication.give_back(peer)
            return None
        loop = asyncio.get_running_loop()

        def answer() -> HttpResponse:
            try:
                authenticated = self._api.authenticate(request, signature)
            finally:
                self._authentication.give_back_from_thread(peer, loop)
            if isinstance(authenticated, HttpResponse):
                return authenticated
            return self._api.perform(request, authenticated)

        return self._operations.run_in_place(caller, answer)

    def _throttle(self, request: HttpRequest, owner: str, **about: str) -> HttpResponse:
        if count := self._throttled.add(owner):
            log.write(LogEvent.API_REQUESTS_THROTTLED, count=count, **about)
        error = ThrottlingException(f"{owner} has more requests than the server answers at a time. Try again later.")
        return self._api.refuse(request, error)

    def _give_up(self, request: HttpRequest, **about: str) -> HttpResponse:
        if count := self._given_up.add(tuple(about.values())):
            log.write(LogEvent.API_REQUESTS_TIMED_OUT, count=count, **about)
        error = ServiceUnavailableException(
            f"No thread of the server was free for this request within {WAIT_SECONDS:g} s. Try again later."
        )
        return self._api.refuse(request, error)


def is_change(service: str, operation: str) -> bool:
    """Whether an operation changes the registry; the service models do not say it. Publishing does not."""
    return service == "iot" and not operation.startswith(_READS)


def _log_fields(
    request: HttpRequest, request_id: str, call: Call | None = None, operation: str | None = None
) -> dict[str, str | None]:
    """Return what a log line says about a request, as far as it is known."""
    return {
        "operation": operation,
        "account_id": None if call is None else call.realm.account_id,
        "region": None if call is None else call.realm.region,
        # Not verified where the server takes any credentials.
        "access_key_id": None if call is None else echo(call.caller.access_key_id) or None,
        "source_ip": request.source_ip or None,
        "request_id": request_id,
        "http_method": echo(request.method) if operation is None else None,
        "path": echo(request.raw_path) if operation is None else None,
    }


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the body. Raises RequestEntityTooLargeException, and ClientDisconnect where it is incomplete."""
    too_large = RequestEntityTooLargeException(
        f"The request's body is larger than the {MAX_BODY_BYTES} bytes that are accepted."
    )
    # The HTTP server has checked that it is a number.
    if any(name == b"content-length" and int(value) > MAX_BODY_BYTES for name, value in scope["headers"]):
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _request(scope: Scope, body: bytes) -> HttpRequest:
    client = scope.get("client")
    return HttpRequest(
        method=scope["method"],
        raw_path=_raw_path(scope),
        query_string=header_text(scope.get("query_string", b"")),
        headers=[(name.decode("latin-1").lower(), header_text(value)) for name, value in scope["headers"]],
        body=body,
        source_ip=client[0] if client else "",
    )


def _raw_path(scope: Scope) -> str:
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return header_text(raw_path.partition(b"?")[0])


def _refuse_unknown(operations: Operations, models: Mapping[str, ServiceModel]) -> None:
    for service, name in operations:
        if service not in models or name not in models[service].operation_names:
            raise ModelError(
                f"The installed botocore has no operation {service}:{name}. Check its spelling, or upgrade botocore."
            )


def _refuse_unsigned_parameters(request: HttpRequest, names: Sequence[str], signed: frozenset[str] | None) -> None:
    """Check that headers with parameters of an operation are signed, such as X-Amz-Mqtt5-User-Properties."""
    unsigned = [
        name for name in names if request.header(name) is not None and signed is not None and name not in signed
    ]
    if unsigned:
        raise InvalidSignatureException(
            f"There were headers present in the request which were not signed: {', '.join(unsigned)}. "
            "Name them in SignedHeaders."
        )


def _services_of(signing_name: str) -> Sequence[str]:
    services = _SIGNING_NAMES.get(signing_name)
    if services is None:
        raise InvalidSignatureException(
            f"Credential should be scoped to a service that Sekisho serves ({', '.join(_SIGNING_NAMES)}), "
            f"not to '{echo(signing_name)}'."
        )
    return services


def _base_url(request: HttpRequest) -> str:
    # A TLS-terminating proxy sends X-Forwarded-Proto.
    scheme = "https" if request.header("x-forwarded-proto") == "https" else "http"
    return f"{scheme}://{request.header('host') or 'localhost'}"


def _looks_like_query(request: HttpRequest) -> bool:
    return request.raw_path in ("", "/") and request.method in ("GET", "POST")


def _caller(access_key_id: str, key: SecretKey) -> Caller:
    return Caller(access_key_id, key.account_id, key.arn, key.user_id)


def _anyone(realm: Realm) -> SecretKey:
    account_id = realm.account_id
    return SecretKey(account_id, f"arn:aws:iam::{account_id}:root", account_id, secret="")
