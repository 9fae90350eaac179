"""One device, one certificate, several endpoints of one server, each of another account.

python device.py PORT ROOT_CA CERTIFICATE KEY ENDPOINT...

The names end in .localhost, which not every resolver knows. What chooses the account is the server name in the TLS
handshake (SNI): the device connects to the loopback address and sends the endpoint's name.
"""

import queue
import ssl
import sys

import paho.mqtt.client as mqtt

WITHIN = 30


class Named(ssl.SSLContext):
    """Sends a server name, and expects it in the server's certificate, for any address."""

    server_name = None

    def wrap_socket(self, sock, **options):
        """As paho calls it, with the address it connected to."""
        return super().wrap_socket(sock, **(options | {"server_hostname": self.server_name}))


class Connection:
    """A connection to one endpoint, subscribed to all topics."""

    def __init__(self, endpoint):
        self.endpoint, self.ready, self.messages = endpoint, queue.Queue(), queue.Queue()
        context = Named(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = endpoint
        context.load_verify_locations(root_ca)
        context.load_cert_chain(certificate, key)
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "lamp-1")
        self.client.tls_set_context(context)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: self.ready.put(True)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.connect("127.0.0.1", int(port))
        self.client.loop_start()
        self.ready.get(timeout=WITHIN)


port, root_ca, certificate, key, *endpoints = sys.argv[1:]
connections = [Connection(endpoint) for endpoint in endpoints]
for connection in connections:
    connection.client.publish("lamps/where", f"I am at {connection.endpoint}", 1).wait_for_publish(WITHIN)
for connection in connections:
    # Its own message last: a message of another account would have come before it.
    connection.client.publish("lamps/end", "", 1).wait_for_publish(WITHIN)
    received = []
    while not received or received[-1].topic != "lamps/end":
        received.append(connection.messages.get(timeout=WITHIN))
    print(f"{connection.endpoint} received: {' | '.join(each.payload.decode() for each in received[:-1])}")
    connection.client.disconnect()
    connection.client.loop_stop()
