"""Settings: which source wins, and what is said of a setting that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sekisho.config import ConfigError, Settings, load


def loaded(
    data: Path, environment: Mapping[str, str] | None = None, *, config_file: Path | None = None, **chosen: Any
) -> Settings:
    return load({"data": data, **chosen}, environment=environment or {}, config_file=config_file)


def test_without_a_word_everything_listens_on_loopback(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert (settings.host, settings.api_port, settings.mqtt_port) == ("127.0.0.1", 5883, 8883)
    assert settings.is_loopback
    assert settings.region == "us-east-1"


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text('api_port = 1001\nmqtt_port = 1002\nlog_level = "error"\n')
    settings = loaded(tmp_path, {"SEKISHO_MQTT_PORT": "2002", "SEKISHO_API_PORT": "2001"}, api_port=3001)
    assert (settings.api_port, settings.mqtt_port, settings.log_level) == (3001, 2002, "error")


def test_a_named_file_is_read_instead_of_the_one_in_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("api_port = 1001\n")
    other = tmp_path / "other.toml"
    other.write_text("mqtt_port = 1002\n")
    settings = loaded(tmp_path, config_file=other)
    assert (settings.api_port, settings.mqtt_port) == (5883, 1002)
    assert loaded(tmp_path, {"SEKISHO_CONFIG": str(other)}).mqtt_port == 1002


def test_the_data_folder_comes_from_the_environment_too(tmp_path: Path) -> None:
    assert load({}, environment={"SEKISHO_DATA": str(tmp_path)}).data == tmp_path


def test_the_region_of_the_aws_tools_is_the_home_region_unless_one_is_given(tmp_path: Path) -> None:
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
        ("region", "EU West", "such as eu-central-1"),
        ("account", "12345", "12 digits"),
        ("account", "12345678901x", "12 digits"),
        ("domain", "Not A Name", "DNS name"),
        ("host", "somewhere else", "IP address or a host name"),
        ("workers", "many", "from 0 to 1024"),
        ("any_credentials", "perhaps", "true or false"),
        ("s3_endpoint_url", "localhost:9000", "such as http://localhost:9000"),
        ("s3_endpoint_url", "http://localhost:9000/bucket", "such as http://localhost:9000"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_source(
    tmp_path: Path, name: str, value: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        load({"data": tmp_path, name: value}, environment={})
    assert f"--{name.replace('_', '-')}" in str(refusal.value)
    with pytest.raises(ConfigError, match=f"SEKISHO_{name.upper()}"):
        loaded(tmp_path, {f"SEKISHO_{name.upper()}": str(value)})


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("mqttport = 1\n")
    with pytest.raises(ConfigError, match=r"no setting 'mqttport'.*mqtt_port"):
        loaded(tmp_path)


@pytest.mark.parametrize("text", ["= 1", 'host = "', "\xff"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "sekisho.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"sekisho\.toml: not a TOML file"):
        loaded(tmp_path)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        loaded(tmp_path, config_file=tmp_path / "nowhere.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "gateway.example.com"])  # noqa: S104 - refused
def test_any_credentials_are_for_loopback_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback host"):
        loaded(tmp_path, any_credentials=True, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_any_credentials_are_taken_on_loopback(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, any_credentials=True, host=host).any_credentials


def test_a_server_certificate_and_its_key_go_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="go together"):
        loaded(tmp_path, server_certificate="server.crt")


def test_the_api_and_mqtt_cannot_share_a_port(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a port each"):
        loaded(tmp_path, api_port=4000, mqtt_port=4000)
    assert loaded(tmp_path, api_port=0, mqtt_port=0).api_port == 0


def test_buckets_are_in_one_place(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"SEKISHO_BULK_FOLDER": "~/buckets"}).bulk_folder == Path.home() / "buckets"
    assert loaded(tmp_path, s3_endpoint_url="https://s3.example").s3_endpoint_url == "https://s3.example"
    with pytest.raises(ConfigError, match="give one of them"):
        loaded(tmp_path, {"SEKISHO_BULK_FOLDER": "/buckets"}, s3_endpoint_url="https://s3.example")


def test_buckets_of_an_s3_store_are_accounts_own(tmp_path: Path) -> None:
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
