"""Buckets of an S3-compatible store.

Source: Amazon S3 API Reference, GetObject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from sekisho.provisioning.bulk.input import InputError, InputUnavailable

PATIENCE: Final = 30
"""Seconds to wait for a connection, and for further bytes on it."""


class S3Input:
    """An object that is being sent."""

    def __init__(self, answer: Any, offset: int, name: str) -> None:
        self._body = answer["Body"]
        self._name = name
        # "bytes 100-199/200" where a part was asked for.
        sent = answer.get("ContentRange")
        self.size = int(sent.rpartition("/")[2]) if sent else offset + int(answer["ContentLength"])
        self.version: str = answer["ETag"]

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end. Raises InputUnavailable."""
        from botocore.exceptions import BotoCoreError

        try:
            content: bytes = self._body.read(size)
        except (BotoCoreError, OSError) as error:
            raise InputUnavailable(f"{self._name} was cut off: {error}") from None
        return content


class S3Buckets:
    """The objects of a store. Credentials are found as all AWS tools find them: environment, files, instance role.

    All accounts share these credentials, so a bucket is read for the accounts alone that the settings name for it.

    Args:
        endpoint_url: Of the store, such as ``http://localhost:9000``.
        region: Signed for.
        owned: The buckets of each account; empty: a server with one account reads them all.
        are_accounts_several: Whether the server has more than one account at present. Raises StoreError.
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
        """An object, to be read from its byte ``offset`` on.

        Raises:
            InputError: There is no such object, it may not be read, or the bucket is not the account's.
            InputUnavailable: The store does not answer, or says that it cannot at present.
            StoreError: Whether there are several accounts cannot be read.
        """
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NotConnected

        name = f"The input {key} in bucket {bucket}"
        self._check_owner(account_id, bucket, name)
        if any(step in (".", "..") for step in key.split("/")):
            # Proxies before a store take these for steps in a path, which may end in another bucket.
            raise InputError(f"{name} cannot be read: a key has no parts '.' and '..'.")
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

        # One each time: tasks begin rarely, and credentials of a role change.
        return Session().create_client(
            "s3",
            region_name=self._region,
            endpoint_url=self._endpoint_url,
            # Few stores of one's own have a name for each bucket.
            config=Config(connect_timeout=PATIENCE, read_timeout=PATIENCE, s3={"addressing_style": "path"}),
        )
