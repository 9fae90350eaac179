"""ARNs of AWS IoT resources: ``arn:aws:iot:<region>:<account>:<type>/<name>``.

Source: AWS IoT Developer Guide, iot-policy-resources. The partition is always ``aws``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sekisho.realm import Realm

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")
_FUNCTION: Final = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:(\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)


@dataclass(frozen=True, slots=True)
class Arn:
    """A parsed ARN. ``str(arn)`` gives its text back."""

    service: str
    realm: Realm
    type: str
    name: str

    def __str__(self) -> str:
        return f"arn:aws:{self.service}:{self.realm.region}:{self.realm.account_id}:{self.type}/{self.name}"

    @staticmethod
    def parse(text: str) -> Arn | None:
        """Return the ARN in ``text``; None where it does not have the form above."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or parts[1] != "aws":
            return None
        kind, slash, name = parts[5].partition("/")
        if not slash or not kind or not name:
            return None
        return Arn(service=parts[2], realm=Realm(parts[4], parts[3]), type=kind, name=name)


def certificate(realm: Realm, certificate_id: str) -> str:
    """Return the ARN of a device certificate."""
    return str(Arn("iot", realm, "cert", certificate_id))


def ca_certificate(realm: Realm, certificate_id: str) -> str:
    """Return the ARN of a CA certificate."""
    return str(Arn("iot", realm, "cacert", certificate_id))


def thing(realm: Realm, name: str) -> str:
    """Return the ARN of a thing."""
    return str(Arn("iot", realm, "thing", name))


def thing_type(realm: Realm, name: str) -> str:
    """Return the ARN of a thing type."""
    return str(Arn("iot", realm, "thingtype", name))


def thing_group(realm: Realm, name: str) -> str:
    """Return the ARN of a thing group."""
    return str(Arn("iot", realm, "thinggroup", name))


def billing_group(realm: Realm, name: str) -> str:
    """Return the ARN of a billing group."""
    return str(Arn("iot", realm, "billinggroup", name))


def policy(realm: Realm, name: str) -> str:
    """Return the ARN of a policy."""
    return str(Arn("iot", realm, "policy", name))


def provisioning_template(realm: Realm, name: str) -> str:
    """Return the ARN of a provisioning template."""
    return str(Arn("iot", realm, "provisioningtemplate", name))


def certificate_provider(realm: Realm, name: str) -> str:
    """Return the ARN of a certificate provider."""
    return str(Arn("iot", realm, "certificateprovider", name))


def is_role(text: str) -> bool:
    """Return whether it is the ARN of an IAM role: ``arn:aws:iam::<account>:role/<name>``."""
    return _ROLE.fullmatch(text) is not None


def is_function(text: str) -> bool:
    """Return whether it is the ARN of a Lambda function, of any account and region, with or without a version."""
    return _FUNCTION.fullmatch(text) is not None
