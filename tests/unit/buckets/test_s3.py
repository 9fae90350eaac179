"""Buckets of an S3-compatible store: botocore's real client and a server with the needed part of S3."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sekisho.buckets import s3
from sekisho.buckets.s3 import S3Buckets
from sekisho.provisioning.bulk.input import InputError, InputUnavailable

OWN, OTHER = "123456789012", "222222222222"
CONTENT = bytes(range(256)) * 1000


@dataclass
class Store:
    """A store with one object, /fleet/2026/input.json."""

    url: str = ""
    asked: list[tuple[str, str | None, str]] = field(default_factory=list)
    fails_with: tuple[int, str] | None = None
    breaks_after: int | None = None


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    found = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            found.asked.append((self.path, wanted, self.headers["Authorization"]))
            if found.fails_with is not None:
                self._error(*found.fails_with)
            elif self.path.partition("?")[0] != "/fleet/2026/input.json":
                self._error(404, "NoSuchKey")
            else:
                begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
                self.send_response(206 if wanted else 200)
                self.send_header("ETag", '"abc"')
                self.send_header("Content-Length", str(len(CONTENT) - begin))
                if wanted:
                    self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
                self.end_headers()
                self.wfile.write(CONTENT[begin : found.breaks_after])
                self.close_connection = True

        def _error(self, status: int, code: str) -> None:
            body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    # Variables that name another endpoint for AWS tools, such as Sekisho's own, do not change where buckets are.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def content(
    store: Store,
    key: str = "2026/input.json",
    offset: int = 0,
    owned: Mapping[str, Sequence[str]] | None = None,
    *,
    are_accounts_several: bool = False,
) -> bytes:
    buckets = S3Buckets(store.url, "eu-central-1", owned or {}, lambda: are_accounts_several)
    with buckets.open(OWN, "fleet", key, offset) as source:
        assert (source.size, source.version) == (len(CONTENT), '"abc"')
        return b"".join(iter(lambda: source.read(10_000), b""))


def test_an_object_is_read_from_the_given_offset(store: Store) -> None:
    assert content(store) == CONTENT
    assert content(store, offset=100_001) == CONTENT[100_001:]
    assert [asked[1] for asked in store.asked] == [None, "bytes=100001-"]
    for _, _, authorization in store.asked:
        assert "Credential=AKIAEXAMPLE/" in authorization
        assert "/eu-central-1/s3/aws4_request" in authorization


@pytest.mark.parametrize("code", [(404, "NoSuchBucket"), (403, "AccessDenied")])
def test_a_forbidden_object_is_a_permanent_error(store: Store, code: tuple[int, str]) -> None:
    store.fails_with = code
    with pytest.raises(InputError, match=rf"bucket fleet.*{code[1]}.*so it is"):
        content(store)


def test_a_missing_object_is_a_permanent_error(store: Store) -> None:
    with pytest.raises(InputError, match=r"other\.json.*NoSuchKey"):
        content(store, key="other.json")


@pytest.mark.parametrize("code", [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_an_error_of_the_store_is_temporary(store: Store, code: tuple[int, str]) -> None:
    store.fails_with = code
    with pytest.raises(InputUnavailable, match=code[1]):
        content(store)


def test_an_incomplete_answer_is_not_taken_for_the_end(store: Store) -> None:
    store.breaks_after = 123_456
    with pytest.raises(InputUnavailable, match="cut off"):
        content(store)


def test_a_store_without_an_answer_is_a_temporary_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "S3_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        store.url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(InputUnavailable, match="timeout"):
            content(store)
    with pytest.raises(InputUnavailable, match="Could not connect"):
        content(store)


def test_missing_credentials_are_an_error_that_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(InputError, match="credentials"):
        content(store)


def test_a_bucket_is_read_for_the_accounts_in_its_settings(store: Store) -> None:
    for several in (True, False):
        assert content(store, owned={OWN: ["more", "fleet"]}, are_accounts_several=several) == CONTENT
        before = len(store.asked)
        for owned in ({OTHER: ["fleet"]}, {OWN: ["fleets"], OTHER: ["fleet"]}):
            with pytest.raises(InputError, match=f"s3_buckets in sekisho.toml does not have this bucket for .*{OWN}"):
                content(store, owned=owned, are_accounts_several=several)
        assert len(store.asked) == before


def test_with_several_accounts_a_bucket_without_accounts_is_not_read(store: Store) -> None:
    with pytest.raises(InputError, match=r"more than one account.* section \[s3_buckets\]") as refused:
        content(store, are_accounts_several=True)
    assert f'{OWN} = ["fleet"]' in str(refused.value)
    assert store.asked == []


@pytest.mark.parametrize("key", ["../theirs/input.json", "2026/../../theirs/input.json", "./input.json", ".."])
def test_a_key_that_a_proxy_could_read_as_another_bucket_is_refused(store: Store, key: str) -> None:
    with pytest.raises(InputError, match=r"its key has a part '.' or '..'"):
        content(store, key=key)
    assert store.asked == []
