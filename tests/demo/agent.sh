#!/usr/bin/env bash
# The demo's scripted agent. It runs inside a bottle, as any agent program would, tries what an agent might try, and
# prints one line per try:  @<name> TAB <status> TAB <answer>
set -u

row() {
  printf '@%s\t%s\t%s\n' "$1" "$2" "$(printf '%s' "$3" | tr -d '\r' | tr '\n\t' '  ' | cut -c1-20000)"
}

# fetch NAME CURL-ARGUMENT…: one request through the proxy that the environment names.
fetch() {
  local name=$1 answer
  shift
  answer=$(curl --silent --show-error --max-time 20 --write-out '\n%{http_code}' "$@" 2>&1)
  row "$name" "${answer##*$'\n'}" "${answer%$'\n'*}"
}

# tunnel NAME AUTHORITY: what the guard itself answers to a CONNECT (curl hides that body).
tunnel() {
  local answer
  exec 3<>/dev/tcp/127.0.0.1/3128
  printf 'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n' "$2" "$2" >&3
  answer=$(timeout 5 cat <&3)
  exec 3<&-
  row "$1" "$(printf '%s' "$answer" | head -n 1 | cut -d ' ' -f 2)" "$(printf '%s' "$answer" | tail -n 1)"
}

# direct NAME COMMAND…: a way round the guards; only its exit code is told, the listeners are the judge.
direct() {
  local name=$1 said code
  shift
  said=$(timeout 5 "$@" 2>&1)
  code=$?
  row "$name" "$code" "$said"
}

echo "agent: started in $(pwd)"
read -r _ # the operator's side connects the fixture internet now

row environment 0 "$(env | sort | tr '\n' ' ')"
row files 0 "$(grep -rlsF "$DEMO_SEARCH" "$HOME" /workspace /etc /run 2>/dev/null | tr '\n' ' ')"
row interfaces 0 "$(cd /sys/class/net && echo *)"

fetch allowed https://api.demo.example/repos/acme/app
fetch upload --data-binary @/workspace/upload.bin https://api.demo.example/repos/acme/upload
fetch bare-route https://docs.demo.example/anything
fetch plain-http http://docs.demo.example/anything
fetch introspection http://_egress.local/allowlist
tunnel host evil.example:443
tunnel port docs.demo.example:22
tunnel ip-literal 1.1.1.1:443
fetch path https://api.demo.example/repos/evil/app
fetch path-dots --path-as-is https://api.demo.example/repos/acme/..%2fevil/app
fetch method --request DELETE https://api.demo.example/repos/acme/app
fetch plain-http-with-auth http://api.demo.example/repos/acme/app
fetch own-credential --header 'Authorization: Bearer the-agents-own' https://docs.demo.example/anything
fetch git-push 'https://docs.demo.example/acme/app.git/info/refs?service=git-receive-pack'
fetch wrong-host --header 'Host: docs.demo.example' https://api.demo.example/repos/acme/app

for address in $DEMO_HOST_ADDRESSES; do
  direct "tcp $address" bash -c "exec 3<>/dev/tcp/$address/$DEMO_TCP_PORT && echo direct-tcp >&3"
  direct "udp $address" bash -c "exec 3<>/dev/udp/$address/$DEMO_UDP_PORT && echo direct-udp >&3"
  direct "no-proxy $address" curl --silent --noproxy '*' --max-time 4 "http://$address:$DEMO_TCP_PORT/no-proxy"
done
direct dns getent hosts docs.demo.example
direct dns-server bash -c "exec 3<>/dev/udp/1.1.1.1/53 && echo dns >&3"
direct unset-proxy env -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy \
  curl --silent --max-time 4 "https://docs.demo.example/unset-proxy"

echo "@end"
read -r _ # until the bottle is stopped
