# The small agent image: a shell, git, curl and openssl. What the demo and the tests use, and a start for agents of your own.
#
# It carries no user, no credential and no certificate: bottle gives each container its own at start.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash ca-certificates curl git openssl procps \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
CMD ["bash"]
