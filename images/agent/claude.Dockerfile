# The Claude Code agent image: the native program out of its npm package, and the tools that it calls. There is no Node in
# the image. Claude Code's licence is proprietary: it is installed when the image is built, and never redistributed by us.
#
# The version is pinned: an unpinned install on an older Node silently gives an older release that speaks an older protocol.
ARG CLAUDE_CODE_VERSION=2.1.329

FROM debian:trixie-slim AS package
ARG CLAUDE_CODE_VERSION
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates npm
# Certificate authorities of a network that intercepts TLS (`bottle images build --extra-ca`); an empty file otherwise. They
# stay in this stage.
COPY extra-ca.pem /extra-ca.pem
# The wrapper package names one package a platform, which holds the program itself.
RUN if [ -s /extra-ca.pem ]; then export NODE_EXTRA_CA_CERTS=/extra-ca.pem; fi \
 && npm install --global --ignore-scripts --no-audit --no-fund "@anthropic-ai/claude-code@${CLAUDE_CODE_VERSION}" \
 && program="$(find "$(npm root --global)/@anthropic-ai" -type f -size +50M -name 'claude*' | head -n 1)" \
 && test -n "$program" \
 && install -m 755 "$program" /claude \
 && /claude --version

FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash ca-certificates curl git jq less procps ripgrep \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=package /claude /usr/local/bin/claude
# The program updates itself otherwise, which needs a writable installation and a way out; ripgrep is the system's.
ENV DISABLE_AUTOUPDATER=1 USE_BUILTIN_RIPGREP=0
CMD ["claude"]
