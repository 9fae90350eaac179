"""Activates certificates after just-in-time registration. On AWS, a Lambda function of a rule; here, a handler."""

import boto3

iot = boto3.client("iot")


def handler(event, context):
    """Activate a device. ``event`` is the message on ``$aws/events/certificates/registered/<caCertificateId>``."""
    certificate_id = event["certificateId"]
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    thing_name = f"lamp-{certificate_id[:12]}"

    # It may be called twice for one device, so every step can be repeated.
    iot.create_thing(thingName=thing_name)
    iot.attach_thing_principal(thingName=thing_name, principal=described["certificateArn"])
    iot.attach_policy(policyName="lamps", target=described["certificateArn"])
    # Last, so that an active device finds everything in its place.
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    print(f"{thing_name} is active")
