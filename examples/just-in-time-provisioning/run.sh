#!/usr/bin/env bash
# An unregistered device connects twice: it is refused but provisioned by a template, and then accepted.
# Needs on PATH: sekisho, aws, openssl, mosquitto_pub. Ports: SEKISHO_API_PORT (5883), SEKISHO_MQTT_PORT (8883).
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

# What the template names has to be there: a thing type, a group. The policy it brings along.
aws iot create-thing-type --thing-type-name lamp
aws iot create-thing-group --thing-group-name japan

# AWS IoT assumes the role; here it is stored with the template and has no effect.
aws iot create-provisioning-template --template-name lamps --type JITP --enabled \
    --template-body "file://$example/template.json" \
    --provisioning-role-arn arn:aws:iam::123456789012:role/provisioning

# Your CA. Its certificates register by themselves, through the template.
openssl genrsa -out ca.key 2048
openssl req -x509 -new -nodes -key ca.key -sha256 -days 1024 -out ca.crt -subj "/CN=Lamp CA"
aws iot register-ca-certificate --ca-certificate file://ca.crt --certificate-mode SNI_ONLY \
    --set-as-active --allow-auto-registration --registration-config '{"templateName": "lamps"}'

# A lamp, made in the factory. What is to be known of it is in its subject.
openssl genrsa -out lamp.key 2048
openssl req -new -key lamp.key -out lamp.csr -subj "/C=JP/CN=lamp-1/serialNumber=A-0001"
openssl x509 -req -in lamp.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out lamp.crt -days 500 -sha256

endpoint=$(aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text)
turn_on() {
    mosquitto_pub --cafile "$SEKISHO_ROOT_CA" --cert lamp.crt --key lamp.key -h "$endpoint" -p "$mqtt_port" \
        -i lamp-1 -q 1 -t lamps/lamp-1/state -m on
}

if turn_on; then
    echo "An unregistered device was accepted" >&2
    exit 1
fi
echo "first connection: refused, and provisioned"
turn_on
echo "second connection: accepted"
aws iot describe-thing --thing-name lamp-1
aws iot list-thing-groups-for-thing --thing-name lamp-1 --query 'thingGroups[].groupName' --output text
