"""TestAuthorization and GetEffectivePolicies.

``cognitoIdentityPoolId`` belongs to a Cognito identity and changes nothing: policies are attached to identities.

Source: https://docs.aws.amazon.com/iot/latest/apireference/API_TestAuthorization.html and
API_GetEffectivePolicies.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sekisho import arn
from sekisho.api.operation import Call, operation
from sekisho.policies.authorization import Answer, Question
from sekisho.realm import Realm

if TYPE_CHECKING:
    from types_boto3_iot.type_defs import GetEffectivePoliciesRequestTypeDef, TestAuthorizationRequestTypeDef


@operation("iot", "TestAuthorization")
def test_authorization(call: Call, request: TestAuthorizationRequestTypeDef) -> Mapping[str, Any]:
    """Return the gateway's decision for each request."""
    answers = call.services.authorization.test(
        call.realm,
        [Question(info.get("actionType", ""), info["resources"]) for info in request["authInfos"]],
        principal=request.get("principal"),
        client_id=request.get("clientId"),
        policy_names_to_add=request.get("policyNamesToAdd", ()),
        policy_names_to_skip=request.get("policyNamesToSkip", ()),
    )
    return {"authResults": [_result(call.realm, answer) for answer in answers]}


@operation("iot", "GetEffectivePolicies")
def get_effective_policies(call: Call, request: GetEffectivePoliciesRequestTypeDef) -> Mapping[str, Any]:
    """Return the policies in force for a principal, a thing, or both."""
    versions = call.services.authorization.effective_policies(
        call.realm, principal=request.get("principal"), thing_name=request.get("thingName")
    )
    return {
        "effectivePolicies": [
            {
                "policyName": version.policy_name,
                "policyArn": arn.policy(call.realm, version.policy_name),
                "policyDocument": version.document,
            }
            for version in versions
        ]
    }


def _result(realm: Realm, answer: Answer) -> Mapping[str, Any]:
    return {
        "authInfo": {"actionType": answer.question.action_type, "resources": list(answer.question.resources)},
        "allowed": {"policies": _policies(realm, answer.allowed_by)},
        "denied": {
            "implicitDeny": {"policies": _policies(realm, answer.implicitly_denied_by)},
            "explicitDeny": {"policies": _policies(realm, answer.explicitly_denied_by)},
        },
        "authDecision": answer.decision,
        "missingContextValues": list(answer.missing_context_values),
    }


def _policies(realm: Realm, names: Sequence[str]) -> list[Mapping[str, str]]:
    return [{"policyName": name, "policyArn": arn.policy(realm, name)} for name in names]
