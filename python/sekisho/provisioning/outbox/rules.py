"""Events that survive a restart: kept with what they tell of, in one transaction, and removed once published.

An event may be published twice where the server ends between the two; none is lost.
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

BATCH: Final = 256
"""Events published between two looks into the store."""

AT_LEAST_ONCE: Final = 1


class Outbox:
    """Takes events from the store to the broker, oldest first."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._flushing = threading.Lock()

    def flush(self) -> None:
        """Publish everything that is kept. What the broker does not take for now stays for the next time.

        Raises:
            StoreError: The store cannot be used. Nothing is lost; some events may be published again.
        """
        with self._flushing:
            going = True
            while going:
                with self._store.read() as tx:
                    waiting = OutboxRows(tx).first(BATCH)
                done: list[int] = []
                for number, event in waiting:
                    if not self.publish(event):
                        break
                    done.append(number)
                if done:
                    with self._store.write() as tx:
                        OutboxRows(tx).remove(done)
                going = len(done) == BATCH

    def publish(self, event: Event) -> bool:
        """Publish one event that is not kept, or not yet; False where the broker does not take it for now."""
        try:
            self._broker.publish(event.realm, Message(topic=event.topic, payload=event.payload, qos=AT_LEAST_ONCE))
        except (ServiceUnavailableException, ThrottlingException) as error:
            log.write(LogEvent.PUBLICATION_DELAYED, topic=event.topic, reason=str(error))
            return False
        except InvalidRequestException as error:
            # Kept, it would hold up every event after it, and never be taken.
            log.write(LogEvent.PUBLICATION_REFUSED, topic=event.topic, reason=str(error))
        return True
