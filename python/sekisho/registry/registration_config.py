"""What a CA certificate may say about just-in-time provisioning: a template by name, or a body with its role.

Here the form is looked at, when it is set. What a template does is another subject.

Source: Developer Guide, jit-provisioning and provision-template; the RegistrationConfig shape of the ``iot`` model.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sekisho import arn
from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.realm import Realm
from sekisho.registry.model import RegistrationConfig, TemplateType
from sekisho.registry.ports import Transaction

_RESOURCE_TYPES: Final = ("AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy")


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
    check_template(config.template_body, "registrationConfig.templateBody")
    return config


def require_template(tx: Transaction, realm: Realm, config: RegistrationConfig | None) -> None:
    """That the template which a configuration names is there, and for this.

    Raises:
        ResourceNotFoundException: There is none of this name.
        InvalidRequestException: It is of type FLEET_PROVISIONING.
    """
    if config is None or config.template_name is None:
        return
    template = tx.provisioning_templates.get(realm, config.template_name)
    if template is None:
        raise ResourceNotFoundException(f"Provisioning template {config.template_name} does not exist.")
    if template.type is not TemplateType.JITP:
        raise InvalidRequestException(
            f"Provisioning template {template.name} is of type {template.type.value}; a CA certificate provisions "
            "through one of type JITP. The type is said when a template is made."
        )


def check_template(body: str, where: str) -> None:
    """That a body has the form of a provisioning template. ``where`` begins the message of an error.

    Raises InvalidRequestException.
    """
    template = _parse(body, where)
    if isinstance(template, str):
        raise InvalidRequestException(
            f"{where} is JSON text inside JSON text: its quotes are escaped once too often. "
            "The value has to be the template's JSON itself, as a string."
        )
    if not isinstance(template, dict):
        raise InvalidRequestException(f"{where} is not a JSON object.")
    if "templateBody" in template:
        raise InvalidRequestException(
            f"{where} contains a templateBody: the whole registration configuration was given "
            "where the template belongs."
        )
    _require_object(template, "Parameters", where, optional=True)
    for name, parameter in template.get("Parameters", {}).items():
        if not isinstance(parameter, dict) or parameter.get("Type") != "String":
            raise InvalidRequestException(f'{where}: the parameter {name!r} has to be an object with "Type": "String".')
    _require_object(template, "Resources", where)
    if not template["Resources"]:
        raise InvalidRequestException(f"{where} has no Resources: there is nothing to provision.")
    for name, resource in template["Resources"].items():
        which = f"{where}: the resource {name!r}"
        if not isinstance(resource, dict) or resource.get("Type") not in _RESOURCE_TYPES:
            raise InvalidRequestException(
                f"{which} has to be an object whose Type is one of {', '.join(_RESOURCE_TYPES)}."
            )
        _require_object(resource, "Properties", which, optional=True)


def _parse(body: str, where: str) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise InvalidRequestException(
            f"{where} is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise InvalidRequestException(f"{where} is nested too deeply.") from None


def _require_object(parent: dict[str, Any], name: str, where: str, *, optional: bool = False) -> None:
    if name not in parent:
        if optional:
            return
        raise InvalidRequestException(f"{where} has no {name}.")
    if not isinstance(parent[name], dict):
        raise InvalidRequestException(f"{where}: {name} has to be an object.")
