#!/usr/bin/env python3
"""Derives our seccomp profile from Docker's default one: derive.py DEFAULT.json > ../seccomp.json

Docker's default (moby, profiles/seccomp/default.json, Apache-2.0) less what leaves a network namespace:

* socket(2) for AF_PACKET (17) and AF_VSOCK (40): vsock reaches the host or hypervisor from any namespace.
  The runtime ORs conditions on one argument, so "not 17 and not 40" cannot be said: the admitted families are
  counted up instead, each by one condition.
* socketcall(2), the 32-bit multiplexer, whose arguments lie in memory where a filter cannot look. 32-bit C
  libraries use the plain calls since Linux 4.3.
* io_uring, which opens sockets without socket(2).
"""

import json
import sys

AF_PACKET, AF_VSOCK = 17, 40
GONE = {"socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"}


def families():
    """One rule a condition: below 17, each between 17 and 40, above 40."""
    conditions = [(AF_PACKET, "SCMP_CMP_LT")]
    conditions += [(family, "SCMP_CMP_EQ") for family in range(AF_PACKET + 1, AF_VSOCK)]
    conditions += [(AF_VSOCK, "SCMP_CMP_GT")]
    for value, operator in conditions:
        yield {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": value, "op": operator}],
        }


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        profile = json.load(file)
    rules = []
    for rule in profile["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            rule["names"] = [name for name in rule["names"] if name not in GONE | {"socket"}]
        if rule["names"]:
            rules.append(rule)
    profile["syscalls"] = rules + list(families())
    json.dump(profile, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
