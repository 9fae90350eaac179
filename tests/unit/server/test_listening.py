"""The API's listening socket."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from sekisho.server.listening import listen_for_api
from sekisho.server.settings import Settings


def test_an_answer_of_the_api_is_sent_before_the_last_one_is_acknowledged(tmp_path: Path) -> None:
    async def accepted() -> int:
        waits: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def on_connection(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection: socket.socket = writer.get_extra_info("socket")
            waits.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen_for_api(Settings(data=tmp_path, api_port=0))
        async with await asyncio.start_server(on_connection, sock=listener):
            _, client = await asyncio.open_connection(*listener.getsockname())
            no_delay = await asyncio.wait_for(waits, 10)
            client.close()
            return no_delay

    assert asyncio.run(accepted()) == 1
