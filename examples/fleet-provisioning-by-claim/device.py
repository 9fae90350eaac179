"""A lamp that is switched on for the first time: it has a claim certificate, and gets a certificate of its own.

python device.py ENDPOINT PORT ROOT_CA CLAIM_CERTIFICATE CLAIM_KEY SERIAL_NUMBER

In the folder SERIAL_NUMBER are its key, device.key, and device.csr; device.crt is written there.
"""

import sys
from concurrent.futures import Future
from pathlib import Path

from awscrt import mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import V2ServiceException, iotidentity, mqtt5_client_builder

WITHIN = 30


class Connection:
    """An MQTT connection, while in its context."""

    def __init__(self, certificate, key, client_id):
        self.connected, self.stopped = Future(), Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(certificate),
            str(key),
            endpoint=endpoint,
            port=int(port),
            ca_filepath=root_ca,
            client_id=client_id,
            on_lifecycle_connection_success=self.connected.set_result,
            on_lifecycle_stopped=self.stopped.set_result,
        )

    def __enter__(self):
        self.client.start()
        self.connected.result(WITHIN)
        return self.client

    def __exit__(self, *_):
        self.client.stop()
        self.stopped.result(WITHIN)


def provision(serial_number):
    """Return a certificate for the key, and the configuration from the template."""
    folder = Path(serial_number)
    with Connection(claim_certificate, claim_key, f"new-{serial_number}") as client:
        identity = iotidentity.IotIdentityClientV2(client, ClientOptions(2, 2, WITHIN))
        created = identity.create_certificate_from_csr(
            iotidentity.CreateCertificateFromCsrRequest(
                certificate_signing_request=(folder / "device.csr").read_text(),
            )
        ).result(WITHIN)
        registered = identity.register_thing(
            iotidentity.RegisterThingRequest(
                template_name="lamps",
                certificate_ownership_token=created.certificate_ownership_token,
                parameters={"SerialNumber": serial_number},
            )
        ).result(WITHIN)
    (folder / "device.crt").write_text(created.certificate_pem)
    return registered


endpoint, port, root_ca, claim_certificate, claim_key, serial_number = sys.argv[1:]
try:
    registered = provision(serial_number)
except V2ServiceException as error:
    sys.exit(f"{serial_number} was not provisioned: {error.modeled_error.error_code}")
print(f"{serial_number} is {registered.thing_name}")

folder = Path(serial_number)
with Connection(folder / "device.crt", folder / "device.key", registered.thing_name) as client:
    topic = registered.device_configuration["StateTopic"]
    client.publish(mqtt5.PublishPacket(topic=topic, payload="on", qos=mqtt5.QoS.AT_LEAST_ONCE)).result(WITHIN)
    print(f"published on {topic} with a certificate of its own")
