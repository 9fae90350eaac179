"""Models are found and resolved."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sekisho.api.model import ModelError, ServiceModel, Shape, service_model


@pytest.fixture
def eager_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def nested_document(depth: int) -> dict[str, Any]:
    shapes: dict[str, Any] = {
        f"S{level}": {"type": "structure", "members": {"a": {"shape": f"S{level + 1}"}, "b": {"shape": "Text"}}}
        for level in range(depth)
    }
    shapes |= {f"S{depth}": {"type": "structure", "members": {}}, "Text": {"type": "string"}}
    http = {"method": "GET", "requestUri": "/"}
    operations = {name: {"name": name, "http": http, "input": {"shape": "S0"}} for name in (f"Op{n}" for n in range(8))}
    metadata = {"protocol": "rest-json", "endpointPrefix": "toy"}
    return {"metadata": metadata, "operations": operations, "shapes": shapes}


def depth_of(shape: Shape | None) -> int:
    depth = 0
    while shape is not None and shape.members:
        assert set(shape.members) == {"a", "b"}
        shape, depth = shape.members["a"].shape, depth + 1
    return depth


@pytest.mark.usefixtures("eager_switching")
def test_threads_that_resolve_at_once_never_see_an_incomplete_shape() -> None:
    for _ in range(20):
        toy = ServiceModel("toy", nested_document(50))
        barrier = threading.Barrier(8)
        depths: list[int] = []

        def resolve(
            name: str, toy: ServiceModel = toy, barrier: threading.Barrier = barrier, depths: list[int] = depths
        ) -> None:
            barrier.wait(10)
            depths.append(depth_of(toy.operation(name).input))

        threads = [threading.Thread(target=resolve, args=(name,)) for name in toy.operation_names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert depths == [50] * 8


def test_a_shape_may_contain_itself() -> None:
    document = nested_document(0)
    document["shapes"]["S0"] = {"type": "structure", "members": {"self": {"shape": "S0"}}}
    shape = ServiceModel("toy", json.loads(json.dumps(document))).operation("Op0").input
    assert shape is not None
    assert shape.members["self"].shape is shape


def test_an_unknown_service_is_refused_by_its_name() -> None:
    with pytest.raises(ModelError, match="botocore has no model of the service 'iot-nothing'"):
        service_model("iot-nothing")


def test_a_missing_botocore_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="botocore is not installed"):
        service_model("iot-not-cached")


def test_reading_the_models_does_not_import_botocore() -> None:
    program = (
        "import sys; from sekisho.api.model import service_models; service_models(); print('botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
