"""The identity of a provisioning claim at the gateway: a certificate that may provision, and nothing else.

A claim is no certificate of the registry: it is listed nowhere, and nothing can be attached to it. Its policy is made
here, from the template it is for.

Source: Developer Guide, provision-wo-cert (what a claim may do).
"""

from __future__ import annotations

import json
from typing import Final

from sekisho.admission.model import Identity
from sekisho.certificates.model import Certificate, CertificateMode, CertificateStatus
from sekisho.policies.model import PolicyVersion
from sekisho.provisioning.claims.model import ProvisioningClaim

POLICY_PREFIX: Final = "$provisioning-claim/"
"""Begins the name of a claim's policy. No policy that a user makes can be called so."""


def identity_of(claim: ProvisioningClaim) -> Identity:
    """Return the claim as an identity. Like a certificate that the service issued, it needs no SNI."""
    certificate = Certificate(
        realm=claim.realm,
        certificate_id=claim.certificate_id,
        certificate_pem=claim.certificate_pem,
        ca_certificate_id=None,
        status=CertificateStatus.ACTIVE,
        mode=CertificateMode.DEFAULT,
        not_before=claim.not_before,
        not_after=claim.not_after,
        created_at=claim.created_at,
        modified_at=claim.created_at,
        customer_version=1,
        generation_id=claim.certificate_id,
    )
    return Identity(certificate=certificate, policies=(policy_of(claim),), things=())


def policy_of(claim: ProvisioningClaim) -> PolicyVersion:
    """Connect under any client id, make a certificate, and provision through the claim's template."""
    realm = claim.realm
    topics = (
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        f"$aws/provisioning-templates/{claim.template_name}/provision/*",
    )
    start = f"arn:aws:iot:{realm.region}:{realm.account_id}"
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{start}:topic/{topic}" for topic in topics],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{start}:topicfilter/{topic}" for topic in topics],
        },
    ]
    return PolicyVersion(
        realm=realm,
        policy_name=f"{POLICY_PREFIX}{claim.template_name}",
        version_id=1,
        document=json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":")),
        created_at=claim.created_at,
    )
