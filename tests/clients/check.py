#!/usr/bin/env python3
"""Clients that others wrote, against our supervise: `check.py SUPERVISE INTO`.

SUPERVISE is the program, INTO a folder in which the clients are installed (from PyPI and npm, pinned) and kept. Plays egress and the
operator itself. Exit code 0 when everything held, or when a registry could not be reached (which is said); 1 otherwise.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PYTHON = ["mcp==2.3.0"]
# The conformance suite needs Node 22; npm has it as a package.
NPM = [
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
    "node@22.23.3",
]
# What an installer says when there is no registry to ask, rather than something wrong with what it was asked for.
UNREACHABLE = (
    "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENETUNREACH", "Could not resolve",
    "Temporary failure in name resolution", "Name or service not known", "Connection refused", "Network is unreachable",
    "timed out", "NewConnectionError", "ConnectTimeoutError", "ProxyError",
)
INSTALL_SECONDS = 120
CHECK_SECONDS = 60

LIVE_TABLE = {
    "schema_version": 1,
    "generation": 1,
    "policy_sha256": "0" * 64,
    "routes": [{"host": "docs.rs", "methods": ["GET"], "path_allowlist": ["/serde/"]}],
}

# Scenarios of the official suite that speak of a server with tools and tasks alone, by the revision they are run at. All others call
# tools, prompts and resources of the suite's own reference server, which no other server has.
SCENARIOS = {
    "2026-07-28": [
        "server-stateless",
        "tools-list",
        "caching",
        "http-header-validation",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "sep-2164-resource-not-found",
        "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    ],
    "2025-11-25": [
        "server-initialize",
        "ping",
        "tools-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "server-session-lifecycle",
    ],
}

NEEDS_A_FIXTURE = "the suite says \"not testable\": it calls a diagnostic tool of its own server"
NOT_SERVED = "supervise has tools and neither prompts nor resources, and says so (-32601)"
# Checks that must fail, and why. One that passes all the same is an error, too: then this list is out of date.
EXPECTED_FAILURES = {
    "sep-2575-server-rejects-undeclared-capability": NEEDS_A_FIXTURE,
    "sep-2575-missing-capability-http-400": NEEDS_A_FIXTURE,
    "sep-2575-http-server-no-independent-requests-on-stream": NEEDS_A_FIXTURE,
    "sep-2575-server-no-log-without-loglevel": NEEDS_A_FIXTURE,
    "sep-2549-prompts-list-caching-hints": NOT_SERVED,
    "sep-2549-resources-list-caching-hints": NOT_SERVED,
    "sep-2549-resources-templates-list-caching-hints": NOT_SERVED,
}


class Unreachable(Exception):
    """A registry that cannot be asked."""


class Results:
    """What held and what did not."""

    def __init__(self):
        self.held = 0
        self.failed = []

    def add(self, what, ok, why=""):
        if ok:
            self.held += 1
        else:
            self.failed.append(what)
            print(f"  FAILED  {what}\n          {str(why)[:600]}", flush=True)


# --- installing -------------------------------------------------------------------------------------------------------------


def install(into):
    """Installs what is not there yet; a stamp says what is."""
    into.mkdir(parents=True, exist_ok=True)
    stamp = into / "installed.json"
    wanted = json.dumps([PYTHON, NPM])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing clients from PyPI and npm", flush=True)
    python = into / "python"
    step([sys.executable, "-m", "venv", str(python)])
    step([str(python / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--retries", "1", *PYTHON])
    step(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--prefix", str(into / "npm"), *NPM])
    stamp.write_text(wanted)


def step(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Unreachable(f"{command[0]} did not end within {INSTALL_SECONDS} s") from late
    except FileNotFoundError:
        sys.exit(f"test-clients: {command[0]} is not installed here; it is needed to install the clients")
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if any(sign in said for sign in UNREACHABLE):
        raise Unreachable(said.strip().splitlines()[-1] if said.strip() else command[0])
    sys.exit(f"test-clients: {' '.join(command)}\n{said}")


# --- the rest of a bottle -----------------------------------------------------------------------------------------------------


class Egress(socketserver.ThreadingUnixStreamServer):
    """Answers for the live table, as egress does."""

    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            first = self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            known = first.startswith(b"GET http://_egress.local/allowlist ")
            body = json.dumps(LIVE_TABLE if known else {}).encode()
            status = b"200 OK" if known else b"404 Not Found"
            self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    def __init__(self, path):
        super().__init__(str(path), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Operator(threading.Thread):
    """Decides by the host's name, and writes the files that the launcher would."""

    def __init__(self, proposals, responses):
        super().__init__(daemon=True)
        self.proposals, self.responses = proposals, responses
        self.start()

    def run(self):
        seen = set()
        while True:
            for path in self.proposals.glob("p-*.json"):
                if path.name not in seen:
                    seen.add(path.name)
                    threading.Thread(target=self.decide, args=(path,), daemon=True).start()
            time.sleep(0.05)

    def decide(self, path):
        raw = path.read_bytes()
        proposal = json.loads(raw)
        host = proposal["ask"]["arguments"].get("host", "")
        common = {
            "schema_version": 1,
            "proposal_id": proposal["proposal_id"],
            "proposal_sha256": hashlib.sha256(raw).hexdigest(),
        }
        at = "2026-11-21T12:00:00.000Z"
        # Long enough for a second call with the same ask to arrive, and for a call to be seen waiting.
        time.sleep(0.6)
        if host.startswith("given-up-"):
            return
        if host.startswith("reject-"):
            decision = {"kind": "rejected", "reason": "not today"}
        else:
            decision = {"kind": "approved"}
        self.write(path.name, {**common, "decided_at": at, "decided_by": "operator", "decision": decision}, anew=True)
        if decision["kind"] == "approved":
            for state in ("applying", "applied"):
                told = {**common, "at": at, "state": state, "statement": f"{host} is live since {at}"}
                self.write(path.name.replace(".json", ".state.json"), told, anew=False)

    def write(self, name, value, anew):
        temporary = self.responses / f".{name}.{threading.get_ident()}"
        temporary.write_text(json.dumps(value))
        if anew:
            os.link(temporary, self.responses / name)
            temporary.unlink()
        else:
            temporary.rename(self.responses / name)


class Supervise:
    """A running server with everything around it."""

    def __init__(self, program, folder):
        self.proposals, self.responses = folder / "proposals", folder / "responses"
        for path in (self.proposals, self.responses, folder / "run"):
            path.mkdir()
        Egress(folder / "egress.sock")
        Operator(self.proposals, self.responses)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.errors = folder / "stderr"
        self.process = subprocess.Popen(
            [
                program, "run", "--proposals", self.proposals, "--responses", self.responses, "--run", folder / "run",
                "--egress", f"unix:{folder / 'egress.sock'}", "--listen", f"127.0.0.1:{port}", "--event-log", "none",
            ],
            stderr=self.errors.open("w"),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    answer.read()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(f"test-clients: supervise does not serve:\n{self.errors.read_text()}")
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def free_port():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as server:
        return server.server_address[1]


# --- the clients --------------------------------------------------------------------------------------------------------------


def run(command, environment):
    try:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=CHECK_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(command, -1, late.stdout or "", f"it did not end within {CHECK_SECONDS} s")


def python_client(server, into, environment, results):
    script = pathlib.Path(__file__).with_name("python_client.py")
    for era in ("legacy", "modern"):
        done = run([into / "python/bin/python", script, server.url, era], environment)
        for line in done.stdout.splitlines():
            told = json.loads(line)
            results.add(f"Python mcp, {era}: {told['check']}", told["ok"], told["why"])
        results.add(f"Python mcp, {era}: ends well", done.returncode == 0, done.stderr)
        given_up = [path for path in server.proposals.glob("p-*.json") if f"given-up-{era}." in path.read_text()]
        withdrawn = [path for path in given_up if path.with_suffix(".withdrawn").exists()]
        results.add(f"Python mcp, {era}: what it gave up is withdrawn", len(given_up) == len(withdrawn) == 1, given_up)


def inspector(server, into, environment, results):
    for era in ("legacy", "modern"):

        def call(*arguments):
            words = [into / "npm/node_modules/.bin/mcp-inspector", "--cli", server.url, "--transport", "http"]
            return run([*words, "--protocol-era", era, *arguments], environment)

        listed = call("--method", "tools/list", "--strict")
        results.add(f"Inspector, {era}: tools/list is portable", listed.returncode == 0, listed.stdout + listed.stderr)
        routes = call("--method", "tools/call", "--tool-name", "list-egress-routes")
        results.add(f"Inspector, {era}: list-egress-routes", "docs.rs" in routes.stdout, routes.stdout + routes.stderr)
        host, why = f"host=inspector-{era}.example", "justification=the Inspector wants it"
        asked = call("--method", "tools/call", "--tool-name", "egress-block", "--tool-arg", host, why)
        ok = asked.returncode == 0 and f"inspector-{era}.example is live since" in asked.stdout
        results.add(f"Inspector, {era}: egress-block", ok, asked.stdout + asked.stderr)
        wrong = call("--method", "tools/call", "--tool-name", "egress-block", "--tool-arg", "host=10.0.0.1", why)
        results.add(f"Inspector, {era}: a tool error is one", wrong.returncode == 5, f"{wrong.returncode}: {wrong.stdout}")


def scenario_run(server, into, environment, revision, scenario):
    """The checks of one scenario, and what the suite said."""
    with tempfile.TemporaryDirectory() as told:
        words = [into / "npm/node_modules/.bin/conformance", "server", "--url", server.url, "--scenario", scenario]
        done = run([*words, "--spec-version", revision, "-o", told], environment)
        checks = [check for path in pathlib.Path(told).rglob("checks.json") for check in json.loads(path.read_text())]
    return checks, done.stdout[-500:] + done.stderr[-500:]


def conformance(server, into, environment, results):
    failed_as_expected = set()
    pairs = [(revision, scenario) for revision, scenarios in SCENARIOS.items() for scenario in scenarios]
    # Each is a program that mostly starts up.
    with concurrent.futures.ThreadPoolExecutor(4) as several:
        runs = list(several.map(lambda pair: scenario_run(server, into, environment, *pair), pairs))
    for (revision, scenario), (checks, said) in zip(pairs, runs):
        name = f"conformance {revision}: {scenario}"
        results.add(f"{name}: was run", checks, said)
        for check in checks:
            if check["status"] == "FAILURE" and check["id"] in EXPECTED_FAILURES:
                failed_as_expected.add(check["id"])
            else:
                ok = check["status"] != "FAILURE"
                results.add(f"{name}: {check['id']}", ok, check.get("errorMessage"))
    stale = set(EXPECTED_FAILURES) - failed_as_expected
    results.add("conformance: every expected failure still fails", not stale, stale)


def main(program, into):
    program, into = pathlib.Path(program).resolve(), pathlib.Path(into).resolve()
    began = time.monotonic()
    try:
        install(into)
    except Unreachable as why:
        print(f"test-clients: NOT CHECKED: a registry cannot be reached, and the clients are not installed ({why})")
        return 0
    environment = {**os.environ, "PATH": f"{into / 'npm/node_modules/.bin'}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        server = Supervise(program, pathlib.Path(folder))
        for check in (python_client, inspector, conformance):
            before = results.held, len(results.failed)
            check(server, into, environment, results)
            held, failed = results.held - before[0], len(results.failed) - before[1]
            print(f"{check.__name__.replace('_', ' ')}: {held} held, {failed} failed", flush=True)
        results.add("supervise ends well", server.stop() == 0, server.errors.read_text()[-600:])
    print(
        f"test-clients: {results.held} checks held, {len(results.failed)} failed, {len(EXPECTED_FAILURES)} failures of the suite expected"
        f" ({time.monotonic() - began:.0f} s)"
    )
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
