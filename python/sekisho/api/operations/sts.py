"""GetCallerIdentity and GetAccessKeyInfo, with which the AWS CLI and SDKs check credentials.

Source: AWS Security Token Service API Reference, GetCallerIdentity and GetAccessKeyInfo.
"""

from __future__ import annotations

from collections.abc import Mapping

from sekisho.api.operation import Call, operation
from sekisho.errors import ValidationException


@operation("sts", "GetCallerIdentity")
def get_caller_identity(call: Call, _request: Mapping[str, object]) -> Mapping[str, str]:
    """Return the account and identity of the access key that signed the request."""
    return {"Account": call.caller.account_id, "Arn": call.caller.arn, "UserId": call.caller.user_id}


@operation("sts", "GetAccessKeyInfo")
def get_access_key_info(call: Call, request: Mapping[str, str]) -> Mapping[str, str]:
    """Return the account of an access key, to any account, as AWS does.

    Raises ValidationException where no account of this server has the key. AWS decodes the account from the id itself.
    """
    access_key_id = request["AccessKeyId"]
    key = call.services.accounts.access_key(access_key_id)
    if key is None:
        raise ValidationException(f"No account of this server has the access key {access_key_id}.")
    return {"Account": key.account_id}
