"""Registration configurations of CA certificates: just-in-time provisioning with a template's name, or body and role.

A configuration is checked when it is set. ``provisioning.jitp`` applies its template.

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
    """Return the configuration; None where it is empty. ``require_template`` checks whether its template exists.

    Raises:
        InvalidRequestException: Its members contradict each other, the role is not the ARN of a role, or the body is
            not a provisioning template.
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
        raise InvalidRequestException("registrationConfig has a templateBody and no roleArn. Give the ARN of a role.")
    if not arn.is_role(config.role_arn):
        raise InvalidRequestException(
            f"registrationConfig.roleArn {config.role_arn[:200]!r} is not the ARN of a role: "
            "arn:aws:iam::<account>:role/<name>."
        )
    warn(check_template(config.template_body, "registrationConfig.templateBody", Use.JITP))
    return config


def require_template(tx: Transaction, realm: Realm, config: RegistrationConfig | None) -> None:
    """Check that the template of a configuration exists, and is of type JITP.

    Raises:
        ResourceNotFoundException: No such template.
        InvalidRequestException: It is of type FLEET_PROVISIONING.
    """
    if config is None or config.template_name is None:
        return
    template = ProvisioningTemplateRows(tx).get(realm, config.template_name)
    if template is None:
        raise ResourceNotFoundException(f"Provisioning template {config.template_name} does not exist.")
    if template.type is not TemplateType.JITP:
        raise InvalidRequestException(
            f"Provisioning template {template.name} is of type {template.type.value}; a CA certificate needs one of "
            "type JITP. CreateProvisioningTemplate sets the type."
        )


def warn(template: Template, **whose: str) -> None:
    """Log the warnings about a template; the API has no member for them. ``whose``: fields of the log."""
    for warning in template.warnings:
        log.write(LogEvent.TEMPLATE_UNSAFE, reason=warning, **whose)


def check_template(body: str, where: str, use: Use) -> Template:
    """Parse the body of a template that provisions devices which have a certificate.

    Raises InvalidRequestException whose message begins with ``where``.
    """
    try:
        template = parse(body, use)
    except TemplateError as error:
        raise InvalidRequestException(f"{where}: {error}") from None
    source = template.certificate_source
    if source not in (None, "CertificateId"):
        raise InvalidRequestException(
            f"{where} specifies its certificate as {source}. The device has its certificate already; specify it as "
            '"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}.'
        )
    return template
