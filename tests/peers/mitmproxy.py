"""mitmproxy as a benchmark peer: an allowlist and a replaced Authorization header."""

from mitmproxy import http


def request(flow: http.HTTPFlow) -> None:
    if not flow.request.pretty_host.endswith(".example"):
        flow.response = http.Response.make(403)
        return
    flow.request.headers["Authorization"] = "Bearer injected-credential-0000"


def responseheaders(flow: http.HTTPFlow) -> None:
    flow.response.stream = True
