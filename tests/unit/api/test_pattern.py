"""The model's patterns have the meaning that they have in Java."""

from __future__ import annotations

import pytest

from sekisho.api.model import SERVICES, service_model
from sekisho.api.pattern import whole_value

DESCRIPTION = r"[\p{Graph}\x20]*"
TAG_VALUE = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"
NO_CONTROL = r"[^\p{C}]*"
TOKEN = r"\S{36,64}"
COLOR = r"[\u0009\u0020-\u007E\u10000-\u10FFFF]+"


@pytest.mark.parametrize(
    ("pattern", "accepted"),
    [
        (DESCRIPTION, "plain text, with ~ and !"),
        (TAG_VALUE, "日本語 as a tag"),
        (TAG_VALUE, ""),
        (NO_CONTROL, "関所 é"),
        (r"[\w+=,.@-]+", "Policy_1+=,.@-"),
        (r"[a-zA-Z0-9:_-]+", "thing-1:a_b"),
        (r"[a-zA-Z0-9_-]+|^\$next", "$next"),
        (r"[\s\S]*", "any\n\x00thing é"),
        (r"[\p{Upper}\p{Digit}_]+", "A_1"),
        (TOKEN, "x" * 36),
        (COLOR, "a\U0001f600\U0010ffff"),
    ],
)
def test_a_matching_value_is_accepted(pattern: str, accepted: str) -> None:
    assert whole_value(pattern).fullmatch(accepted)


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        (DESCRIPTION, "é"),
        (DESCRIPTION, "日本"),
        (DESCRIPTION, "tab\t"),
        (TAG_VALUE, "semi;colon"),
        (TAG_VALUE, "line\n"),
        (NO_CONTROL, "bell\a"),
        (r"[\w+=,.@-]+", "é"),
        (r"[\w+=,.@-]+", "a b"),
        (r"[a-zA-Z0-9:_-]+", "thing\n"),
        (r"[a-zA-Z0-9:_-]+", "thing 1"),
        (r"[a-zA-Z0-9:_-]+", "thing/1"),
        (r"[0-9]+", "１２"),
        (r"[\p{Upper}\p{Digit}_]+", "a"),
        (r"[\p{Upper}\p{Digit}_]+", "É"),
        (r"[^\p{Cntrl}]*", "a\x7f"),
        (TOKEN, "x" * 35 + " "),
        (COLOR, "\u2028"),
    ],
)
def test_a_value_that_does_not_match_is_refused(pattern: str, refused: str) -> None:
    assert whole_value(pattern).fullmatch(refused) is None


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_the_models_compiles(service: str) -> None:
    model = service_model(service)
    pending = [
        shape
        for name in model.operation_names
        for shape in (model.operation(name).input, model.operation(name).output)
        if shape is not None
    ]
    seen = set(pending)
    while pending:
        shape = pending.pop()
        if shape.pattern is not None:
            whole_value(shape.pattern)
        inner = [shape.member, shape.key, shape.value, *(member.shape for member in shape.members.values())]
        fresh = {each for each in inner if each is not None} - seen
        seen |= fresh
        pending += fresh
    assert len(seen) > 2
