"""Lets in what just-in-time registration has registered. On AWS, a rule's Lambda function; here, a handler."""

import boto3

iot = boto3.client("iot")


def handler(event, context):
    """``event`` is what AWS IoT publishes on ``$aws/events/certificates/registered/<caCertificateId>``."""
    certificate_id = event["certificateId"]
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    thing_name = f"lamp-{certificate_id[:12]}"

    # It may be called twice for one device: all of these may be repeated.
    iot.create_thing(thingName=thing_name)
    iot.attach_thing_principal(thingName=thing_name, principal=described["certificateArn"])
    iot.attach_policy(policyName="lamps", target=described["certificateArn"])
    # Last: a device that is let in finds everything in its place.
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    print(f"{thing_name} is let in")
