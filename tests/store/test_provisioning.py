"""Provisioning templates, claims and certificate providers, on every database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from sekisho.admission.store import IdentityRows
from sekisho.certificate_providers.store import CertificateProviderRows
from sekisho.certificates.store import CertificateRows
from sekisho.pages import Window
from sekisho.policies.store import PolicyRows
from sekisho.provisioning.claims.rules import identity_of
from sekisho.provisioning.claims.store import ProvisioningClaimRows
from sekisho.provisioning.templates.model import TemplateType
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.store.errors import AlreadyThere
from sekisho.store.store import Store
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


def test_a_template_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    full = provisioning_template("full")
    bare = provisioning_template("bare", type=TemplateType.JITP, description=None, enabled=False, hook=None)
    with store.write() as tx:
        assert ProvisioningTemplateRows(tx).get(HOME, "full") is None
        ProvisioningTemplateRows(tx).add(full, template_version("full"))
        ProvisioningTemplateRows(tx).add(bare, template_version("bare"))
        with pytest.raises(AlreadyThere):
            ProvisioningTemplateRows(tx).add(full, template_version("full"))
        ProvisioningTemplateRows(tx).add(
            provisioning_template("full", OTHER_REGION, enabled=False), template_version("full", realm=OTHER_REGION)
        )
    with store.write() as tx:
        assert ProvisioningTemplateRows(tx).get(HOME, "full") == full
        assert ProvisioningTemplateRows(tx).get(HOME, "bare") == bare
        assert ProvisioningTemplateRows(tx).get(OTHER_ACCOUNT, "full") is None
        changed = provisioning_template("full", hook=None, description="", default_version_id=2, last_version_id=3)
        ProvisioningTemplateRows(tx).replace(changed)
        assert ProvisioningTemplateRows(tx).get(HOME, "full") == changed
        with pytest.raises(KeyError):
            ProvisioningTemplateRows(tx).replace(provisioning_template("none"))
        assert ProvisioningTemplateRows(tx).page(HOME, Window(limit=5)).items == [changed, bare]


def test_versions_are_paged_by_number_and_removed_with_their_template(store: Store) -> None:
    with store.write() as tx:
        ProvisioningTemplateRows(tx).add(provisioning_template(), template_version())
        ProvisioningTemplateRows(tx).add(provisioning_template("other"), template_version("other"))
        for number in (2, 5, 3):
            ProvisioningTemplateRows(tx).add_version(template_version(number=number))
        with pytest.raises(AlreadyThere):
            ProvisioningTemplateRows(tx).add_version(template_version(number=2))
        ProvisioningTemplateRows(tx).remove_version(HOME, "t", 3)
    with store.write() as tx:
        first = ProvisioningTemplateRows(tx).page_versions(HOME, "t", Window(limit=2))
        assert first.items == [template_version(), template_version(number=2)]
        rest = ProvisioningTemplateRows(tx).page_versions(HOME, "t", Window(limit=2, after=first.next_after))
        assert (rest.items, rest.next_after) == ([template_version(number=5)], None)
        assert ProvisioningTemplateRows(tx).version(HOME, "t", 5) == template_version(number=5)
        assert ProvisioningTemplateRows(tx).version(HOME, "t", 3) is None
        ProvisioningTemplateRows(tx).remove(HOME, "t")
        assert ProvisioningTemplateRows(tx).get(HOME, "t") is None
        assert ProvisioningTemplateRows(tx).page_versions(HOME, "t", Window(limit=2)).items == []
        assert ProvisioningTemplateRows(tx).version(HOME, "other", 1) == template_version("other")


def test_a_claim_is_removed_with_its_template_or_when_it_has_expired(store: Store) -> None:
    later = claim(3, not_after=NOW + timedelta(minutes=9))
    with store.write() as tx:
        ProvisioningTemplateRows(tx).add(provisioning_template(), template_version())
        ProvisioningTemplateRows(tx).add(provisioning_template("other"), template_version("other"))
        ProvisioningClaimRows(tx).add(claim(1))
        ProvisioningClaimRows(tx).add(claim(2, template_name="other"))
        ProvisioningClaimRows(tx).add(later)
        with pytest.raises(AlreadyThere):
            ProvisioningClaimRows(tx).add(claim(1))
    with store.write() as tx:
        assert ProvisioningClaimRows(tx).get(certificate_id(1)) == claim(1)
        assert ProvisioningClaimRows(tx).get(certificate_id(4)) is None
        assert ProvisioningClaimRows(tx).of_template(HOME, "t") == [claim(1), later]
        assert ProvisioningClaimRows(tx).of_template(OTHER_ACCOUNT, "t") == []
        # At that moment it is still valid.
        assert ProvisioningClaimRows(tx).remove_expired(claim(1).not_after) == 0
        assert ProvisioningClaimRows(tx).remove_expired(claim(1).not_after + timedelta(microseconds=1)) == 2
        assert ProvisioningClaimRows(tx).get(certificate_id(1)) is None
        assert ProvisioningClaimRows(tx).get(certificate_id(3)) == later
        ProvisioningTemplateRows(tx).remove(HOME, "t")
        assert ProvisioningClaimRows(tx).get(certificate_id(3)) is None


def test_a_claim_needs_a_template(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as tx:
        ProvisioningClaimRows(tx).add(claim())


def test_identities_contain_claims_and_lists_do_not(store: Store) -> None:
    with store.write() as tx:
        ProvisioningTemplateRows(tx).add(provisioning_template(), template_version())
        ProvisioningClaimRows(tx).add(claim(1))
        CertificateRows(tx).add(certificate(2))
    keys = [(HOME, certificate_id(1)), (HOME, certificate_id(2)), (HOME, certificate_id(3))]
    with store.read() as tx:
        found = IdentityRows(tx).look_up([*keys, (OTHER_ACCOUNT, certificate_id(1))])
        assert set(found) == set(keys[:2])
        assert found[keys[0]] == identity_of(claim(1))
        assert found[keys[1]].certificate == certificate(2)
        assert CertificateRows(tx).page(HOME, Window(limit=5)).items == [certificate(2)]
        assert CertificateRows(tx).get(HOME, certificate_id(1)) is None
        assert PolicyRows(tx).page(HOME, Window(limit=5)).items == []


def test_a_certificate_provider_is_read_as_it_was_added_and_replaced(store: Store) -> None:
    with store.write() as tx:
        CertificateProviderRows(tx).add(certificate_provider())
        CertificateProviderRows(tx).add(certificate_provider(realm=OTHER_REGION, client_token="t" * 36))
        with pytest.raises(AlreadyThere):
            CertificateProviderRows(tx).add(certificate_provider(client_token="another"))
    with store.write() as tx:
        assert CertificateProviderRows(tx).get(HOME, "signer") == certificate_provider()
        assert CertificateProviderRows(tx).get(HOME, "none") is None
        changed = certificate_provider(function_arn="arn:aws:lambda:eu-central-1:123456789012:function:other")
        CertificateProviderRows(tx).replace(changed)
        assert CertificateProviderRows(tx).page(HOME, Window(limit=5)).items == [changed]
        with pytest.raises(KeyError):
            CertificateProviderRows(tx).replace(certificate_provider("none"))
        CertificateProviderRows(tx).remove(HOME, "signer")
        assert CertificateProviderRows(tx).get(HOME, "signer") is None
        elsewhere = CertificateProviderRows(tx).get(OTHER_REGION, "signer")
        assert elsewhere == certificate_provider(realm=OTHER_REGION, client_token="t" * 36)
