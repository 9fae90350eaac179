"""Names are equal where people would say so, whatever their bytes."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as some

from sekisho.pki import names


def name(
    text: str, kind: _ASN1Type = _ASN1Type.UTF8String, oid: x509.ObjectIdentifier = NameOID.COMMON_NAME
) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text, kind)])


def canonical(name: x509.Name) -> bytes:
    return names.canonical(names.read(name.public_bytes()))


def test_case_blanks_and_the_kind_of_string_have_no_effect() -> None:
    plain = canonical(name("My CA"))
    assert canonical(name("my ca")) == plain
    assert canonical(name("  My   CA ")) == plain
    assert canonical(name("My CA", _ASN1Type.PrintableString)) == plain
    assert canonical(name("My CA", _ASN1Type.BMPString)) == plain


def test_different_names_differ() -> None:
    one, other = x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "b")
    different = [
        name("MyCA"),
        name("MyCA2"),
        name("My CA"),
        name("MyCA", oid=NameOID.ORGANIZATION_NAME),
        x509.Name([]),
        x509.Name([one, other]),
        x509.Name([other, one]),
        x509.Name([x509.RelativeDistinguishedName([one, other])]),
    ]
    assert len({canonical(each) for each in different}) == len(different)


def test_the_attributes_of_one_relative_name_have_no_order() -> None:
    one, other = x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "b")
    assert canonical(x509.Name([x509.RelativeDistinguishedName([one, other])])) == canonical(
        x509.Name([x509.RelativeDistinguishedName([other, one])])
    )


@given(some.text(min_size=1, max_size=8), some.text(min_size=1, max_size=8))
def test_no_text_can_imitate_the_structure_of_a_name(first: str, second: str) -> None:
    together = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text) for text in (first, second)])
    joined = name(first + second)
    assert canonical(together) != canonical(joined)


def test_a_name_is_shown_in_rfc_4514_form_and_shortened() -> None:
    assert names.shown(names.read(name("MyCA").public_bytes())) == "CN=MyCA"
    assert names.shown(names.read(x509.Name([]).public_bytes())) == "(empty name)"
    endless = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in range(1000)])
    assert len(names.shown(names.read(endless.public_bytes()))) == 201
