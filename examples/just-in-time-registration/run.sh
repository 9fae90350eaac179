#!/usr/bin/env bash
# An unregistered device connects twice: it is refused and activated by activate.py, and then accepted.
# Needs on PATH: sekisho, aws, openssl, mosquitto_pub, and boto3 beside sekisho. Ports: SEKISHO_API_PORT (5883), SEKISHO_MQTT_PORT (8883).
set -euo pipefail

example=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
finish() {
    status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" || true
    fi
    [ $status -eq 0 ] || cat "$work/server.log" >&2 || true
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

cd "$work"

# A server on data of its own, which finds sekisho.toml and activate.py in it.
export SEKISHO_DATA=$work/data AWS_PAGER=
mkdir -m 700 data
cp "$example/sekisho.toml" "$example/activate.py" data/
sekisho up >server.out 2>server.log &
server=$!
sekisho status --wait 30
eval "$(sekisho env)"
mqtt_port=${SEKISHO_MQTT_PORT:-8883}

# Your CA. Its certificates register by themselves.
openssl genrsa -out ca.key 2048
openssl req -x509 -new -nodes -key ca.key -sha256 -days 1024 -out ca.crt -subj "/CN=Lamp CA"
aws iot register-ca-certificate --ca-certificate file://ca.crt --certificate-mode SNI_ONLY \
    --set-as-active --allow-auto-registration

# What a lamp may do: activate.py attaches it.
aws iot create-policy --policy-name lamps --policy-document "file://$example/policy.json"

# A lamp, made in the factory. The server does not know it.
openssl genrsa -out lamp.key 2048
openssl req -new -key lamp.key -out lamp.csr -subj "/CN=lamp-1"
openssl x509 -req -in lamp.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out lamp.crt -days 500 -sha256

endpoint=$(aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text)
turn_on() {
    mosquitto_pub --cafile "$SEKISHO_ROOT_CA" --cert lamp.crt --key lamp.key -h "$endpoint" -p "$mqtt_port" \
        -i lamp-1 -q 1 -t lamps/lamp-1/state -m on
}
status() { aws iot list-certificates --query 'certificates[].status' --output text; }

if turn_on; then
    echo "An unregistered device was accepted" >&2
    exit 1
fi
echo "first connection: refused"

# A device keeps trying; here we look when the handler has done its part.
deadline=$((SECONDS + 60))
until [ "$(status)" = ACTIVE ]; do
    [ $SECONDS -lt $deadline ] || { echo "activate.py has not activated the lamp" >&2; exit 1; }
done
turn_on
echo "second connection: accepted"
sekisho handlers list
aws iot list-things --query 'things[].thingName' --output text
