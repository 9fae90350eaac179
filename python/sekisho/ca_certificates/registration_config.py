"""What a CA certificate may say about just-in-time provisioning: a template by name, or a body with its role.

Both are looked at when they are set. What a template asks for is done elsewhere (``provisioning``).

Source: Developer Guide, jit-provisioning and provision-template; the RegistrationConfig shape of the ``iot`` model.
"""

from __future__ import annotations

from sekisho import arn
from sekisho.ca_certificates.model import RegistrationConfig
from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.provisioning.templates.model import TemplateType
from sekisho.provisioning.templates.store import ProvisioningTemplateRows
from sekisho.realm import Realm
from sekisho.store.transaction import Transaction
from sekisho.templates.error import TemplateError
from sekisho.templates.template import Template, parse
from sekisho.templates.use import Use


def checked(config: RegistrationConfig | None) -> RegistrationConfig | None:
    """The configuration, or None where it says nothing. Whether a template it names exists, ``require_template`` says.

    Raises:
        InvalidRequestException: Parts that do not go together, a role that is no role's ARN, a body that is no
            provisioning template.
    """
    if config is None or not (config.template_body or config.template_name or config.role_arn):
        return None
    if config.template_name:
        if config.template_body or config.role_arn:
            raise InvalidRequestException(
                "registrationConfig names a template (templateName) and gives a templateBody or roleArn as well. Give "
                "either templateName, or templateBody with roleArn."
            )
        return config
    if not config.template_body:
        raise InvalidRequestException(
            "registrationConfig has a roleArn and no template. Give templateBody with it, or templateName alone."
        )
    if not config.role_arn:
        raise InvalidRequestException("registrationConfig has a templateBody and no roleArn, the role it acts in.")
    if not arn.is_role(config.role_arn):
        raise InvalidRequestException(
            f"registrationConfig.roleArn {config.role_arn[:200]!r} is not the ARN of a role: "
            "arn:aws:iam::<account>:role/<name>."
        )
    warn(check_template(config.template_body, "registrationConfig.templateBody", Use.JITP))
    return config


def require_template(tx: Transaction, realm: Realm, config: RegistrationConfig | None) -> None:
    """That the template which a configuration names is there, and for this.

    Raises:
        ResourceNotFoundException: There is none of this name.
        InvalidRequestException: It is of type FLEET_PROVISIONING.
    """
    if config is None or config.template_name is None:
        return
    template = ProvisioningTemplateRows(tx).get(realm, config.template_name)
    if template is None:
        raise ResourceNotFoundException(f"Provisioning template {config.template_name} does not exist.")
    if template.type is not TemplateType.JITP:
        raise InvalidRequestException(
            f"Provisioning template {template.name} is of type {template.type.value}; a CA certificate provisions "
            "through one of type JITP. The type is said when a template is made."
        )


def warn(template: Template, **whose: str) -> None:
    """Log what is dangerous about a template; the API has no field for it."""
    for warning in template.warnings:
        log.write(LogEvent.TEMPLATE_UNSAFE, reason=warning, **whose)


def check_template(body: str, where: str, use: Use) -> Template:
    """The template that a body is, if it is one for devices that come with their certificate.

    Raises InvalidRequestException; its message begins with ``where``.
    """
    try:
        template = parse(body, use)
    except TemplateError as error:
        raise InvalidRequestException(f"{where}: {error}") from None
    source = template.certificate_source
    if source not in (None, "CertificateId"):
        raise InvalidRequestException(
            f"{where} gives its certificate as {source}. The device brings the certificate; "
            'the template names it with "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}.'
        )
    return template
