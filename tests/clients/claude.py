#!/usr/bin/env python3
"""The real Claude Code on the host, driven by a scripted Messages API, against our supervise: `claude.py SUPERVISE INTO`.

What the bottle's own run of it (`fixtures claude`) does not look at: that the model is shown the tool at once, and how each session is answered.
Opt-in (`make test-claude`): it installs Claude Code (proprietary; 380 MB) into INTO. The script has the model call `egress-block` and say
what came back; the operator approves while it waits. In print mode the call blocks; in an interactive session (under tmux) it is a task.
"""

import http.server
import json
import os
import pathlib
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

import check

VERSION = "2.1.329"
TOOL = "mcp__supervise__egress-block"
SECONDS = 120


class Model(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers /v1/messages: first a call of the tool, then what its result says."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(404, "application/json", b"{}")

        do_HEAD = do_GET

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
                return self.answer(200, "application/json", b'{"input_tokens":1}')
            self.server.asked.append(asked)
            block, stop = self.server.next(asked)
            if not asked.get("stream"):
                message = {**self.message(), "content": [block], "stop_reason": stop}
                return self.answer(200, "application/json", json.dumps(message).encode())
            self.answer(200, "text/event-stream", b"".join(self.events(block, stop)))

        def message(self):
            usage = {"input_tokens": 1, "output_tokens": 1}
            return {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-scripted", "content": [],
                "stop_reason": None, "stop_sequence": None, "usage": usage,
            }

        def events(self, block, stop):
            def event(kind, **rest):
                return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()

            yield event("message_start", message=self.message())
            if block["type"] == "text":
                begun, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
            else:
                begun = {**block, "input": {}}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield event("content_block_start", index=0, content_block=begun)
            yield event("content_block_delta", index=0, delta=delta)
            yield event("content_block_stop", index=0)
            yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 1})
            yield event("message_stop")

        def answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def __init__(self, host):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.host, self.asked = host, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next(self, asked):
        said = json.dumps(asked.get("messages", []))
        offered = any(tool.get("name") == TOOL for tool in asked.get("tools", []))
        if f"{self.host} is live since" in said:
            return {"type": "text", "text": f"the script has seen that {self.host} is live"}, "end_turn"
        if not offered or '"tool_use"' in said:
            return {"type": "text", "text": "waiting"}, "end_turn"
        arguments = {"host": self.host, "methods": ["GET"], "justification": "the script needs it"}
        return {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": arguments}, "tool_use"


def prepare(folder, server, model):
    """A home and a workspace in which Claude Code asks nothing on its first run."""
    home, workspace = folder / "home", folder / "workspace"
    home.mkdir()
    workspace.mkdir()
    key = "scripted-model-needs-no-key"
    state = {
        "hasCompletedOnboarding": True,
        "projects": {str(workspace): {"hasTrustDialogAccepted": True}},
        "customApiKeyResponses": {"approved": [key[-20:]]},
    }
    (home / ".claude.json").write_text(json.dumps(state))
    # As the launcher writes it, but for the port.
    entry = {"type": "http", "url": server.url, "timeout": 86_400_000, "alwaysLoad": True}
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"supervise": entry}}))
    environment = {
        "HOME": str(home), "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{model.server_address[1]}",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
    }
    options = [f"--mcp-config={folder / 'mcp.json'}", "--allowedTools=mcp__supervise"]
    return workspace, environment, options


def printing(program, server, folder, results):
    model = Model("print.example")
    workspace, environment, options = prepare(folder, server, model)
    command = [program, "-p", "go", *options, "--output-format", "stream-json", "--verbose"]
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=SECONDS)
    results.add("print mode: the program ends well", done.returncode == 0, done.stdout[-800:] + done.stderr[-800:])
    results.add("print mode: the agent learns that it is live", "seen that print.example is live" in done.stdout, done.stdout[-800:])
    first = model.asked[0] if model.asked else {}
    names = [tool.get("name") for tool in first.get("tools", [])]
    results.add("print mode: the model is shown the tool at once", TOOL in names, names)


def interactive(program, server, folder, results):
    model = Model("session.example")
    workspace, environment, options = prepare(folder, server, model)
    socket = str(folder / "tmux")

    def tmux(*words):
        return subprocess.run(["tmux", "-S", socket, *words], capture_output=True, text=True, env=environment)

    tmux("new-session", "-d", "-s", "claude", "-x", "160", "-y", "50", "-c", str(workspace), str(program), *options)
    screen = ""
    seen = False
    try:
        deadline = time.monotonic() + SECONDS
        typed_at = None
        while time.monotonic() < deadline and not seen:
            time.sleep(0.5)
            screen = tmux("capture-pane", "-p", "-S", "-200", "-t", "claude").stdout
            ready = "\u276f" in screen
            # A turn that began before the server was connected has no tool to call: it says so, and is begun again.
            idle = typed_at is None or (time.monotonic() > typed_at + 10 and not list(server.proposals.glob("p-*.json")))
            if ready and idle:
                tmux("send-keys", "-t", "claude", "go", "Enter")
                typed_at = time.monotonic()
            seen = "seen that session.example is live" in screen
    finally:
        tmux("kill-server")
    results.add("interactive: the agent learns that it is live", seen, screen.strip()[-1500:])


def main(program, into):
    program, into = pathlib.Path(program).resolve(), pathlib.Path(into).resolve()
    claude = into / "node_modules/.bin/claude"
    if not claude.exists():
        print(f"installing Claude Code {VERSION} from npm", flush=True)
        check.INSTALL_SECONDS = 600
        try:
            check.step(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", into,
                        f"@anthropic-ai/claude-code@{VERSION}"])
        except check.Unreachable as why:
            print(f"test-claude: NOT CHECKED: Claude Code cannot be installed ({why})")
            return 0
    results = check.Results()
    for mode in (printing, interactive):
        if mode is interactive and shutil.which("tmux") is None:
            print("interactive: NOT CHECKED: tmux is not installed")
            continue
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            folder = pathlib.Path(folder)
            server = check.Supervise(program, folder)
            mode(claude, server, folder, results)
            asked = [json.loads(path.read_text()) for path in server.proposals.glob("p-*.json")]
            by = {(one.get("asked_by") or {}).get("name") for one in asked}
            results.add(f"{mode.__name__}: one proposal, by claude-code", len(asked) == 1 and by == {"claude-code"}, asked)
            delivery = "as a task" if mode is interactive else "the call waits"
            log = server.errors.read_text()
            results.add(f"{mode.__name__}: delivered so: {delivery}", delivery in log, log[-600:])
            server.stop()
    print(f"test-claude: {results.held} checks held, {len(results.failed)} failed (Claude Code {VERSION})")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
