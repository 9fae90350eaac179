"""Buckets of an S3-compatible store.

Source: Amazon S3 API Reference, GetObject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from sekisho.provisioning.bulk.input import InputError, InputUnavailable

S3_TIMEOUT_SECONDS: Final = 30
"""The time limit for connecting, and for each read."""


class S3Input:
    """An object that is being read."""

    def __init__(self, answer: Any, offset: int, name: str) -> None:
        self._body = answer["Body"]
        self._name = name
        # "bytes 100-199/200" after a request for a part.
        sent = answer.get("ContentRange")
        self.size = int(sent.rpartition("/")[2]) if sent else offset + int(answer["ContentLength"])
        self.version: str = answer["ETag"]

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; none at the end. Raises InputUnavailable."""
        from botocore.exceptions import BotoCoreError

        try:
            content: bytes = self._body.read(size)
        except (BotoCoreError, OSError) as error:
            raise InputUnavailable(f"{self._name} was cut off: {error}") from None
        return content


class S3Buckets:
    """The buckets of an S3-compatible store. Credentials are found as by AWS tools: environment, files, instance role.

    All accounts share these credentials, so a bucket is read only for the accounts to which the settings assign it.

    Args:
        endpoint_url: URL of the store, such as ``http://localhost:9000``.
        region: The region for signatures.
        owned: The buckets of each account; empty: a server with one account reads all buckets.
        are_accounts_several: Returns whether the server has more than one account. Raises StoreError.
    """

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        owned: Mapping[str, Sequence[str]],
        are_accounts_several: Callable[[], bool],
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._owned = owned
        self._are_accounts_several = are_accounts_several

    @contextmanager
    def open(self, account_id: str, bucket: str, key: str, offset: int) -> Iterator[S3Input]:
        """Open an object at its byte ``offset``.

        Raises:
            InputError: The object does not exist or may not be read, or the bucket is not the account's.
            InputUnavailable: The store does not answer, or answers with a temporary error.
            StoreError: The number of accounts cannot be read.
        """
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NotConnected

        name = f"The input {key} in bucket {bucket}"
        self._check_owner(account_id, bucket, name)
        if any(step in (".", "..") for step in key.split("/")):
            # A proxy may resolve these parts of the path, into another bucket.
            raise InputError(f"{name} cannot be read: its key has a part '.' or '..'.")
        try:
            part = {"Range": f"bytes={offset}-"} if offset else {}
            answer = self._client().get_object(Bucket=bucket, Key=key, **part)
        except ClientError as error:
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            kind = InputUnavailable if status >= 500 or status == 429 else InputError
            raise kind(f"{name} cannot be read: {error}") from None
        except (HTTPClientError, NotConnected) as error:
            raise InputUnavailable(f"{name} cannot be read: {error}") from None
        except BotoCoreError as error:
            raise InputError(f"{name} cannot be read: {error}") from None
        with closing(answer["Body"]):
            yield S3Input(answer, offset, name)

    def _check_owner(self, account_id: str, bucket: str, name: str) -> None:
        if self._owned:
            if bucket not in self._owned.get(account_id, ()):
                raise InputError(
                    f"{name} cannot be read: s3_buckets in sekisho.toml does not have this bucket for account "
                    f"{account_id}."
                )
        elif self._are_accounts_several():
            raise InputError(
                f"{name} cannot be read: this server has more than one account, and its settings do not say whose "
                "bucket this is. Write into sekisho.toml a section [s3_buckets] and below it "
                f'{account_id} = ["{bucket}"], and start the server again.'
            )

    def _client(self) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        # A new client each time: tasks start rarely, and credentials of a role change.
        return Session().create_client(
            "s3",
            region_name=self._region,
            endpoint_url=self._endpoint_url,
            # Few self-hosted stores have a DNS name for each bucket.
            config=Config(
                connect_timeout=S3_TIMEOUT_SECONDS, read_timeout=S3_TIMEOUT_SECONDS, s3={"addressing_style": "path"}
            ),
        )
