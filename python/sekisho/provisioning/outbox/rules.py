"""The outbox: events that are stored in the transaction that causes them, and removed once they are published.

No event is lost. If the server ends between publishing and removing an event, it is published twice.
"""

from __future__ import annotations

import threading
from typing import Final

from sekisho.errors import InvalidRequestException, ServiceUnavailableException, ThrottlingException
from sekisho.messaging.publishing import Broker, Message
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.provisioning.outbox.model import Event
from sekisho.provisioning.outbox.store import OutboxRows
from sekisho.store.store import Store

EVENTS_PER_READ: Final = 256
"""Events of one read of the store."""

AT_LEAST_ONCE: Final = 1


class Outbox:
    """Publishes the events of the store, oldest first."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._flushing = threading.Lock()

    def flush(self) -> None:
        """Publish and remove the stored events. Events that the broker refuses at present remain.

        Raises:
            StoreError: The store cannot be used. Some events may be published again.
        """
        with self._flushing:
            going = True
            while going:
                with self._store.read() as tx:
                    waiting = OutboxRows(tx).first(EVENTS_PER_READ)
                done: list[int] = []
                for number, event in waiting:
                    if not self.publish(event):
                        break
                    done.append(number)
                if done:
                    with self._store.write() as tx:
                        OutboxRows(tx).remove(done)
                going = len(done) == EVENTS_PER_READ

    def publish(self, event: Event) -> bool:
        """Publish an event; False where the broker refuses it at present."""
        try:
            self._broker.publish(event.realm, Message(topic=event.topic, payload=event.payload, qos=AT_LEAST_ONCE))
        except (ServiceUnavailableException, ThrottlingException) as error:
            log.write(LogEvent.PUBLICATION_DELAYED, topic=event.topic, reason=str(error))
            return False
        except InvalidRequestException as error:
            # The broker would refuse it each time, so it is removed.
            log.write(LogEvent.PUBLICATION_REFUSED, topic=event.topic, reason=str(error))
        return True
