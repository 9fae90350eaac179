"""The environment variables by which AWS tools find a server, for ``sekisho env`` and for HTTP."""

from __future__ import annotations

from collections.abc import Mapping


def tool_variables(api: str, region: str) -> Mapping[str, str]:
    """Return the variables without access keys, for the API at the URL ``api``."""
    return {
        "AWS_ENDPOINT_URL": api,
        "AWS_ENDPOINT_URL_IOT": api,
        # botocore derives this name from the service id "IoT Data Plane".
        "AWS_ENDPOINT_URL_IOT_DATA_PLANE": api,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
