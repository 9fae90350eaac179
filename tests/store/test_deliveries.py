"""Deliveries to handlers (``ports.DeliveryRows``), kept by every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sekisho.provisioning.deliveries.model import DeliveryState
from sekisho.provisioning.deliveries.store import DeliveryRows
from sekisho.store.store import Store
from tests.store.builders import HOME, NOW, OTHER_ACCOUNT, certificate_id, delivery

SECOND = timedelta(seconds=1)
OWN = HOME.account_id
PENDING, FAILED = DeliveryState.PENDING, DeliveryState.FAILED


def test_a_delivery_is_read_as_it_was_put(store: Store) -> None:
    given = delivery(payload=bytes([0, 255]), attempts=3, last_error="ü: no", state=FAILED, created_at=NOW - SECOND)
    with store.write() as tx:
        DeliveryRows(tx).put(given)
    with store.read() as tx:
        assert DeliveryRows(tx).get(HOME, "activate", certificate_id(1)) == given
        assert DeliveryRows(tx).get(OTHER_ACCOUNT, "activate", certificate_id(1)) is None
        assert DeliveryRows(tx).get(HOME, "another", certificate_id(1)) is None
        assert DeliveryRows(tx).get(HOME, "activate", certificate_id(2)) is None


def test_pending_deliveries_of_a_handler_are_returned_in_the_order_of_their_due_times(store: Store) -> None:
    late, early, same = delivery(1, next_attempt_at=NOW + SECOND), delivery(2), delivery(3)
    with store.write() as tx:
        for each in (late, early, same, delivery(4, state=FAILED), delivery(5, handler="another")):
            DeliveryRows(tx).put(each)
    with store.read() as tx:
        assert [each for _, each in DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)] == [early, same, late]
        assert [each for _, each in DeliveryRows(tx).upcoming("activate", HOME.account_id, 2)] == [early, same]
        assert DeliveryRows(tx).upcoming("nobody", HOME.account_id, 10) == []


def test_a_worker_does_not_change_a_delivery_that_has_replaced_its_own(store: Store) -> None:
    with store.write() as tx:
        DeliveryRows(tx).put(delivery())
        DeliveryRows(tx).put(delivery(realm=OTHER_ACCOUNT))
        [(number, in_hand)] = DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)
    with store.write() as tx:
        DeliveryRows(tx).put(anew := delivery(payload=b"anew"))
    with store.write() as tx:
        DeliveryRows(tx).update(number, replace(in_hand, state=FAILED))
        DeliveryRows(tx).remove(number)
    with store.read() as tx:
        waiting = DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)
        assert [each for _, each in waiting] == [anew]
        others = DeliveryRows(tx).upcoming("activate", OTHER_ACCOUNT.account_id, 10)
        assert [each for _, each in others] == [delivery(realm=OTHER_ACCOUNT)]
        assert number not in [other for other, _ in waiting]


def test_a_delivery_is_updated_and_removed_by_its_number(store: Store) -> None:
    later = delivery(attempts=1, next_attempt_at=NOW + SECOND, last_error="no")
    with store.write() as tx:
        DeliveryRows(tx).put(delivery())
        DeliveryRows(tx).put(delivery(2))
        [(number, _), _] = DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)
        DeliveryRows(tx).update(number, later)
    with store.write() as tx:
        assert [each for _, each in DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)] == [delivery(2), later]
        DeliveryRows(tx).remove(number)
        DeliveryRows(tx).remove(number)
        assert [each for _, each in DeliveryRows(tx).upcoming("activate", HOME.account_id, 10)] == [delivery(2)]


def test_a_failed_delivery_can_be_tried_again(store: Store) -> None:
    failed = delivery(attempts=6, last_error="no", state=FAILED)
    with store.write() as tx:
        DeliveryRows(tx).put(failed)
        DeliveryRows(tx).put(delivery(2, attempts=2))
        DeliveryRows(tx).put(delivery(3, state=FAILED, handler="another"))
    with store.write() as tx:
        assert DeliveryRows(tx).retry("activate", NOW + SECOND) == 1
        assert DeliveryRows(tx).retry("activate", NOW + SECOND) == 0
    with store.read() as tx:
        again = DeliveryRows(tx).get(HOME, "activate", certificate_id(1))
        assert again == replace(failed, attempts=0, next_attempt_at=NOW + SECOND, state=PENDING)
        assert DeliveryRows(tx).get(HOME, "activate", certificate_id(2)) == delivery(2, attempts=2)
        assert DeliveryRows(tx).counts() == {("activate", OWN, PENDING): 2, ("another", OWN, FAILED): 1}


def test_counts_are_by_handler_account_and_state_and_the_latest_by_handler_and_state(store: Store) -> None:
    with store.write() as tx:
        assert DeliveryRows(tx).counts() == {}
        assert DeliveryRows(tx).latest("activate", FAILED) is None
        for number in range(4):
            DeliveryRows(tx).put(delivery(number, next_attempt_at=NOW + number * SECOND, state=FAILED))
        DeliveryRows(tx).put(delivery(7, next_attempt_at=NOW + timedelta(days=1)))
    with store.read() as tx:
        assert DeliveryRows(tx).counts() == {("activate", OWN, FAILED): 4, ("activate", OWN, PENDING): 1}
        latest = DeliveryRows(tx).latest("activate", FAILED)
        assert latest is not None
        assert latest.subject == certificate_id(3)


def test_waiting_accounts_are_served_in_the_order_of_their_ids_each_with_its_first_due_delivery(
    store: Store,
) -> None:
    first, second = sorted((HOME, OTHER_ACCOUNT), key=lambda realm: realm.account_id)
    with store.write() as tx:
        assert DeliveryRows(tx).next_account("activate", "") is None
        for realm in (second, first):
            DeliveryRows(tx).put(delivery(1, realm=realm, next_attempt_at=NOW + SECOND))
            DeliveryRows(tx).put(delivery(2, realm=realm))
            DeliveryRows(tx).put(delivery(3, realm=realm, state=FAILED, next_attempt_at=NOW - SECOND))
    with store.read() as tx:
        found = []
        after = ""
        while (head := DeliveryRows(tx).next_account("activate", after)) is not None:
            found.append(head[1])
            after = head[1].realm.account_id
        assert found == [delivery(2, realm=first), delivery(2, realm=second)]
        assert DeliveryRows(tx).next_account("another", "") is None


def test_an_accounts_deliveries_are_counted_and_failed_ones_removed_first(store: Store) -> None:
    account_id = HOME.account_id
    with store.write() as tx:
        for number in range(4):
            DeliveryRows(tx).put(delivery(number, next_attempt_at=NOW - number * SECOND, state=FAILED))
        DeliveryRows(tx).put(delivery(8))
        DeliveryRows(tx).put(delivery(9, state=FAILED, realm=OTHER_ACCOUNT))
        DeliveryRows(tx).put(delivery(9, state=FAILED, handler="another"))
        assert DeliveryRows(tx).count("activate", account_id) == 5
        assert DeliveryRows(tx).count("nobody", account_id) == 0
        assert DeliveryRows(tx).remove_failed("activate", account_id, 3) == 3
        assert DeliveryRows(tx).get(HOME, "activate", certificate_id(0)) is not None
        assert DeliveryRows(tx).remove_failed("activate", account_id, 3) == 1
        assert DeliveryRows(tx).count("activate", account_id) == 1
        assert DeliveryRows(tx).counts() == {
            ("activate", OWN, PENDING): 1,
            ("activate", OTHER_ACCOUNT.account_id, FAILED): 1,
            ("another", OWN, FAILED): 1,
        }
