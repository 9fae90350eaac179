"""Calls handlers for certificates that just-in-time registration registers.

The delivery for a registration is stored in the transaction of the registration. While the certificate is
PENDING_ACTIVATION, each further attempt of the device calls the handlers again, unless a delivery is pending, and at
most once in ``CALL_INTERVAL``: so a device that reconnects often costs little.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sekisho.certificates.model import Certificate
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.provisioning.deliveries.model import DeliveryState
from sekisho.provisioning.deliveries.rules import Enqueuing
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.provisioning.handlers import Handlers
from sekisho.provisioning.outbox.model import Event
from sekisho.realm import Realm
from sekisho.store.errors import StoreError
from sekisho.store.store import Store
from sekisho.store.transaction import Transaction

CALL_INTERVAL: Final = timedelta(seconds=10)
"""The time between two calls for a certificate."""

MAX_CERTIFICATES: Final = 10_000
"""Certificates of an account whose last call is kept."""


class RegistrationHandlers:
    """Enqueues deliveries for just-in-time registration. ``wake``: called after they are committed."""

    def __init__(self, store: Store, handlers: Handlers, enqueuing: Enqueuing, wake: Callable[[], None]) -> None:
        self._store = store
        self._handlers = handlers
        self._enqueuing = enqueuing
        self._wake = wake
        # By account, so that the devices of one account do not evict those of another.
        self._last: dict[str, OrderedDict[tuple[Realm, str], datetime]] = {}
        self._lock = threading.Lock()

    def registered_in(self, tx: Transaction, now: datetime, certificate: Certificate, event: Event) -> None:
        """Enqueue deliveries for a certificate that was registered in ``tx``. Call ``committed`` after its commit."""
        handlers = self._handlers_for(certificate)
        if handlers:
            self._remember(now, certificate)
        for handler in handlers:
            self._enqueuing.enqueue_in(tx, now, handler, event, certificate.certificate_id)

    def committed(self) -> None:
        """Deliver what was enqueued, once the transaction is committed."""
        self._wake()

    def reconnected(self, now: datetime, attempts: Iterable[tuple[Certificate, Event]]) -> None:
        """Enqueue deliveries for PENDING_ACTIVATION certificates that connect again. Logs an error of the store."""
        wanted = [
            (handler, certificate, event)
            for certificate, event in attempts
            if (handlers := self._handlers_for(certificate)) and self._is_due(now, certificate)
            for handler in handlers
        ]
        if not wanted:
            return
        try:
            with self._store.read() as tx:
                wanted = [each for each in wanted if not _waits(tx, each[0], each[1])]
            if wanted:
                with self._store.write() as tx:
                    for handler, certificate, event in wanted:
                        # Another thread may have enqueued one since the read.
                        if not _waits(tx, handler, certificate):
                            self._enqueuing.enqueue_in(tx, now, handler, event, certificate.certificate_id)
        except StoreError as failure:
            log.write(LogEvent.REGISTRATION_HANDLERS_NOT_CALLED, reason=str(failure), certificates=len(wanted))
            return
        if wanted:
            self._wake()

    def _handlers_for(self, certificate: Certificate) -> Sequence[str]:
        if certificate.ca_certificate_id is None:
            return ()
        return self._handlers.for_certificate_registered(certificate.realm, certificate.ca_certificate_id)

    def _is_due(self, now: datetime, certificate: Certificate) -> bool:
        with self._lock:
            of_account = self._last.get(certificate.realm.account_id)
            last = of_account.get((certificate.realm, certificate.certificate_id)) if of_account else None
        # If the clock was set back, the last call may be in the future, which must not block the device.
        if last is not None and timedelta() <= now - last < CALL_INTERVAL:
            return False
        self._remember(now, certificate)
        return True

    def _remember(self, now: datetime, certificate: Certificate) -> None:
        key = (certificate.realm, certificate.certificate_id)
        with self._lock:
            of_account = self._last.setdefault(certificate.realm.account_id, OrderedDict())
            of_account[key] = now
            of_account.move_to_end(key)
            if len(of_account) > MAX_CERTIFICATES:
                of_account.popitem(last=False)


def _waits(tx: Transaction, handler: str, certificate: Certificate) -> bool:
    delivery = DeliveryRows(tx).get(certificate.realm, handler, certificate.certificate_id)
    return delivery is not None and delivery.state is DeliveryState.PENDING
