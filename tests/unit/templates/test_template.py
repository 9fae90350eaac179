"""The template language: which definitions are refused, and the result of a valid one."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from typing import Any, ClassVar, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from sekisho.templates.error import TemplateError
from sekisho.templates.expressions import MAX_LENGTH
from sekisho.templates.resources import Override, Resources, ThingOverrides
from sekisho.templates.template import parse
from sekisho.templates.use import CERTIFICATE_PARAMETERS, Use

ID: Final = "ab" * 32
COMMON_NAME: Final = "AWS::IoT::Certificate::CommonName"
CERTIFICATE_ID: Final = "AWS::IoT::Certificate::Id"

JIT: Final = """\
{
  "Parameters": {
    "AWS::IoT::Certificate::CommonName": {"Type": "String"},
    "AWS::IoT::Certificate::Country": {"Type": "String"},
    "AWS::IoT::Certificate::Id": {"Type": "String"},
    "Site": {"Type": "String", "Default": "north"}
  },
  "Resources": {
    "thing": {
      "Type": "AWS::IoT::Thing",
      "Properties": {
        "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
        "AttributePayload": {
          "site": {"Ref": "Site"},
          "country": {"Ref": "AWS::IoT::Certificate::Country"}
        },
        "ThingTypeName": "sensor",
        "ThingGroups": ["all", {"Ref": "AWS::IoT::Certificate::Country"}, "all"],
        "BillingGroup": "lab"
      },
      "OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "REPLACE", "ThingGroups": "FAIL"}
    },
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": {
        "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
        "Status": "Active",
        "ThingPrincipalType": "EXCLUSIVE_THING"
      },
      "OverrideSettings": {"Status": "REPLACE"}
    },
    "named": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "devices"}},
    "given": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": "{\\"Version\\": \\"2012-10-17\\"}"}}
  }
}
"""


def template(
    resources: dict[str, Any] | None = None, *, parameters: tuple[str, ...] = (), **sections: Any
) -> dict[str, Any]:
    return {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": resources or {"thing": thing()},
        **sections,
    }


def thing(name: Any = "t", overrides: Any = None, **properties: Any) -> dict[str, Any]:
    resource: dict[str, Any] = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": name, **properties}}
    return resource if overrides is None else {**resource, "OverrideSettings": overrides}


def certificate(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::IoT::Certificate", "Properties": properties}


def policy(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::IoT::Policy", "Properties": properties}


def resolved(body: dict[str, Any], **parameters: str) -> Resources:
    return parse(json.dumps(body)).resolve(parameters)


def configured(value: Any, *, mappings: Any = None, **parameters: str) -> Any:
    """Return the value of a function in the device's configuration."""
    sections = {"DeviceConfiguration": {"it": value}}
    if mappings is not None:
        sections["Mappings"] = mappings
    return resolved(template(parameters=tuple(parameters), **sections), **parameters).device_configuration["it"]


class TestResult:
    def test_all_resources_of_the_template_are_in_the_result(self) -> None:
        values = {COMMON_NAME: "device-7", "AWS::IoT::Certificate::Country": "JP", CERTIFICATE_ID: ID}
        resources = parse(JIT).resolve(values)
        assert resources.thing is not None
        assert (resources.thing.logical_id, resources.thing.line) == ("thing", 9)
        assert (resources.thing.name, resources.thing.type_name) == ("device-7", "sensor")
        assert resources.thing.attributes == {"site": "north", "country": "JP"}
        assert resources.thing.groups == ("all", "JP")
        assert resources.thing.billing_group == "lab"
        assert resources.thing.overrides == ThingOverrides(Override.MERGE, Override.REPLACE, Override.FAIL)
        found = resources.certificate
        assert found is not None
        assert (found.logical_id, found.line, found.certificate_id) == ("certificate", 23, ID)
        assert (found.status, found.principal_type) == ("ACTIVE", "EXCLUSIVE_THING")
        assert found.override is Override.REPLACE
        named, given = resources.policies
        assert (named.logical_id, named.name, named.document) == ("named", "devices", None)
        assert given.document == '{"Version": "2012-10-17"}'
        assert given.line == 33
        assert resources.device_configuration == {}

    def test_omitted_properties_have_the_defaults_of_aws(self) -> None:
        resources = resolved(template({"t": thing(), "c": certificate(CertificateId=ID)}))
        assert resources.thing is not None
        assert resources.thing.overrides == ThingOverrides()
        assert resources.thing.overrides.attributes is Override.DO_NOTHING
        assert (resources.thing.attributes, resources.thing.groups) == ({}, ())
        assert resources.certificate is not None
        assert (resources.certificate.status, resources.certificate.principal_type) == ("ACTIVE", None)
        assert resources.certificate.override is Override.DO_NOTHING
        assert resources.policies == ()

    def test_a_policy_without_name_is_named_after_its_document(self) -> None:
        [found] = resolved(template({"p": policy(PolicyDocument="{}")})).policies
        assert found.name == hashlib.sha1(b"{}").hexdigest().upper()  # noqa: S324 - a name, as AWS makes it
        assert len(found.name) == 40

    def test_a_document_may_be_an_object_with_functions_in_it(self) -> None:
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Resource": [{"Fn::Join": ["/", ["a", {"Ref": "P"}]]}, "é"], "n": 1}],
            "list": {"Fn::Split": ["|", "a|b"]},
        }
        [found] = resolved(template({"p": policy(PolicyDocument=document)}, parameters=("P",)), P="b").policies
        assert found.document == (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":["a/b","é"],"n":1}],"list":["a","b"]}'
        )

    def test_the_device_s_configuration_keeps_numbers_and_booleans(self) -> None:
        body = template(DeviceConfiguration={"url": "x", "port": 8883, "ratio": 0.5, "tls": True})
        assert resolved(body).device_configuration == {"url": "x", "port": 8883, "ratio": 0.5, "tls": True}

    def test_a_given_value_has_precedence_over_the_default(self) -> None:
        body = {**template({"t": thing({"Ref": "P"})}), "Parameters": {"P": {"Type": "String", "Default": "d"}}}
        for values, name in (({}, "d"), ({"P": "v"}, "v")):
            found = resolved(body, **values).thing
            assert found is not None
            assert found.name == name

    def test_parameters_that_are_not_declared_are_ignored(self) -> None:
        read = parse(json.dumps(template(parameters=("P",))))
        assert read.resolve({"P": "", "Q": "", COMMON_NAME: ""}).thing is not None

    @pytest.mark.parametrize("source", ["CertificateId", "CertificatePem", "CertificateSigningRequest"])
    def test_the_result_says_how_the_certificate_is_given(self, source: str) -> None:
        assert parse(json.dumps(template({"c": certificate(**{source: ID})}))).certificate_source == source

    def test_a_template_need_not_have_a_certificate(self) -> None:
        assert parse(json.dumps(template())).certificate_source is None

    def test_the_ca_belongs_to_the_certificate(self) -> None:
        found = resolved(template({"c": certificate(CertificatePem="pem", CACertificatePem="ca")})).certificate
        assert found is not None
        assert (found.certificate_pem, found.ca_certificate_pem, found.certificate_id) == ("pem", "ca", None)


class TestFunctions:
    @pytest.mark.parametrize(
        ("function", "value"),
        [
            ({"Ref": "P"}, "p"),
            ({"Fn::Join": ["", ["a", {"Ref": "P"}]]}, "ap"),
            ({"Fn::Join": ["-", {"Fn::Split": ["|", "a|b"]}]}, "a-b"),
            ({"Fn::Join": ["-", []]}, ""),
            ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
            ({"Fn::Select": [0, ["a", "b"]]}, "a"),
            ({"Fn::Select": [{"Ref": "N"}, {"Fn::Split": ["|", "a|b|c"]}]}, "c"),
            ({"Fn::Sub": "${P}-${N}-${!P}-$-${"}, "p-2-${P}-$-${"),
            ({"Fn::Sub": ["${a}/${P}", {"a": {"Fn::Join": ["", ["x", {"Ref": "N"}]]}}]}, "x2/p"),
            ({"Fn::Sub": ["${P}", {"P": "mine"}]}, "mine"),
            ({"Fn::Sub": "${!iot:Connection.Thing.ThingName}"}, "${iot:Connection.Thing.ThingName}"),
        ],
    )
    def test_a_function_returns_its_value(self, function: Any, value: str) -> None:
        assert configured(function, P="p", N="2") == value

    def test_a_value_is_found_in_a_map(self) -> None:
        mappings = {"Sites": {"north": {"url": "n", "all": ["a", "b"]}, "south": {"url": "s"}}}
        look_up: Any = {"Fn::FindInMap": ["Sites", {"Ref": "Site"}, "url"]}
        assert configured(look_up, mappings=mappings, Site="south") == "s"
        listed: Any = {"Fn::Select": ["1", {"Fn::FindInMap": ["Sites", "north", "all"]}]}
        assert configured(listed, mappings=mappings) == "b"
        with pytest.raises(TemplateError, match="the mapping 'Sites' has no 'east', only north, south"):
            configured(look_up, mappings=mappings, Site="east")
        with pytest.raises(TemplateError, match="a string is needed here, and this gives a list"):
            configured({"Fn::FindInMap": ["Sites", "north", "all"]}, mappings=mappings)
        with pytest.raises(TemplateError, match="a list is needed here, and this gives a string"):
            configured({"Fn::Join": ["", {"Fn::FindInMap": ["Sites", "north", "url"]}]}, mappings=mappings)

    @pytest.mark.parametrize("index", ["3", "-1", "x", "", "٣", "9" * 5000])
    def test_an_index_out_of_the_list_is_an_error(self, index: str) -> None:
        with pytest.raises(TemplateError, match=r"Fn::Select has no item 3|the index of Fn::Select is a number"):
            configured({"Fn::Select": [{"Ref": "N"}, ["a", "b", "c"]]}, N=index)

    def test_nested_functions_are_bounded(self) -> None:
        value: Any = "x" * 50
        for _ in range(10):
            value = {"Fn::Sub": ["${a}" * 50, {"a": value}]}
        with pytest.raises(TemplateError, match=f"longer than {MAX_LENGTH} characters"):
            configured(value)
        with pytest.raises(TemplateError, match=f"longer than {MAX_LENGTH} characters"):
            configured({"Fn::Join": ["y" * 500, {"Fn::Split": ["x", "x" * 500]}]})


class TestMissingAndInvalidValues:
    def test_a_field_that_the_subject_lacks_is_an_error_in_the_words_of_aws(self) -> None:
        with pytest.raises(TemplateError) as refusal:
            parse(JIT).resolve({COMMON_NAME: "device-7", CERTIFICATE_ID: ID})
        assert refusal.value.message.startswith(
            "Invalid registration template. Cannot resolve reference value: {Ref=AWS::IoT::Certificate::Country}"
        )
        assert refusal.value.message.endswith(
            "The certificate's subject has no Country, and the parameter has no Default."
        )
        assert refusal.value.line == 15
        assert str(refusal.value).startswith("line 15, column 30: Invalid registration template.")

    def test_an_unused_parameter_needs_no_value(self) -> None:
        assert resolved(template(parameters=("P",))).thing is not None

    @pytest.mark.parametrize("value", ["", "my thing", "a" * 129, "a/b", "ü", "a\n"])
    def test_a_value_that_is_not_a_valid_name_is_refused(self, value: str) -> None:
        for resource in (thing({"Ref": "P"}), thing(ThingTypeName={"Ref": "P"}), thing(ThingGroups=[{"Ref": "P"}])):
            with pytest.raises(TemplateError, match=r"line 1, column \d+: .* cannot be .*: it is 1 to 128 of"):
                resolved(template({"t": resource}, parameters=("P",)), P=value)

    def test_an_invalid_attribute_value_policy_name_or_certificate_id_is_refused(self) -> None:
        for resource, what in (
            (thing(AttributePayload={"a": {"Ref": "P"}}), "the attribute 'a'"),
            (policy(PolicyName={"Ref": "P"}), "PolicyName"),
            (certificate(CertificateId={"Ref": "P"}), "CertificateId"),
        ):
            with pytest.raises(TemplateError, match=f"{what} cannot be 'a b'"):
                resolved(template({"r": resource}, parameters=("P",)), P="a b")

    def test_values_of_functions_are_checked_too(self) -> None:
        for name in ("Status", "ThingPrincipalType"):
            body = template({"c": certificate(CertificateId=ID, **{name: {"Ref": "P"}})}, parameters=("P",))
            with pytest.raises(TemplateError, match=f"{name} is one of .*, not 'on'"):
                resolved(body, P="on")

    def test_half_of_a_surrogate_pair_is_refused(self) -> None:
        with pytest.raises(TemplateError, match="the parameter 'P' has half of a surrogate pair"):
            resolved(template({"t": thing({"Ref": "P"})}, parameters=("P",)), P="\ud800")

    def test_the_length_of_a_value_is_bounded(self) -> None:
        body = template(parameters=("P",))
        resolved(body, P="x" * MAX_LENGTH)
        with pytest.raises(TemplateError, match=f"the parameter 'P' is longer than {MAX_LENGTH} characters"):
            resolved(body, P="x" * (MAX_LENGTH + 1))


class TestParametersThatTheServiceSupplies:
    """Terraform's acceptance test and CloudFormation's sample use the certificate's id without declaring it."""

    MAPPINGS: ClassVar = {"Sites": {ID: {"name": "north"}}}

    @pytest.mark.parametrize(
        ("function", "value"),
        [
            ({"Ref": CERTIFICATE_ID}, ID),
            ({"Fn::Sub": f"c-${{{CERTIFICATE_ID}}}"}, f"c-{ID}"),
            ({"Fn::Sub": ["${a}", {"a": {"Ref": CERTIFICATE_ID}}]}, ID),
            ({"Fn::Join": ["-", ["c", {"Ref": CERTIFICATE_ID}]]}, f"c-{ID}"),
            ({"Fn::Select": ["0", {"Fn::Split": ["|", {"Ref": CERTIFICATE_ID}]}]}, ID),
            ({"Fn::FindInMap": ["Sites", {"Ref": CERTIFICATE_ID}, "name"]}, "north"),
        ],
    )
    @pytest.mark.parametrize("use", [Use.FLEET_PROVISIONING, Use.JITP])
    @pytest.mark.parametrize("section", [True, False])
    def test_need_no_declaration(self, function: Any, value: str, use: Use, section: bool) -> None:
        body = template(DeviceConfiguration={"it": function}, Mappings=self.MAPPINGS)
        if not section:
            del body["Parameters"]
        found = parse(json.dumps(body), use).resolve({CERTIFICATE_ID: ID})
        assert found.device_configuration == {"it": value}

    @pytest.mark.parametrize("name", sorted(CERTIFICATE_PARAMETERS))
    def test_all_are_given_just_in_time(self, name: str) -> None:
        body = json.dumps(template(DeviceConfiguration={"it": {"Ref": name}}))
        assert parse(body, Use.JITP).resolve({name: "x"}).device_configuration == {"it": "x"}
        with pytest.raises(TemplateError, match="Cannot resolve reference value"):
            parse(body, Use.JITP).resolve({})

    @pytest.mark.parametrize("name", sorted(CERTIFICATE_PARAMETERS - {CERTIFICATE_ID}))
    @pytest.mark.parametrize("function", ["Ref", "Fn::Sub"])
    def test_of_the_subject_are_for_templates_of_type_jitp(self, name: str, function: str) -> None:
        argument = name if function == "Ref" else f"${{{name}}}"
        body = template(DeviceConfiguration={"it": {function: argument}})
        message = (
            f"the parameter {name} is not declared under Parameters. The service supplies it to templates of type "
            f"JITP; a template of type FLEET_PROVISIONING is supplied {CERTIFICATE_ID}."
        )
        with pytest.raises(TemplateError, match=re.escape(message)):
            parse(json.dumps(body), Use.FLEET_PROVISIONING)
        declared = json.dumps({**body, "Parameters": {name: {"Type": "String"}}})
        found = parse(declared, Use.FLEET_PROVISIONING).resolve({name: "x"})
        assert found.device_configuration == {"it": "x"}

    def test_none_is_given_where_the_caller_gives_all(self) -> None:
        body = json.dumps(template(DeviceConfiguration={"it": {"Ref": CERTIFICATE_ID}}))
        with pytest.raises(
            TemplateError, match="the template of RegisterThing or of a bulk registration is supplied none"
        ):
            parse(body)

    @pytest.mark.parametrize("use", Use)
    @pytest.mark.parametrize(
        "name",
        [
            "AWS::IoT::Certificate::ID",
            "AWS::IoT::Certificate::",
            "AWS::IoT::Certificate::Locality",
            "AWS::Region",
            "Id",
        ],
    )
    @pytest.mark.parametrize("function", ["Ref", "Fn::Sub"])
    def test_have_exactly_these_names(self, use: Use, name: str, function: str) -> None:
        argument = name if function == "Ref" else f"${{{name}}}"
        body = template(DeviceConfiguration={"it": {function: argument}})
        with pytest.raises(TemplateError) as refusal:
            parse(json.dumps(body), use)
        assert name in refusal.value.message
        if name.startswith("AWS::IoT::Certificate::"):
            assert all(each in refusal.value.message for each in CERTIFICATE_PARAMETERS)

    def test_have_a_value_before_the_default(self) -> None:
        declared = {CERTIFICATE_ID: {"Type": "String", "Default": "d"}}
        body = json.dumps({**template(DeviceConfiguration={"it": {"Ref": CERTIFICATE_ID}}), "Parameters": declared})
        assert parse(body, Use.JITP).resolve({CERTIFICATE_ID: ID}).device_configuration == {"it": ID}
        assert parse(body, Use.JITP).resolve({}).device_configuration == {"it": "d"}


class TestTheForm:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (template(Resource={}), "the template cannot have 'Resource'. It may have Parameters, Mappings, Resources"),
            (template(Parameters={"P": {"Type": "Number"}}), 'the parameter \'P\' .* "Type": "String"'),
            (template(Parameters={"P": {"Type": "String", "Default": 1}}), "the Default of .* a string, not a number"),
            (template(Parameters={"P": {"Type": "String", "Min": 1}}), "'P' cannot have 'Min'"),
            (template({"t": thing(Name="x")}), "cannot have 'Name'. It may have ThingName, AttributePayload"),
            (template({"t": thing(PackageVersions=[])}), "software packages are not supported"),
            (template({"t": {"Type": "AWS::IoT::Thing"}}), "the thing 't' has no ThingName"),
            (template({"t": {**thing(), "DependsOn": "x"}}), "the resource 't' cannot have 'DependsOn'"),
            (template({"t": thing(), "u": thing()}), "'u' is a second AWS::IoT::Thing, besides 't'"),
            (template({"t": thing(AttributePayload=[])}), "AttributePayload has to be an object, not an array"),
            (template({"t": thing(AttributePayload={"a": 1})}), "the attribute 'a' has to be a string or a function"),
            (template({"t": thing(AttributePayload={"a b": "1"})}), "the name of an attribute cannot be 'a b'"),
            (template({"t": thing(ThingGroups="g")}), "ThingGroups has to be an array or a function, not a string"),
            (template({"t": thing(overrides={"ThingTypeName": "MERGE"})}), "ThingTypeName is one of DO_NOTHING, REPL"),
            (template({"t": thing(overrides={"AttributePayload": ["MERGE"]})}), "AttributePayload is one of DO_NOTH"),
            (template({"t": thing(overrides={"Status": "FAIL"})}), "OverrideSettings .* cannot have 'Status'"),
            (template({"c": certificate()}), "has none of its sources; it has to have exactly one of CertificateId"),
            (
                template({"c": certificate(CertificateId=ID, CertificatePem="p")}),
                "has CertificateId and CertificatePem",
            ),
            (
                template({"c": certificate(CertificateId=ID, CACertificatePem="p")}),
                "CACertificatePem without CertificatePem",
            ),
            (template({"c": certificate(CertificateId=ID, Status="REVOKED")}), "Status is one of ACTIVE, INACTIVE"),
            (template({"c": certificate(CertificateId=ID, ThingPrincipalType="X")}), "ThingPrincipalType is one of"),
            (template({"p": policy()}), "neither PolicyName nor PolicyDocument"),
            (template({"p": policy(PolicyDocument=[])}), "PolicyDocument has to be a string or a function"),
            (
                template({"p": {**policy(PolicyName="p"), "OverrideSettings": {"a": "b"}}}),
                "cannot have OverrideSettings",
            ),
            (template(DeviceConfiguration={"a": {"b": 1}}), "'a' of DeviceConfiguration has to be a string or a funct"),
            (template(DeviceConfiguration={"a": None}), "not null"),
            (template(Mappings={"m": {"a": {"b": 1}}}), "'b' of 'a' of the mapping 'm' has to be a string or an array"),
            (template(Mappings={"m": {"a": {"b": {"Ref": "P"}}}}), "functions are not allowed in Mappings"),
            (template(Mappings={"m": {"a": {"Fn::Sub": "P"}}}), "functions are not allowed in Mappings"),
            (template(Mappings={"m": "a"}), "the mapping 'm' has to be an object, not a string"),
        ],
    )
    def test_an_invalid_template_is_refused_with_the_reason(self, body: dict[str, Any], message: str) -> None:
        with pytest.raises(TemplateError, match=message) as refusal:
            parse(json.dumps(body, indent=1))
        assert refusal.value.line is not None

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            ({"Ref": "Q"}, "the parameter 'Q' is not declared under Parameters. Declared are P."),
            ({"Ref": ["P"]}, "Ref has to name a parameter, and this is an array"),
            ({"Ref": "P", "x": "y"}, "a function stands alone in its object"),
            ({"Fn::Length": "P"}, "there is no function 'Fn::Length'"),
            ({"Fn::Join": "-"}, "Fn::Join has the form"),
            ({"Fn::Join": [{"Ref": "P"}, ["a"]]}, "the separator of Fn::Join has to be a string, not an object"),
            ({"Fn::Join": ["-", ["a", None]]}, "each of the items of Fn::Join has to be .* not null"),
            ({"Fn::Join": ["-", {"Ref": "P"}]}, "has to be an array, and this function gives a string"),
            ({"Fn::Split": ["|", "a"]}, "has to be a string, and this function gives a list"),
            ({"Fn::Select": ["2", ["a", "b"]]}, "Fn::Select has no item 2: of 2 items the first is 0"),
            ({"Fn::Select": [True, ["a"]]}, "the index of Fn::Select has to be"),
            ({"Fn::Select": [-1, ["a"]]}, "the index of Fn::Select is a number"),
            ({"Fn::Select": [10**30, ["a"]]}, "the index of Fn::Select is a number"),
            ({"Fn::Select": ["0", {"Fn::Split": ["", "a"]}]}, "the delimiter of Fn::Split is empty"),
            ({"Fn::FindInMap": ["m", "a"]}, "Fn::FindInMap has the form"),
            ({"Fn::FindInMap": ["n", {"Ref": "P"}, "b"]}, "Mappings has no 'n', only m"),
            ({"Fn::FindInMap": ["m", "a", "c"]}, "'a' of the mapping 'm' has no 'c', only b"),
            ({"Fn::Sub": "${iot:ClientId}"}, r"write \$\{!iot:ClientId\}"),
            ({"Fn::Sub": ["${a}", []]}, "the variables of Fn::Sub have to be an object"),
            ({"Fn::Sub": [{"Ref": "P"}, {}]}, "the text of Fn::Sub has to be a string"),
        ],
    )
    @pytest.mark.parametrize("in_a_policy", [True, False])
    def test_an_invalid_function_is_refused(self, function: Any, message: str, in_a_policy: bool) -> None:
        mappings = {"m": {"a": {"b": "c"}}}
        resource = policy(PolicyName=function) if in_a_policy else thing(AttributePayload={"a": function})
        with pytest.raises(TemplateError, match=message):
            parse(json.dumps(template({"r": resource}, parameters=("P",), Mappings=mappings)))

    def test_an_error_has_the_line_of_its_cause(self) -> None:
        for wrong, right, line in (
            ('"Default": "north"', '"Default": 1', 6),
            ('"site": {"Ref": "Site"}', '"site": {"Ref": "Place"}', 14),
            ('"BillingGroup"', '"Billing"', 19),
            ('"ThingGroups": "FAIL"', '"ThingGroups": "NEVER"', 21),
            ('"Status": "Active"', '"Status": "On"', 27),
        ):
            assert wrong in JIT
            with pytest.raises(TemplateError) as refusal:
                parse(JIT.replace(wrong, right))
            assert refusal.value.line == line


WORDS: Final = (
    "Parameters", "Mappings", "Resources", "DeviceConfiguration", "Type", "Properties", "OverrideSettings", "Default",
    "String", "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy", "ThingName", "ThingGroups",
    "AttributePayload", "CertificateId", "Status", "PolicyName", "PolicyDocument", "Ref", "Fn::Join", "Fn::Select",
    "Fn::Split", "Fn::Sub", "Fn::FindInMap", "P", "${P}", "${!x}", "ACTIVE", "0",
)  # fmt: skip
WORD: Final = some.sampled_from(WORDS) | some.text(max_size=3)
ANYTHING: Final = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | WORD,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(WORD, inner, max_size=3),
    max_leaves=20,
)
FUNCTION: Final = some.recursive(
    WORD | some.just({"Ref": "P"}) | some.none() | some.integers(-2, 3),
    lambda inner: (
        some.tuples(
            some.sampled_from([word for word in WORDS if word.startswith(("Fn", "Ref"))]), some.lists(inner, max_size=3)
        ).map(lambda pair: {pair[0]: pair[1]})
        | some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(["a", "P"]), inner, max_size=2)
    ),
    max_leaves=10,
)


def used(body: str) -> None:
    with suppress(TemplateError):
        read = parse(body)
        read.resolve({"P": "0", CERTIFICATE_ID: ID})


@given(some.text() | ANYTHING.map(json.dumps))
@example("\ud800")
@example('"\ud800"')
def test_any_text_raises_only_a_template_error(body: str) -> None:
    used(body)


@given(some.sampled_from(["ThingName", "ThingGroups", "AttributePayload", "PolicyDocument", "Status", "it"]), FUNCTION)
def test_any_function_raises_only_a_template_error(where: str, function: Any) -> None:
    mappings = {"P": {"0": {"0": "x", "P": ["y"]}}}
    resource = (
        policy(PolicyDocument=function)
        if where == "PolicyDocument"
        else certificate(CertificateId=ID, Status=function)
        if where == "Status"
        else thing(function)
        if where == "ThingName"
        else thing(**{where: function})
        if where != "it"
        else thing()
    )
    configuration = {"it": function} if where == "it" else {}
    body = template({"r": resource}, parameters=("P",), Mappings=mappings, DeviceConfiguration=configuration)
    used(json.dumps(body))


@given(some.integers(0, len(JIT) - 1), some.integers(0, 3), some.sampled_from(['"', "{", "}", ",", "[1]", "x", "\\"]))
def test_a_template_with_a_part_changed_is_used_or_refused(position: int, removed: int, added: str) -> None:
    used(JIT[:position] + added + JIT[position + removed :])
