"""The Python SDK's client against a running supervise, in one era: `python_client.py URL legacy|modern`.

Prints one JSON object per check, {"check", "ok", "why"}. The operator's part is played by the caller.
"""

import asyncio
import json
import sys

from mcp.client.client import Client

ERAS = {"legacy": "legacy", "modern": "2026-07-28"}


def report(check, ok, why=""):
    print(json.dumps({"check": check, "ok": bool(ok), "why": str(why)}), flush=True)


async def ask(client, host, heard=None):
    async def progress(done, total, message):
        if heard is not None:
            heard.append(message)

    arguments = {"host": host, "methods": ["GET"], "justification": f"the Python client wants {host}"}
    return await client.call_tool("egress-block", arguments, progress_callback=progress)


async def main(url, era):
    async with Client(url, mode=ERAS[era]) as client:
        tools = (await client.list_tools()).tools
        names = [tool.name for tool in tools]
        wanted = ["egress-block", "list-egress-routes", "pipelock-block", "capability-block"]
        report("tools/list names the four", names == wanted, names)

        routes = await client.call_tool("list-egress-routes", {})
        report("list-egress-routes", not routes.is_error and routes.structured_content["routes"], routes)

        heard = []
        answered = await ask(client, f"approve-{era}.example", heard)
        outcome = answered.structured_content
        report("an approved ask is answered when it is in force", outcome["status"] == "applied", outcome)
        report("a waiting call hears of it at once", heard and "waiting for the operator" in heard[0], heard)

        answered = await ask(client, f"reject-{era}.example")
        outcome = answered.structured_content
        report(
            "a rejected ask says so with the operator's reason",
            outcome["status"] == "rejected" and "not today" in outcome["statement"],
            outcome,
        )

        same = f"twice-{era}.example"
        both = await asyncio.gather(ask(client, same), ask(client, same))
        ids = {one.structured_content["proposal_id"] for one in both}
        report("asked twice at once is one proposal", len(ids) == 1, ids)

        wrong = await client.call_tool("egress-block", {"host": "*.example", "justification": "x"})
        text = wrong.content[0].text
        report("a wrong argument is a tool error that says what to do", wrong.is_error and "call again" in text, text)

        try:
            async with asyncio.timeout(1):
                await ask(client, f"given-up-{era}.example")
            report("a call that is given up ends", False, "it was answered")
        except TimeoutError:
            report("a call that is given up ends", True)
        # The notification of the older revisions goes out in a request of its own.
        await asyncio.sleep(0.5)


asyncio.run(main(sys.argv[1], sys.argv[2]))
