#!/usr/bin/env bash
# One CA registered in two accounts, one device certificate in both: the endpoint chooses, and nothing crosses.
# Needs on PATH: sekisho, aws, openssl, python with paho-mqtt. Ports: SEKISHO_API_PORT (5883), SEKISHO_MQTT_PORT (8883).
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

# A server on data of its own.
export SEKISHO_DATA=$work/data AWS_PAGER=
sekisho up >server.out 2>server.log &
server=$!
sekisho status --wait 30
eval "$(sekisho env)"
mqtt_port=${SEKISHO_MQTT_PORT:-8883}

# Your CA, and a device.
openssl genrsa -out ca.key 2048
openssl req -x509 -new -nodes -key ca.key -sha256 -days 1024 -out ca.crt -subj "/CN=Lamp CA"
openssl genrsa -out lamp.key 2048
openssl req -new -key lamp.key -out lamp.csr -subj "/CN=lamp-1"
openssl x509 -req -in lamp.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out lamp.crt -days 500 -sha256

# Two accounts: the default one, and another. In each the same CA and the same certificate.
sekisho account create 222222222222 --name "Second customer" >/dev/null
register() {
    aws iot register-ca-certificate --ca-certificate file://ca.crt --certificate-mode SNI_ONLY --set-as-active
    aws iot create-policy --policy-name lamps --policy-document "file://$example/policy.json"
    aws iot register-certificate --set-as-active --certificate-pem file://lamp.crt --ca-certificate-pem file://ca.crt
    aws iot attach-policy --policy-name lamps --target "$(aws iot list-certificates \
        --query 'certificates[0].certificateArn' --output text)"
}
endpoint() { aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text; }

register
first=$(endpoint)
eval "$(sekisho env --account 222222222222)"
register
second=$(endpoint)
echo "endpoints: $first $second"

# The lamp connects to both, listens, and says in each where it is.
python "$example/device.py" "$mqtt_port" "$SEKISHO_ROOT_CA" lamp.crt lamp.key "$first" "$second"
