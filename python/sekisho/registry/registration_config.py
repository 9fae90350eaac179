"""What a CA certificate may say about just-in-time provisioning: a template by name, or a body with its role.

Both are looked at when they are set. What a template asks for is done elsewhere (``provisioning``).

Source: Developer Guide, jit-provisioning and provision-template; the RegistrationConfig shape of the ``iot`` model.
"""

from __future__ import annotations

import re
from typing import Final

from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.registry.model import RegistrationConfig
from sekisho.templates.error import TemplateError
from sekisho.templates.template import parse

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")


def checked(config: RegistrationConfig | None) -> RegistrationConfig | None:
    """The configuration, or None where it says nothing.

    Raises:
        InvalidRequestException: Parts that do not go together, a role that is no role's ARN, a body that is no
            provisioning template.
        ResourceNotFoundException: A template by name, of which there are none.
    """
    if config is None or not (config.template_body or config.template_name or config.role_arn):
        return None
    if config.template_name:
        if config.template_body or config.role_arn:
            raise InvalidRequestException(
                "registrationConfig names a template (templateName) and gives a templateBody or roleArn as well. Give "
                "either templateName, or templateBody with roleArn."
            )
        raise ResourceNotFoundException(f"Provisioning template {config.template_name} does not exist.")
    if not config.template_body:
        raise InvalidRequestException(
            "registrationConfig has a roleArn and no template. Give templateBody with it, or templateName alone."
        )
    if not config.role_arn:
        raise InvalidRequestException("registrationConfig has a templateBody and no roleArn, the role it acts in.")
    if _ROLE.fullmatch(config.role_arn) is None:
        raise InvalidRequestException(
            f"registrationConfig.roleArn {config.role_arn[:200]!r} is not the ARN of a role: "
            "arn:aws:iam::<account>:role/<name>."
        )
    _check_template(config.template_body)
    return config


def _check_template(body: str) -> None:
    try:
        source = parse(body).certificate_source
    except TemplateError as error:
        raise InvalidRequestException(f"registrationConfig.templateBody: {error}") from None
    if source not in (None, "CertificateId"):
        raise InvalidRequestException(
            f"registrationConfig.templateBody gives its certificate as {source}. The device brings the certificate; "
            'the template names it with "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}.'
        )
