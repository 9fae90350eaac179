#!/usr/bin/env bash
# A device with nothing but a claim certificate gets one of its own, signed by your CA, and connects with it.
# Needs on PATH: sekisho, aws, openssl, python with awsiotsdk. Ports: SEKISHO_API_PORT (5883), SEKISHO_MQTT_PORT (8883).
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

# Your CA: it will sign what the devices get.
openssl genrsa -out ca.key 2048
openssl req -x509 -new -nodes -key ca.key -sha256 -days 1024 -out ca.crt -subj "/CN=Lamp CA"

# A server on data of its own, which finds sekisho.toml, hook.py and your CA in it.
export SEKISHO_DATA=$work/data AWS_PAGER=
mkdir -m 700 data
cp "$example/sekisho.toml" "$example/hook.py" ca.crt ca.key data/
sekisho up >server.out 2>server.log &
server=$!
sekisho status --wait 30
eval "$(sekisho env)"
mqtt_port=${SEKISHO_MQTT_PORT:-8883}
account=$(aws sts get-caller-identity --query Account --output text)
lambda=arn:aws:lambda:$AWS_REGION:$account:function

# Certificate signing requests of devices are signed by the handler "sign".
aws iot register-ca-certificate --ca-certificate file://ca.crt --certificate-mode SNI_ONLY --set-as-active
aws iot create-certificate-provider --certificate-provider-name own-ca \
    --account-default-for-operations CreateCertificateFromCsr --lambda-function-arn "$lambda:sign"

# The template, and the handler "allow" that is asked before it is carried out.
aws iot create-policy --policy-name lamps --policy-document "file://$example/device-policy.json"
aws iot create-provisioning-template --template-name lamps --enabled \
    --template-body "file://$example/template.json" \
    --pre-provisioning-hook "payloadVersion=2020-04-01,targetArn=$lambda:allow" \
    --provisioning-role-arn "arn:aws:iam::$account:role/provisioning"

# The claim: one certificate for the whole production run. It may ask to be provisioned, and nothing else.
sed "s/REGION/$AWS_REGION/g; s/ACCOUNT/$account/g" "$example/claim-policy.json" >claim-policy.json
aws iot create-policy --policy-name claim --policy-document file://claim-policy.json
claim=$(aws iot create-keys-and-certificate --set-as-active --certificate-pem-outfile claim.crt \
    --private-key-outfile claim.key --query certificateArn --output text)
aws iot attach-policy --policy-name claim --target "$claim"

endpoint=$(aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text)
provision() { # provision SERIAL_NUMBER: as the device does when it is switched on first
    mkdir "$1"
    openssl genrsa -out "$1/device.key" 2048
    openssl req -new -key "$1/device.key" -out "$1/device.csr" -subj "/CN=lamp-$1"
    python "$example/device.py" "$endpoint" "$mqtt_port" "$SEKISHO_ROOT_CA" claim.crt claim.key "$1"
}

provision A-0001
openssl x509 -in A-0001/device.crt -noout -subject -issuer -nameopt RFC2253
aws iot describe-thing --thing-name lamp-A-0001

# A serial number that we never made.
if provision B-0001; then
    echo "A device that is not ours was provisioned" >&2
    exit 1
fi
aws iot list-things --query 'things[].thingName' --output text
