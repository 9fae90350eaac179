"""The parameters whose values come from the device's certificate.

Source: Developer Guide, jit-provisioning. ``SerialNumber`` is the subject's attribute of this name (OID 2.5.4.5),
because the page lists it among the subject's fields. The first value is used where an attribute occurs several times.
"""

from __future__ import annotations

from typing import Final

from cryptography.x509.oid import NameOID

from sekisho.pki.certificate import X509Certificate
from sekisho.templates.use import CERTIFICATE, CERTIFICATE_ID

_ATTRIBUTES: Final = {
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "StateName": NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": NameOID.COMMON_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
}


def certificate_parameters(certificate: X509Certificate) -> dict[str, str]:
    """Return the values of ``AWS::IoT::Certificate::*``, without those that the subject does not have."""
    values = {CERTIFICATE_ID: certificate.certificate_id}
    for name, oid in _ATTRIBUTES.items():
        texts = certificate.subject_name.texts(oid.dotted_string)
        if texts:
            values[CERTIFICATE + name] = texts[0]
    return values
