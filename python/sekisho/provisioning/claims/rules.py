"""The identity of a provisioning claim: a certificate that may only be used to provision.

A claim is not part of the registry: it is not listed, and nothing can be attached to it. This module makes its policy,
from the name of its template.

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
"""The prefix of the name of a claim's policy. The name of a user's policy cannot have it."""


def identity_of(claim: ProvisioningClaim) -> Identity:
    """Return the identity of a claim. Like a certificate that the service issued, it needs no SNI."""
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
    """Return the policy of a claim: connect with any client id, request a certificate, provision with its template."""
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
