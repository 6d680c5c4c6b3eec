# websocket.py URL MESSAGE…: sends each message over one connection and tells the answer.
# `text:…` is sent whole, `parts:a|b|c` as one message in fragments, `bytes:N` as N bytes in fragments of 1000.
import asyncio
import hashlib
import sys

import websockets


def message(written):
    kind, _, rest = written.partition(":")
    if kind == "parts":
        return rest.split("|")
    if kind == "bytes":
        content = (b"0123456789" * int(rest))[: int(rest)]
        return [content[start : start + 1000] for start in range(0, len(content), 1000)]
    return rest


def told(answer):
    if isinstance(answer, bytes):
        return f"{len(answer)} bytes {hashlib.sha256(answer).hexdigest()}"
    return answer


async def main():
    try:
        async with websockets.connect(sys.argv[1], open_timeout=20) as socket:
            print("open")
            for written in sys.argv[2:]:
                await socket.send(message(written))
                print("answer", told(await asyncio.wait_for(socket.recv(), 20)))
    except websockets.ConnectionClosed as closed:
        print("closed", closed.rcvd.code if closed.rcvd else None, closed.rcvd.reason if closed.rcvd else None)
    except Exception as error:
        print("failed", type(error).__name__, error)


asyncio.run(main())
