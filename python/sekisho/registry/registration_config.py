"""What a CA certificate may say about just-in-time provisioning: a template by name, or a body with its role.

Here the form is looked at, when it is set. What a template does is another subject.

Source: Developer Guide, jit-provisioning and provision-template; the RegistrationConfig shape of the ``iot`` model.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sekisho.errors import InvalidRequestException, ResourceNotFoundException
from sekisho.registry.model import RegistrationConfig

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")
_RESOURCE_TYPES: Final = ("AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy")


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
    template = _parse(body)
    if isinstance(template, str):
        raise InvalidRequestException(
            "registrationConfig.templateBody is JSON text inside JSON text: its quotes are escaped once too often. "
            "The value has to be the template's JSON itself, as a string."
        )
    if not isinstance(template, dict):
        raise InvalidRequestException("registrationConfig.templateBody is not a JSON object.")
    if "templateBody" in template:
        raise InvalidRequestException(
            "registrationConfig.templateBody contains a templateBody: the whole registration configuration was given "
            "where the template belongs."
        )
    _require_object(template, "Parameters", "registrationConfig.templateBody", optional=True)
    for name, parameter in template.get("Parameters", {}).items():
        if not isinstance(parameter, dict) or parameter.get("Type") != "String":
            raise InvalidRequestException(
                f'registrationConfig.templateBody: the parameter {name!r} has to be an object with "Type": "String".'
            )
    _require_object(template, "Resources", "registrationConfig.templateBody")
    if not template["Resources"]:
        raise InvalidRequestException(
            "registrationConfig.templateBody has no Resources: there is nothing to provision."
        )
    for name, resource in template["Resources"].items():
        where = f"registrationConfig.templateBody: the resource {name!r}"
        if not isinstance(resource, dict) or resource.get("Type") not in _RESOURCE_TYPES:
            raise InvalidRequestException(
                f"{where} has to be an object whose Type is one of {', '.join(_RESOURCE_TYPES)}."
            )
        _require_object(resource, "Properties", where, optional=True)


def _parse(body: str) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise InvalidRequestException(
            f"registrationConfig.templateBody is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise InvalidRequestException("registrationConfig.templateBody is nested too deeply.") from None


def _require_object(parent: dict[str, Any], name: str, where: str, *, optional: bool = False) -> None:
    if name not in parent:
        if optional:
            return
        raise InvalidRequestException(f"{where} has no {name}.")
    if not isinstance(parent[name], dict):
        raise InvalidRequestException(f"{where}: {name} has to be an object.")
