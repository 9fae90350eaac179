"""Who am I: what the AWS CLI and SDKs ask to check credentials.

Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

from collections.abc import Mapping

from sekisho.api.operation import Call, operation


@operation("sts", "GetCallerIdentity")
def get_caller_identity(call: Call, _request: Mapping[str, object]) -> Mapping[str, str]:
    """The account and identity whose access key signed the request."""
    return {"Account": call.caller.account_id, "Arn": call.caller.arn, "UserId": call.caller.user_id}
