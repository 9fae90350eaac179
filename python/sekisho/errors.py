"""Errors of the domain, under the names that AWS IoT gives them.

    AwsException
    ├── the request is wrong
    │   ├── InvalidRequestException
    │   ├── ValidationException
    │   ├── CertificateValidationException
    │   ├── RegistrationCodeValidationException
    │   ├── MalformedPolicyException
    │   ├── ResourceRegistrationFailureException
    │   ├── MethodNotAllowedException
    │   ├── RequestEntityTooLargeException
    │   └── UnsupportedDocumentEncodingException
    ├── the caller is not allowed
    │   ├── UnauthorizedException
    │   └── ForbiddenException
    ├── the resource is missing, or its state does not allow the request
    │   ├── ResourceNotFoundException
    │   ├── NotConfiguredException
    │   ├── ResourceAlreadyExistsException      + resourceId, resourceArn
    │   ├── CertificateConflictException
    │   ├── CertificateStateException
    │   ├── ConflictException                   + resourceId
    │   ├── ConflictingResourceUpdateException
    │   ├── DeleteConflictException
    │   ├── TransferConflictException
    │   ├── TransferAlreadyCompletedException
    │   └── VersionConflictException
    ├── a limit is reached
    │   ├── LimitExceededException
    │   ├── ServiceQuotaExceededException
    │   ├── VersionsLimitExceededException
    │   └── ThrottlingException
    └── the service failed
        ├── InternalFailureException
        ├── ServiceUnavailableException
        └── GatewayTimeoutException

The groups are for reading; every class derives from `AwsException` directly. A class knows its AWS name and
its message, never an HTTP status: one exception has different statuses in different services
(ThrottlingException is 400 in `iot`, 429 in `iot-data`), so `sekisho.api.errors` reads the status from the
service model.

Source: the `errors` of the `iot` and `iot-data` service models.
"""

from __future__ import annotations

from collections.abc import Mapping


class AwsException(Exception):
    """An error that AWS IoT defines for a request that it refuses. Raise a subclass.

    Args:
        message: What was wrong, where, and what to do: one or two sentences for the caller.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def code(self) -> str:
        """The exception's AWS name, as it appears in `x-amzn-ErrorType` and in boto3's `Error.Code`."""
        return type(self).__name__

    @property
    def members(self) -> Mapping[str, str]:
        """Members that the exception's shape has beyond `message`, under their model names."""
        return {}


class InvalidRequestException(AwsException):
    """The request is not valid: a value is missing, malformed, or contradicts another."""


class ValidationException(AwsException):
    """Like ``InvalidRequestException``, in operations whose model declares this one: packages, commands, metrics."""


class CertificateValidationException(AwsException):
    """The certificate in the request is not acceptable: not parseable, not signed as required, not a CA."""


class RegistrationCodeValidationException(AwsException):
    """The verification certificate does not carry this account's registration code."""


class MalformedPolicyException(AwsException):
    """The policy document is not a valid AWS IoT policy."""


class ResourceRegistrationFailureException(AwsException):
    """A provisioning template could not register its resources."""


class MethodNotAllowedException(AwsException):
    """The data plane does not offer this method on this resource."""


class RequestEntityTooLargeException(AwsException):
    """The payload is larger than the data plane accepts."""


class UnsupportedDocumentEncodingException(AwsException):
    """The document is not UTF-8."""


class UnauthorizedException(AwsException):
    """The caller is known but may not do this."""


class ForbiddenException(AwsException):
    """A policy does not allow this on the data plane."""


class ResourceNotFoundException(AwsException):
    """There is no such resource in this account and region."""


class NotConfiguredException(AwsException):
    """The resource has not been configured."""


class ResourceAlreadyExistsException(AwsException):
    """A resource with this name or content exists already.

    Args:
        message: See `AwsException`.
        resource_id: Identifier of the existing resource.
        resource_arn: Its ARN.
    """

    def __init__(self, message: str, *, resource_id: str | None = None, resource_arn: str | None = None) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.resource_arn = resource_arn

    @property
    def members(self) -> Mapping[str, str]:
        named = {"resourceId": self.resource_id, "resourceArn": self.resource_arn}
        return {name: value for name, value in named.items() if value is not None}


class CertificateConflictException(AwsException):
    """Several CA certificates may be the certificate's issuer: name the CA certificate in the request."""


class CertificateStateException(AwsException):
    """The certificate's or CA certificate's state does not allow this."""


class ConflictException(AwsException):
    """The request contradicts the present state of the resource.

    Args:
        message: See `AwsException`.
        resource_id: Identifier of the resource, where the operation's model has that member.
    """

    def __init__(self, message: str, *, resource_id: str | None = None) -> None:
        super().__init__(message)
        self.resource_id = resource_id

    @property
    def members(self) -> Mapping[str, str]:
        return {} if self.resource_id is None else {"resourceId": self.resource_id}


class ConflictingResourceUpdateException(AwsException):
    """Another update of the same resource is in progress."""


class DeleteConflictException(AwsException):
    """The resource is still attached to, or used by, something else."""


class TransferConflictException(AwsException):
    """The certificate cannot be transferred: it is attached or a transfer is pending."""


class TransferAlreadyCompletedException(AwsException):
    """The transfer has been accepted, rejected or cancelled already."""


class VersionConflictException(AwsException):
    """`expectedVersion` is not the resource's version."""


class LimitExceededException(AwsException):
    """A limit on the number of resources or attachments has been reached."""


class ServiceQuotaExceededException(AwsException):
    """A quota of the service has been reached."""


class VersionsLimitExceededException(AwsException):
    """The policy has as many versions as a policy may have: delete one first."""


class ThrottlingException(AwsException):
    """Requests come faster than the configured rate."""


class InternalFailureException(AwsException):
    """The service failed; the request is not the cause."""


class ServiceUnavailableException(AwsException):
    """The service cannot answer now and may be able to later."""


class GatewayTimeoutException(AwsException):
    """The device did not confirm in time."""
