"""Why a server, or a command that opens its registry, cannot start: one line for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sekisho.files import WritableByOthers
from sekisho.server.data_folder import DataFolderUnusable
from sekisho.server.descriptors import TooFewDescriptors
from sekisho.store.errors import StoreError


class CannotStart(Exception):
    """The server cannot run as it is told to; one line that says why and what to do."""


@contextmanager
def refusing_clearly() -> Iterator[None]:
    """Files that are damaged or cannot be written, and a registry that cannot be used, become one line."""
    from sekisho._sekisho import GatewayError
    from sekisho.gateway.served_identity import ServerCertificateUnusable
    from sekisho.pki.pem import PemError
    from sekisho.pki.verify import NotAcceptable

    try:
        yield
    except OSError as error:
        # The second is what a temporary file was to become.
        file = error.filename2 or error.filename
        raise CannotStart(f"{f'{file}: ' if file else ''}{error.strerror or error}") from None
    except (
        StoreError,
        PemError,
        NotAcceptable,
        ServerCertificateUnusable,
        GatewayError,
        TooFewDescriptors,
        DataFolderUnusable,
        WritableByOthers,
    ) as error:
        raise CannotStart(str(error)) from None
