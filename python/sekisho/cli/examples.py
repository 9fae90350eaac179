"""Examples at the end of each command's help and man page, by the words that call the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_ID: Final = "2f5c..."
"""Stands for a certificate id, which has 64 digits."""

EXAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "up": (
        "sekisho up",
        "sekisho up --data site --host 0.0.0.0 --endpoint iot.factory.example",
        "SEKISHO_MQTT_PORT=0 sekisho up --json",
    ),
    "status": ("sekisho status", "sekisho status --wait 30", "sekisho status --json"),
    "reload": ("sekisho reload",),
    "config show": ("sekisho config show", "sekisho config show --json"),
    "config check": ("sekisho config check", "sekisho config check new.toml && cp new.toml ~/.sekisho/sekisho.toml"),
    "env": ('eval "$(sekisho env)"', "sekisho env --account 210987654321 --json"),
    "pub": ("sekisho pub --cert device.crt --key device.key -t t1 -m hello",),
    "sub": (
        "sekisho sub --cert device.crt --key device.key -t 'fleet/#'",
        "sekisho sub --cert device.crt --key device.key -t t1 --count 1 --wait 10 --json",
    ),
    "account create": ("sekisho account create", "sekisho account create 210987654321 --name plant-1"),
    "account list": ("sekisho account list",),
    "ca create": ("sekisho ca create", "sekisho ca create fleet-ca --out pki --key-type P-384 --days 7300"),
    "device create": ("sekisho device create pump-1 --ca ca.crt --ca-key ca.key",),
    "handlers list": ("sekisho handlers list",),
    "handlers discard": ("sekisho handlers discard activate --account 210987654321",),
    "handlers retry": ("sekisho handlers retry", "sekisho handlers retry activate"),
    "rotate device": (
        f"sekisho rotate device {_ID} --ca-certificate ca.crt --ca-key ca.key --out new",
        f"sekisho rotate device {_ID} --ca-certificate ca.crt --ca-key ca.key --out new --dry-run",
    ),
    "rotate ca": (f"sekisho rotate ca {_ID} --ca-certificate ca.crt --ca-key ca.key --out new",),
    "rotate register": (f"sekisho rotate register {_ID} new.crt --ca-certificate ca.crt",),
    "rotate status": ("sekisho rotate status", f"sekisho rotate status --ca {_ID} --wait 60"),
    "rotate cancel": (f"sekisho rotate cancel {_ID}",),
    "api coverage": ("sekisho api coverage", "sekisho api coverage --service iot-data"),
    "completion": (
        'eval "$(sekisho completion bash)"',
        'eval "$(sekisho completion zsh)"',
        "sekisho completion fish > ~/.config/fish/completions/sekisho.fish",
    ),
}
