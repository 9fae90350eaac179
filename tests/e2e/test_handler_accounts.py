"""A handler belongs to its accounts, on a real server: another account cannot call it or cause a call of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_key, openssl
from tests.e2e.command_line import answer, sekisho
from tests.e2e.devices import Device
from tests.e2e.mqtt_wire import V311, attempt
from tests.e2e.running_server import RunningServer
from tests.e2e.test_fleet_provisioning import HOOK_HANDLER, Provisioner, claim_certificate, serving, template
from tests.e2e.test_handlers import receiving
from tests.wait import eventually

FIRST, SECOND = "123456789012", "222222222222"


def signer(folder: Path, accounts: str) -> tuple[RunningServer, CertificateFiles]:
    """Configure a server with the CSR signer of the first account's CA, without starting it."""
    data = folder / "data"
    data.mkdir()
    ca = new_ca(folder)
    ca.key.chmod(0o600)
    (data / "sekisho.toml").write_text(
        f'[handlers.sign]\nca_certificate = "{ca.certificate}"\nca_key = "{ca.key}"\n{accounts}\n'
    )
    return RunningServer(data), ca


def provider(server: RunningServer, account: str | None, named: str) -> Any:
    """Return a client of an account that uses the function as its certificate provider."""
    iot = server.session(account).iot
    iot.create_certificate_provider(
        certificateProviderName="own-ca",
        lambdaFunctionArn=f"arn:aws:lambda:us-east-1:{named}:function:sign",
        accountDefaultForOperations=["CreateCertificateFromCsr"],
    )
    return iot


def request(folder: Path, name: str) -> str:
    return openssl("req", "-new", "-key", new_key(folder / f"{name}.key", "P-256"), "-subj", f"/CN={name}")


@pytest.mark.parametrize("named", [FIRST, SECOND])
def test_another_account_gets_no_certificate_of_a_signer_that_is_not_its_own(tmp_path: Path, named: str) -> None:
    server, ca = signer(tmp_path, f'accounts = ["{FIRST}"]')
    server.start()
    try:
        answer("account", "create", SECOND, "--data", server.data)
        other = provider(server, SECOND, named)
        with pytest.raises(ClientError) as refused:
            other.create_certificate_from_csr(certificateSigningRequest=request(tmp_path, "anything"))
        assert "handler 'sign' " in str(refused.value)
        assert SECOND in str(refused.value)
        assert other.list_certificates()["certificates"] == []
        own = provider(server, None, FIRST)
        made = own.create_certificate_from_csr(certificateSigningRequest=request(tmp_path, "lamp"))
        (tmp_path / "lamp.crt").write_text(made["certificatePem"])
        openssl("verify", "-CAfile", ca.certificate, tmp_path / "lamp.crt")
    finally:
        server.stop()


def test_a_second_account_on_a_running_server_ends_the_calls_of_a_handler_without_accounts(
    tmp_path: Path,
) -> None:
    server, _ = signer(tmp_path, "")
    server.start()
    try:
        own = provider(server, None, FIRST)
        assert own.create_certificate_from_csr(certificateSigningRequest=request(tmp_path, "lamp"))["certificateId"]
        answer("account", "create", SECOND, "--data", server.data)
        with pytest.raises(ClientError, match=r"write accounts = \[") as refused:
            own.create_certificate_from_csr(certificateSigningRequest=request(tmp_path, "late"))
        assert "more than one account" in str(refused.value)
        [row] = answer("handlers", "list", "--data", server.data)
        assert "write accounts = [" in row["warning"]
        assert (
            "not called: this server has more than one account"
            in sekisho("handlers", "list", "--data", server.data).stdout
        )
        server.stop()
        server.start()
        line = server.wait_for_log("handler_without_account")
        assert (line["handler"], line["level"]) == ("sign", "warning")
    finally:
        server.stop()


def test_a_hook_that_no_longer_belongs_to_the_account_rejects_every_device(tmp_path: Path) -> None:
    with serving(tmp_path, HOOK_HANDLER) as server:
        hook = {"payloadVersion": "2020-04-01", "targetArn": f"arn:aws:lambda:us-east-1:{FIRST}:function:hook"}
        template(server, "hooked", preProvisioningHook=hook)
        with Device(server, claim_certificate(server, tmp_path, "hooked"), "lamp") as device:
            fleet = Provisioner(device, "hooked")
            _, token = fleet.create(tmp_path)
            answer("account", "create", SECOND, "--data", server.data)
            assert fleet.refused(token, "honest-1") == (500, "InternalFailure")
        assert server.session().iot.list_things()["things"] == []
        line = server.wait_for_log("hook_failed")
        assert "write accounts = [" in line["reason"]


def test_refused_events_are_kept_and_delivered_when_the_handler_names_the_account(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with receiving() as receiver:
        hook = f'[handlers.hook]\nurl = "{receiver.url}"\non_certificate_registered = true\n'
        (data / "sekisho.toml").write_text(hook)
        server = RunningServer(data).start()
        try:
            answer("account", "create", SECOND, "--data", data)
            ca = new_ca(tmp_path)
            server.session().iot.register_ca_certificate(
                caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
            )
            device = new_device(tmp_path, ca)
            assert attempt(server, device, "first", V311) == []

            def row() -> dict[str, Any]:
                [listed] = answer("handlers", "list", "--data", data)
                found: dict[str, Any] = listed
                return found

            eventually(lambda: row()["failed"] == 1)
            assert "write accounts = [" in row()["lastError"]
            server.wait_for_log(
                "handler_event_given_up",
                subject=device.certificate_id,
            )
            assert row()["accounts"] == {FIRST: {"pending": 0, "failed": 1}}
            assert f"  {FIRST}: 0 pending, 1 failed\n" in sekisho("handlers", "list", "--data", data).stdout
            assert receiver.seen == []
            server.stop()
            (data / "sekisho.toml").write_text(f'{hook}accounts = ["{FIRST}"]\n')
            server.start()
            assert row()["failed"] == 1
            assert answer("handlers", "retry", "hook", "--data", data) == {"retried": 1}
            eventually(lambda: row()["failed"] == row()["pending"] == 0)
            [(_, body)] = receiver.seen
            assert json.loads(body)["certificateId"] == device.certificate_id
        finally:
            server.stop()
