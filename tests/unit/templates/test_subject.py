"""The parameters from the device's certificate."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from sekisho.pki.certificate import X509Certificate
from sekisho.templates.subject import certificate_parameters
from tests.x509 import new_ca


def of_subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> tuple[dict[str, str], str]:
    issued = new_ca(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))
    prefix = "AWS::IoT::Certificate::"
    found = certificate_parameters(X509Certificate.from_der(issued.der))
    assert all(name.startswith(prefix) for name in found)
    return {name.removeprefix(prefix): value for name, value in found.items()}, issued.certificate_id


def test_every_field_of_the_subject_is_a_parameter() -> None:
    found, certificate_id = of_subject(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, "関所"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Production"),
        (NameOID.DN_QUALIFIER, "q"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Hakone"),
        (NameOID.COMMON_NAME, "device-7"),
        (NameOID.SERIAL_NUMBER, "SN-1"),
        (NameOID.LOCALITY_NAME, "not one of them"),
    )
    assert found == {
        "Country": "JP",
        "Organization": "関所",
        "OrganizationalUnit": "Production",
        "DistinguishedNameQualifier": "q",
        "StateName": "Hakone",
        "CommonName": "device-7",
        "SerialNumber": "SN-1",
        "Id": certificate_id,
    }


def test_missing_fields_have_no_value_and_of_several_values_the_first_counts() -> None:
    found, certificate_id = of_subject((NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "second"))
    assert found == {"CommonName": "first", "Id": certificate_id}
