"""Settings: the precedence of sources, and errors of invalid settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sekisho.realm import Realm
from sekisho.regions import MAX_OWN_REGIONS
from sekisho.server.settings import FILE_ALONE, ConfigError, Settings, load


def loaded(
    data: Path, environment: Mapping[str, str] | None = None, *, config_file: Path | None = None, **chosen: Any
) -> Settings:
    return load({"data": data, **chosen}, environment=environment or {}, config_file=config_file)


def test_by_default_everything_listens_on_loopback(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert (settings.host, settings.api_port, settings.mqtt_port) == ("127.0.0.1", 5883, 8883)
    assert settings.is_loopback
    assert settings.region == "us-east-1"


def test_the_command_line_has_precedence_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text('api_port = 1001\nmqtt_port = 1002\nlog_level = "error"\n')
    settings = loaded(tmp_path, {"SEKISHO_MQTT_PORT": "2002", "SEKISHO_API_PORT": "2001"}, api_port=3001)
    assert (settings.api_port, settings.mqtt_port, settings.log_level) == (3001, 2002, "error")


def test_a_named_file_replaces_the_one_in_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("api_port = 1001\n")
    other = tmp_path / "other.toml"
    other.write_text("mqtt_port = 1002\n")
    settings = loaded(tmp_path, config_file=other)
    assert (settings.api_port, settings.mqtt_port) == (5883, 1002)
    assert loaded(tmp_path, {"SEKISHO_CONFIG": str(other)}).mqtt_port == 1002


def test_the_environment_can_name_the_data_folder(tmp_path: Path) -> None:
    assert load({}, environment={"SEKISHO_DATA": str(tmp_path)}).data == tmp_path


def test_the_region_of_the_aws_tools_is_the_default_home_region(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"
    assert loaded(tmp_path, {"AWS_REGION": "eu-west-1", "SEKISHO_REGION": "eu-west-2"}).region == "eu-west-2"
    (tmp_path / "sekisho.toml").write_text('region = "eu-west-3"\n')
    assert loaded(tmp_path, {"AWS_REGION": "eu-west-1"}).region == "eu-west-3"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("api_port", "70000", "from 0 to 65535"),
        ("api_port", "http", "from 0 to 65535"),
        ("mqtt_port", -1, "from 0 to 65535"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("region", "EU West", "neither a region of AWS nor one of the setting regions. Did you mean eu-west-3?"),
        ("account", "12345", "12 digits"),
        ("account", "12345678901x", "12 digits"),
        ("domain", "Not A Name", "DNS name"),
        ("host", "somewhere else", "IP address or a host name"),
        ("workers", "many", "from 0 to 1024"),
        ("handler_processes", "0", "from 1 to 1024"),
        ("max_connections", "-1", "from 0 to 100000000"),
        ("max_connections", "all", "from 0 to 100000000"),
        ("handshake_timeout", "0", "from 1 to 300"),
        ("handshake_timeout", "301", "from 1 to 300"),
        ("admission_timeout", "0", "from 1 to 300"),
        ("admission_timeout", "2.5", "from 1 to 300"),
        ("verbose_refusals", "loud", "verbose_refusals is true or false"),
        ("max_message_bytes", "0", "from 1048576 to"),
        ("max_retained_bytes", "512 MB", "from 1048576 to"),
        ("max_session_bytes", -1, "from 1048576 to"),
        ("max_persistent_sessions", "0", "from 1 to"),
        ("account_share", "0", "from 1 to 100"),
        ("account_share", "101", "from 1 to 100"),
        ("any_credentials", "perhaps", "true or false"),
        ("require_sni", "perhaps", "require_sni is true or false"),
        ("tls13_session_tickets", "2", "tls13_session_tickets is true or false"),
        ("endpoint", "192.0.2.7", "endpoint is a DNS name such as iot.factory.example"),
        ("endpoint", "Factory", "endpoint is a lower-case DNS name"),
        ("endpoint", "a..b", "endpoint is a DNS name"),
        ("endpoint", f"{'a' * 64}.example", "endpoint is a DNS name"),
        ("endpoint_secret", "short", "endpoint_secret has at least 16 characters"),
        ("s3_endpoint_url", "localhost:9000", "such as http://localhost:9000"),
        ("s3_endpoint_url", "http://localhost:9000/bucket", "such as http://localhost:9000"),
    ],
)
def test_an_invalid_value_is_named_with_its_source(tmp_path: Path, name: str, value: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        load({"data": tmp_path, name: value}, environment={})
    assert f"--{name.replace('_', '-')}" in str(refusal.value)
    with pytest.raises(ConfigError, match=f"SEKISHO_{name.upper()}"):
        loaded(tmp_path, {f"SEKISHO_{name.upper()}": str(value)})


def test_an_unknown_setting_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("mqttport = 1\n")
    with pytest.raises(ConfigError, match=r"no setting 'mqttport'.*mqtt_port"):
        loaded(tmp_path)


@pytest.mark.parametrize("text", ["= 1", 'host = "', "\xff"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "sekisho.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"sekisho\.toml: not a TOML file"):
        loaded(tmp_path)


def test_a_missing_named_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        loaded(tmp_path, config_file=tmp_path / "nowhere.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "gateway.example.com"])  # noqa: S104 - refused
def test_any_credentials_are_refused_except_on_loopback(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback host"):
        loaded(tmp_path, any_credentials=True, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_any_credentials_are_accepted_on_loopback(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, any_credentials=True, host=host).any_credentials


def test_a_server_certificate_needs_its_key_and_the_reverse(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="go together"):
        loaded(tmp_path, server_certificate="server.crt")


def test_a_root_is_that_of_a_server_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="server_root_ca is the root of server_certificate"):
        loaded(tmp_path, server_root_ca="root.pem")


def test_each_endpoint_has_a_name_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.toml"
    file.write_text('endpoint = "a.example"\n[endpoints.210987654321]\neu-west-1 = "b.example"\n')
    names = loaded(tmp_path).endpoint_names
    assert names == {Realm("123456789012", "us-east-1"): "a.example", Realm("210987654321", "eu-west-1"): "b.example"}
    file.write_text('endpoint = "a.example"\n[endpoints.210987654321]\neu-west-1 = "a.example"\n')
    with pytest.raises(ConfigError, match=r"a\.example is the endpoint of 2 accounts or regions"):
        loaded(tmp_path)
    file.write_text('endpoint = "a.example"\n[endpoints.123456789012]\nus-east-1 = "b.example"\n')
    with pytest.raises(ConfigError, match=r"endpoint and endpoints\.123456789012\.us-east-1 name the same endpoint"):
        loaded(tmp_path)


def test_the_api_and_mqtt_cannot_share_a_port(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a port each"):
        loaded(tmp_path, api_port=4000, mqtt_port=4000)
    assert loaded(tmp_path, api_port=0, mqtt_port=0).api_port == 0


def test_buckets_have_one_source(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"SEKISHO_BULK_FOLDER": "~/buckets"}).bulk_folder == Path.home() / "buckets"
    assert loaded(tmp_path, s3_endpoint_url="https://s3.example").s3_endpoint_url == "https://s3.example"
    with pytest.raises(ConfigError, match="give one of them"):
        loaded(tmp_path, {"SEKISHO_BULK_FOLDER": "/buckets"}, s3_endpoint_url="https://s3.example")


def test_buckets_of_an_s3_store_belong_to_accounts(tmp_path: Path) -> None:
    def said(text: str) -> Settings:
        (tmp_path / "sekisho.toml").write_text(f's3_endpoint_url = "http://127.0.0.1:9000"\n{text}')
        return load({"data": tmp_path}, environment={})

    made = said('[s3_buckets]\n123456789012 = ["fleet", "more"]\n222222222222 = ["theirs"]\n')
    assert made.s3_buckets == {"123456789012": ("fleet", "more"), "222222222222": ("theirs",)}
    for wrong in (
        's3_buckets = ["fleet"]',
        '[s3_buckets]\nmine = ["fleet"]',
        '[s3_buckets]\n123456789012 = "fleet"',
        "[s3_buckets]\n123456789012 = [1]",
        '[s3_buckets]\n123456789012 = [""]',
    ):
        with pytest.raises(ConfigError, match=r"sekisho.toml: s3_buckets is a section with a list of buckets for each"):
            said(wrong)
    (tmp_path / "sekisho.toml").write_text('[s3_buckets]\n123456789012 = ["fleet"]\n')
    with pytest.raises(ConfigError, match="give its s3_endpoint_url too"):
        load({"data": tmp_path}, environment={})


# Types, paths, names


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("domain = 3", "domain is text in quotes, not 3"),
        ("host = 5", "host is text in quotes, not 5"),
        ("bulk_folder = 5", "bulk_folder is a path in quotes, not 5"),
        ("data = true", "data is a path in quotes, not True"),
        ('server_key = ["a"]', "server_key is a path in quotes"),
        ("any_credentials = 1", "any_credentials is true or false, without quotes, not 1"),
        ('any_credentials = "yes"', "any_credentials is true or false, without quotes, not 'yes'"),
        ('api_port = "80"', "api_port is a whole number without quotes, not '80'"),
        ("mqtt_port = true", "mqtt_port is a whole number without quotes, not True"),
        ("workers = 1.0", "workers is a whole number without quotes, not 1.0"),
        ("account = 123456789012", "account is text in quotes, not 123456789012"),
        ("log_level = false", "log_level is text in quotes, not False"),
        ("region = {}", "region is text in quotes"),
        ("region = 2026-01-01", "region is text in quotes"),
        ('regions = "plant-1"', "regions is a list of texts"),
        ("regions = [1]", "regions has names of up to 32"),
        ('regions = ["Plant 1"]', "regions has names of up to 32"),
        ("database_url = 1", "database_url is text in quotes"),
        ("s3_endpoint_url = 1", "s3_endpoint_url is text in quotes"),
        ("handlers = 1", "handlers is a table"),
        ("endpoints = 1", "endpoints has a section for each account"),
        ('endpoints.12 = {us-east-1 = "a.example"}', "endpoints has a section for each account"),
        ('endpoints.123456789012 = "a.example"', "endpoints has a section for each account"),
        ("endpoints.123456789012 = {us-east-1 = 1}", "endpoints.123456789012.us-east-1 is text in quotes, not 1"),
        ('endpoints.123456789012 = {mars-1 = "a.example"}', "mars-1"),
        ('bulk_folder = ""', "bulk_folder is a path, not ''"),
        ('bulk_folder = "a\\u0000b"', "bulk_folder is a path, not"),
        ('bulk_folder = "~no-such-user/b"', "bulk_folder is in the home folder of a user who is not known"),
    ],
)
def test_a_value_of_the_file_has_the_type_of_its_setting(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "sekisho.toml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=re.escape(complaint)) as refusal:
        loaded(tmp_path)
    assert str(refusal.value).startswith(str(file))


def test_every_setting_has_a_type_that_is_checked_in_the_file(tmp_path: Path) -> None:
    for setting in fields(Settings):
        if setting.name not in FILE_ALONE:
            (tmp_path / "sekisho.toml").write_text(f"{setting.name} = 00:00:00")
            with pytest.raises(ConfigError, match=rf"sekisho\.toml: {setting.name} is .*, not datetime"):
                loaded(tmp_path)


def test_relative_paths_in_the_file_are_relative_to_its_folder_and_others_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = tmp_path / "etc" / "named.toml"
    file.parent.mkdir()
    file.write_text('bulk_folder = "buckets"\nserver_certificate = "../tls/s.crt"\nserver_key = "/tls/s.key"\n')
    settings = loaded(tmp_path, config_file=Path("../etc/named.toml"))
    assert settings.bulk_folder == here / "../etc/buckets"
    assert settings.server_certificate == here / "../etc/../tls/s.crt"
    assert settings.server_key == Path("/tls/s.key")
    assert loaded(tmp_path, {"SEKISHO_BULK_FOLDER": "buckets"}).bulk_folder == here / "buckets"
    assert load({"data": Path("data")}, environment={}).data == here / "data"


def test_an_empty_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data: data is a path, not ''"):
        load({"data": ""}, environment={})
    assert load({}, environment={"SEKISHO_DATA": "", "HOME": str(tmp_path)}).data.name == ".sekisho"


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("SEKISHO_MQTT_PROT", "did you mean SEKISHO_MQTT_PORT?"),
        ("SEKISHO_REGON", "did you mean SEKISHO_REGION?"),
        ("SEKISHO_DATABASE", "did you mean SEKISHO_DATABASE_URL?"),
        ("SEKISHO_HANDLERS", "in the file sekisho.toml alone"),
        ("SEKISHO_QQQQQQ", "is no setting; unset it"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(tmp_path: Path, variable: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(nearest)) as refusal:
        loaded(tmp_path, {variable: "1"})
    assert str(refusal.value).startswith(variable)


def test_variables_that_are_not_settings_are_allowed(tmp_path: Path) -> None:
    loaded(
        tmp_path,
        {
            # Exported by sekisho env.
            "SEKISHO_ROOT_CA": "/ca.pem",
            "SEKISHO_DOTTED_ENDPOINT": "localhost.localdomain",
            # Kubernetes gives these to every container beside a service named sekisho.
            "SEKISHO_SERVICE_HOST": "10.0.0.1",
            "SEKISHO_SERVICE_PORT_MQTT": "8883",
            "SEKISHO_PORT": "tcp://10.0.0.1:8883",
            "SEKISHO_PORT_8883_TCP_ADDR": "10.0.0.1",
            "SEKISHOLIKE": "x",
        },
    )


def test_an_unknown_setting_in_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("mqtt_prot = 1\n")
    with pytest.raises(ConfigError, match=r"no setting 'mqtt_prot' \(did you mean mqtt_port\?\)"):
        loaded(tmp_path)


def test_a_file_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.toml"
    file.write_text("api_port = 1\n")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match=f"chmod go-w {file}"):
        loaded(tmp_path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_bytes(b"\xef\xbb\xbfapi_port = 1001\n")
    assert loaded(tmp_path).api_port == 1001


# Regions


def test_a_region_is_one_of_aws_or_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text('regions = ["plant-1", "plant-1", "plant-2"]\nregion = "plant-2"\n')
    settings = loaded(tmp_path)
    assert (settings.regions, settings.region) == (("plant-1", "plant-2"), "plant-2")
    assert "plant-1" in settings.known_regions
    assert loaded(tmp_path, {"SEKISHO_REGIONS": "here, there"}, region="there").regions == ("here", "there")


@pytest.mark.parametrize("source", ["--region", "SEKISHO_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_that_is_not_in_the_list_is_refused_in_every_setting(tmp_path: Path, source: str) -> None:
    chosen: dict[str, Any] = {"region": "tokyo"} if source == "--region" else {}
    with pytest.raises(
        ConfigError, match=r"'tokyo' is neither a region of AWS.*ap-northeast-1.*SEKISHO_REGIONS"
    ) as refusal:
        loaded(tmp_path, {source: "tokyo"}, **chosen)
    assert str(refusal.value).startswith(f"{source}: ")


def test_the_region_of_a_lambda_function_must_be_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text(
        '[handlers.a]\nlambda_arn = "arn:aws:lambda:eu-central-9:123456789012:function:a"\n'
    )
    with pytest.raises(ConfigError, match=r"\[handlers\.a\]: lambda_arn: 'eu-central-9' is neither a region"):
        loaded(tmp_path)


def test_the_regions_of_a_site_are_bounded(tmp_path: Path) -> None:
    names = [f"plant-{n}" for n in range(MAX_OWN_REGIONS + 1)]
    with pytest.raises(ConfigError, match=f"at most {MAX_OWN_REGIONS} names, not {MAX_OWN_REGIONS + 1}"):
        loaded(tmp_path, {"SEKISHO_REGIONS": ",".join(names)})
    assert len(loaded(tmp_path, {"SEKISHO_REGIONS": ",".join(names[1:])}).regions) == MAX_OWN_REGIONS


@pytest.mark.parametrize("host", ["fe80::1%eth0", "bücher.example", "::ffff:127.0.0.1"])
def test_a_host_may_be_any_address_or_name(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, host=host).host == (host if host.isascii() else "xn--bcher-kva.example")


@pytest.mark.parametrize("host", ["", "0", "127.1", "[::1]", "a..b"])
def test_an_invalid_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="--host: host is an IP address or a host name"):
        loaded(tmp_path, host=host)
