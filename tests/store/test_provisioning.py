"""What is promised of provisioning templates, claims and certificate providers (``registry/ports.py``)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.registry.model import TemplateType
from sekisho.registry.ports import AlreadyThere, Window
from sekisho.registry.provisioning_claims import identity_of
from sekisho.store.unit_of_work import SqlStore
from tests.store.builders import (
    HOME,
    NOW,
    OTHER_ACCOUNT,
    OTHER_REGION,
    certificate,
    certificate_id,
    certificate_provider,
    claim,
    provisioning_template,
    template_version,
)


def test_a_template_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    full = provisioning_template("full")
    bare = provisioning_template("bare", type=TemplateType.JITP, description=None, enabled=False, hook=None)
    with store.write() as tx:
        assert tx.provisioning_templates.get(HOME, "full") is None
        tx.provisioning_templates.add(full, template_version("full"))
        tx.provisioning_templates.add(bare, template_version("bare"))
        with pytest.raises(AlreadyThere):
            tx.provisioning_templates.add(full, template_version("full"))
        tx.provisioning_templates.add(
            provisioning_template("full", OTHER_REGION, enabled=False), template_version("full", realm=OTHER_REGION)
        )
    with store.write() as tx:
        assert tx.provisioning_templates.get(HOME, "full") == full
        assert tx.provisioning_templates.get(HOME, "bare") == bare
        assert tx.provisioning_templates.get(OTHER_ACCOUNT, "full") is None
        changed = provisioning_template("full", hook=None, description="", default_version_id=2, last_version_id=3)
        tx.provisioning_templates.replace(changed)
        assert tx.provisioning_templates.get(HOME, "full") == changed
        with pytest.raises(KeyError):
            tx.provisioning_templates.replace(provisioning_template("none"))
        assert tx.provisioning_templates.page(HOME, Window(limit=5)).items == [changed, bare]


def test_versions_are_paged_by_their_numbers_and_go_with_their_template(store: SqlStore) -> None:
    with store.write() as tx:
        tx.provisioning_templates.add(provisioning_template(), template_version())
        tx.provisioning_templates.add(provisioning_template("other"), template_version("other"))
        for number in (2, 5, 3):
            tx.provisioning_templates.add_version(template_version(number=number))
        with pytest.raises(AlreadyThere):
            tx.provisioning_templates.add_version(template_version(number=2))
        tx.provisioning_templates.remove_version(HOME, "t", 3)
    with store.write() as tx:
        first = tx.provisioning_templates.page_versions(HOME, "t", Window(limit=2))
        assert first.items == [template_version(), template_version(number=2)]
        rest = tx.provisioning_templates.page_versions(HOME, "t", Window(limit=2, after=first.next_after))
        assert (rest.items, rest.next_after) == ([template_version(number=5)], None)
        assert tx.provisioning_templates.version(HOME, "t", 5) == template_version(number=5)
        assert tx.provisioning_templates.version(HOME, "t", 3) is None
        tx.provisioning_templates.remove(HOME, "t")
        assert tx.provisioning_templates.get(HOME, "t") is None
        assert tx.provisioning_templates.page_versions(HOME, "t", Window(limit=2)).items == []
        assert tx.provisioning_templates.version(HOME, "other", 1) == template_version("other")


def test_a_claim_goes_with_its_template_or_when_it_has_expired(store: SqlStore) -> None:
    later = claim(3, not_after=NOW + timedelta(minutes=9))
    with store.write() as tx:
        tx.provisioning_templates.add(provisioning_template(), template_version())
        tx.provisioning_templates.add(provisioning_template("other"), template_version("other"))
        tx.provisioning_claims.add(claim(1))
        tx.provisioning_claims.add(claim(2, template_name="other"))
        tx.provisioning_claims.add(later)
        with pytest.raises(AlreadyThere):
            tx.provisioning_claims.add(claim(1))
    with store.write() as tx:
        assert tx.provisioning_claims.get(certificate_id(1)) == claim(1)
        assert tx.provisioning_claims.get(certificate_id(4)) is None
        assert tx.provisioning_claims.of_template(HOME, "t") == [claim(1), later]
        assert tx.provisioning_claims.of_template(OTHER_ACCOUNT, "t") == []
        # At the very moment it is good still.
        assert tx.provisioning_claims.remove_expired(claim(1).not_after) == 0
        assert tx.provisioning_claims.remove_expired(claim(1).not_after + timedelta(microseconds=1)) == 2
        assert tx.provisioning_claims.get(certificate_id(1)) is None
        assert tx.provisioning_claims.get(certificate_id(3)) == later
        tx.provisioning_templates.remove(HOME, "t")
        assert tx.provisioning_claims.get(certificate_id(3)) is None


def test_a_claim_needs_a_template(store: SqlStore) -> None:
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.provisioning_claims.add(claim())


def test_the_gate_finds_claims_among_the_identities_and_lists_do_not(store: SqlStore) -> None:
    with store.write() as tx:
        tx.provisioning_templates.add(provisioning_template(), template_version())
        tx.provisioning_claims.add(claim(1))
        tx.certificates.add(certificate(2))
    keys = [(HOME, certificate_id(1)), (HOME, certificate_id(2)), (HOME, certificate_id(3))]
    with store.read() as tx:
        found = tx.identities.look_up([*keys, (OTHER_ACCOUNT, certificate_id(1))])
        assert set(found) == set(keys[:2])
        assert found[keys[0]] == identity_of(claim(1))
        assert found[keys[1]].certificate == certificate(2)
        assert tx.certificates.page(HOME, Window(limit=5)).items == [certificate(2)]
        assert tx.certificates.get(HOME, certificate_id(1)) is None
        assert tx.policies.page(HOME, Window(limit=5)).items == []


def test_a_certificate_provider_comes_back_as_it_was_added_and_replaced(store: SqlStore) -> None:
    with store.write() as tx:
        tx.certificate_providers.add(certificate_provider())
        tx.certificate_providers.add(certificate_provider(realm=OTHER_REGION, client_token="t" * 36))
        with pytest.raises(AlreadyThere):
            tx.certificate_providers.add(certificate_provider(client_token="another"))
    with store.write() as tx:
        assert tx.certificate_providers.get(HOME, "signer") == certificate_provider()
        assert tx.certificate_providers.get(HOME, "none") is None
        changed = certificate_provider(function_arn="arn:aws:lambda:eu-central-1:123456789012:function:other")
        tx.certificate_providers.replace(changed)
        assert tx.certificate_providers.page(HOME, Window(limit=5)).items == [changed]
        with pytest.raises(KeyError):
            tx.certificate_providers.replace(certificate_provider("none"))
        tx.certificate_providers.remove(HOME, "signer")
        assert tx.certificate_providers.get(HOME, "signer") is None
        elsewhere = tx.certificate_providers.get(OTHER_REGION, "signer")
        assert elsewhere == certificate_provider(realm=OTHER_REGION, client_token="t" * 36)
