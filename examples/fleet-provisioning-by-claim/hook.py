"""The pre-provisioning hook. On AWS, a Lambda function; here, a handler."""

MADE_HERE = ("A-",)


def allow(event, context):
    """Decide before a device is provisioned; ``event["parameters"]`` comes from the device."""
    serial_number = event["parameters"]["SerialNumber"]
    if not serial_number.startswith(MADE_HERE):
        print(f"{serial_number} is not ours")
        return {"allowProvisioning": False}
    return {"allowProvisioning": True, "parameterOverrides": {"Batch": serial_number[0]}}
