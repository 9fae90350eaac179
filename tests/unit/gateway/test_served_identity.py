"""The gateway's names and certificates follow the registry's endpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509

from sekisho._sekisho import Gateway, GatewayError
from sekisho.clock import utc_now
from sekisho.endpoints.model import ServedEndpoint
from sekisho.endpoints.rules import Endpoints
from sekisho.gateway.served_identity import RENEWAL_CHECK_INTERVAL, ServedIdentity, ServerCertificateUnusable
from sekisho.pki import pem
from sekisho.pki.certificate import X509Certificate
from sekisho.realm import Realm
from sekisho.regions import Regions
from sekisho.server.settings import Settings
from tests.logs import captured_log, lines_of
from tests.x509 import KeyAndCertificate, new_ca, new_device

pytestmark = pytest.mark.usefixtures("few_rsa_keys")

if TYPE_CHECKING:
    from sekisho._sekisho import EndpointDict

HOME = ServedEndpoint(Realm("123456789012", "us-east-1"), "localhost")
OTHER = ServedEndpoint(Realm("123456789012", "eu-west-1"), "abc-ats.iot.eu-west-1.localhost")


WEST = "*.iot.eu-west-1.localhost"


class OvertakenEndpoints:
    """An endpoint is added after the first caller has read the list, and before it passes the list on."""

    def __init__(self) -> None:
        self.first_has_read = threading.Event()
        self.second_is_done = threading.Event()

    def all(self) -> Sequence[ServedEndpoint]:
        if self.first_has_read.is_set():
            return [HOME, OTHER]
        self.first_has_read.set()
        # Times out where the second caller has to wait for the first, as it should.
        self.second_is_done.wait(0.3)
        return [HOME]


class FakeGateway:
    """Records the names that it was given last."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.default: Any = None
        self.named: dict[str, Any] = {}

    def set_endpoints(self, endpoints: Sequence[EndpointDict]) -> None:
        self.names = [each["server_name"] for each in endpoints]

    def set_server_certificates(self, chains: Any) -> None:
        self.default = chains

    def set_named_certificates(self, named: Sequence[tuple[Sequence[str], Sequence[tuple[str, str]]]]) -> None:
        self.named = {name: chains for names, chains in named for name in names}


def test_endpoints_added_at_once_are_all_served(tmp_path: Path) -> None:
    endpoints, gateway = OvertakenEndpoints(), FakeGateway()
    identity = ServedIdentity(Settings(data=tmp_path), cast(Endpoints, endpoints), cast(Gateway, gateway), utc_now)

    def second() -> None:
        endpoints.first_has_read.wait(10)
        identity.follow()
        endpoints.second_is_done.set()

    threads = [threading.Thread(target=identity.follow), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert gateway.names == [HOME.server_name, OTHER.server_name]


def test_an_endpoint_has_its_aliases(tmp_path: Path) -> None:
    alias = "abc-ats.iot.us-east-1.localhost"
    named = ServedEndpoint(HOME.realm, "localhost", aliases=("localhost.localdomain", alias))
    identity, gateway = serving(tmp_path, [named, OTHER])
    identity.serve_endpoints()
    assert gateway.names == ["localhost", "localhost.localdomain", alias, OTHER.server_name]
    identity.serve_certificates()
    assert all("localhost.localdomain" in names for names in names_in(gateway.default))
    assert set(gateway.named) >= {"*.iot.us-east-1.localhost"}


def test_an_endpoint_is_added_although_the_gateway_refuses_it(tmp_path: Path) -> None:
    class Stopped(FakeGateway):
        def set_endpoints(self, _endpoints: Sequence[EndpointDict]) -> None:
            raise GatewayError("it has stopped")

    endpoints = cast(Endpoints, type("Known", (), {"all": lambda _self: [HOME]})())
    identity = ServedIdentity(Settings(data=tmp_path), endpoints, cast(Gateway, Stopped()), utc_now)
    with captured_log() as lines:
        identity.follow()
    assert lines[0]["reason"] == "it has stopped"


def serving(
    tmp_path: Path,
    known: Sequence[ServedEndpoint],
    clock: Callable[[], datetime] = utc_now,
    **settings: Any,
) -> tuple[ServedIdentity, FakeGateway]:
    """Return a served identity of these endpoints, and its gateway."""
    gateway = FakeGateway()
    known_endpoints = type("Known", (), {"all": lambda _self: known, "describe": lambda _self, _realm: known[0]})
    endpoints = cast(Endpoints, known_endpoints())
    return ServedIdentity(Settings(data=tmp_path, **settings), endpoints, cast(Gateway, gateway), clock), gateway


def names_in(chains: Sequence[tuple[str, str]]) -> list[set[str]]:
    """Return the names and addresses in each leaf."""
    leaves = [X509Certificate.from_der(pem.read_chain(chain)[0]).parsed for chain, _ in chains]
    extensions = [leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for leaf in leaves]
    return [{str(name.value) for name in extension} for extension in extensions]


def leaf_of(chains: Sequence[tuple[str, str]]) -> X509Certificate:
    return X509Certificate.from_der(pem.read_chain(chains[0][0])[0])


def test_each_region_has_its_own_certificate_whether_it_is_used_or_not(tmp_path: Path) -> None:
    identity, gateway = serving(tmp_path, [HOME, OTHER], regions=("plant-1",), domain="iot.example")
    identity.serve_certificates()
    assert names_in(gateway.default) == [{"localhost", "localhost.localdomain", "127.0.0.1", "::1"}] * 2
    assert set(gateway.named) == {f"*.iot.{region}.iot.example" for region in Regions(("plant-1",))}
    for name, chains in gateway.named.items():
        assert names_in(chains) == [{name}] * 2
    # Also after a restart.
    first = dict(gateway.named)
    serving(tmp_path, [], regions=("plant-1",), domain="iot.example")[0].serve_certificates()
    identity.serve_certificates()
    assert gateway.named == first


def test_a_gateway_that_refuses_certificates_of_regions_does_not_prevent_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise GatewayError("server certificate 1 is too large")

    identity, gateway = serving(tmp_path, [HOME])
    monkeypatch.setattr(gateway, "set_named_certificates", refuse)
    with captured_log() as lines:
        identity.serve_certificates()
    assert gateway.default is not None
    assert lines[0]["reason"] == "server certificate 1 is too large"


def test_endpoints_in_regions_that_are_not_in_the_list_are_not_served(tmp_path: Path) -> None:
    made_up = [ServedEndpoint(Realm("123456789012", f"x{n}"), f"a{n}-ats.iot.x{n}.localhost") for n in range(1300)]
    identity, gateway = serving(tmp_path, [HOME, OTHER, *made_up], regions=("x7",))
    with captured_log() as lines:
        identity.serve_endpoints()
        identity.serve_endpoints()
    assert gateway.names == [HOME.server_name, OTHER.server_name, made_up[7].server_name]
    [line] = lines_of(lines, "endpoints_not_served")
    assert line["count"] == 1299
    assert 'regions = ["x0", "x1", "x10"]' in line["remedy"]


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("0.0.0.0", set()),  # noqa: S104 - what a certificate says of it is the test
        ("::", set()),
        ("::ffff:0.0.0.0", set()),
        ("127.0.0.1", set()),
        ("192.0.2.7", {"192.0.2.7"}),
        ("::ffff:192.0.2.7", {"192.0.2.7"}),
        ("fe80::1%eth0", {"fe80::1"}),
        ("2001:db8::1", {"2001:db8::1"}),
        ("gateway.example.com", {"gateway.example.com"}),
        ("xn--bcher-kva.example", {"xn--bcher-kva.example"}),
    ],
)
def test_the_default_certificate_names_the_host_if_clients_can_connect_to_it(
    tmp_path: Path, host: str, more: set[str]
) -> None:
    identity, gateway = serving(tmp_path, [HOME], host=host)
    identity.serve_certificates()
    assert names_in(gateway.default)[0] == {"localhost", "localhost.localdomain", "127.0.0.1", "::1"} | more
    served = gateway.default
    identity.serve_certificates()
    assert gateway.default == served, "the same names are recognised as the same"


def test_a_running_server_renews_its_certificates(tmp_path: Path) -> None:
    now = utc_now()
    identity, gateway = serving(tmp_path, [HOME, OTHER], lambda: now)
    identity.serve_certificates()
    first = leaf_of(gateway.default), leaf_of(gateway.named[WEST])
    now += RENEWAL_CHECK_INTERVAL
    identity.renew()
    assert (leaf_of(gateway.default).pem, leaf_of(gateway.named[WEST]).pem) == (first[0].pem, first[1].pem)
    now += timedelta(days=370)
    identity.renew()
    for old, new in zip(first, (leaf_of(gateway.default), leaf_of(gateway.named[WEST])), strict=True):
        assert new.not_after > old.not_after


def named(ca: KeyAndCertificate, name: str) -> KeyAndCertificate:
    return new_device(ca, name, extensions=[x509.SubjectAlternativeName([x509.DNSName(name)])])


def test_names_of_the_settings_are_in_certificates(tmp_path: Path) -> None:
    identity, gateway = serving(
        tmp_path,
        [HOME, OTHER],
        endpoint="iot.factory.example",
        endpoints={OTHER.realm.account_id: {OTHER.realm.region: "west.factory.example"}},
    )
    identity.serve_certificates()
    assert all("iot.factory.example" in names for names in names_in(gateway.default))
    assert names_in(gateway.named["west.factory.example"]) == [{"west.factory.example"}] * 2
    assert "iot.factory.example" not in gateway.named


@pytest.mark.parametrize(
    ("endpoint", "is_served"), [("iot.example.com", True), ("other.example.com", False), ("", False)]
)
def test_a_certificate_of_ones_own_has_to_cover_the_endpoint(tmp_path: Path, endpoint: str, is_served: bool) -> None:
    root = new_ca("Corporate")
    device = named(root, "iot.example.com")
    certificate, key = tmp_path / "s.crt", tmp_path / "s.key"
    certificate.write_text(device.pem + root.pem)
    key.write_text(device.key_pem)
    identity, gateway = serving(
        tmp_path / "data", [HOME], server_certificate=certificate, server_key=key, endpoint=endpoint
    )
    if is_served:
        identity.serve_certificates()
        assert leaf_of(gateway.default).pem == device.pem
        assert identity.root_file is not None
        assert identity.root_file.read_text() == root.pem
        return
    with pytest.raises(
        ServerCertificateUnusable, match=f"{endpoint or 'localhost'} is an endpoint .* has iot.example.com"
    ):
        identity.serve_certificates()
    assert gateway.default is None


def test_endpoints_that_a_certificate_of_ones_own_does_not_cover_are_logged_once(tmp_path: Path) -> None:
    device = named(new_ca("Corporate"), "iot.example.com")
    certificate, key = tmp_path / "s.crt", tmp_path / "s.key"
    certificate.write_text(device.pem)
    key.write_text(device.key_pem)
    at_home = ServedEndpoint(HOME.realm, "iot.example.com")
    identity, _ = serving(
        tmp_path / "data", [at_home, OTHER], server_certificate=certificate, server_key=key, endpoint="iot.example.com"
    )
    with captured_log() as lines:
        identity.serve_certificates()
        identity.serve_endpoints()
        identity.serve_endpoints()
    assert identity.root_file is None
    [line] = [line for line in lines if "endpoints" in line]
    assert line["endpoints"] == [OTHER.server_name]


def test_an_unusable_user_certificate_prevents_a_start_and_does_not_stop_a_running_server(tmp_path: Path) -> None:
    root = new_ca("Corporate")
    device = named(root, "iot.example.com")
    certificate, key = tmp_path / "s.crt", tmp_path / "s.key"
    certificate.write_text(device.pem)
    key.write_text(device.key_pem)
    now = utc_now()
    identity, gateway = serving(
        tmp_path / "data",
        [HOME, OTHER],
        lambda: now,
        server_certificate=certificate,
        server_key=key,
        endpoint="iot.example.com",
    )
    identity.serve_certificates()
    assert leaf_of(gateway.default).pem == device.pem
    assert gateway.named == {}
    certificate.write_text("half of a renewal")
    now += RENEWAL_CHECK_INTERVAL
    with captured_log() as lines:
        identity.renew()
    assert "the server certificate cannot be used" in lines[0]["reason"]
    assert leaf_of(gateway.default).pem == device.pem
    with pytest.raises(ServerCertificateUnusable, match="the server certificate cannot be used"):
        identity.serve_certificates()
    renewed = named(root, "iot.example.com")
    certificate.write_text(renewed.pem)
    key.write_text(renewed.key_pem)
    now += RENEWAL_CHECK_INTERVAL
    identity.renew()
    assert leaf_of(gateway.default).pem == renewed.pem
