#!/usr/bin/env python3
"""Derives our seccomp profile from Docker's default one: derive.py DEFAULT.json > ../seccomp.json

Docker's default (moby, profiles/seccomp/default.json, Apache-2.0) less what leaves a network namespace:

* socket(2) for AF_PACKET (17) and AF_VSOCK (40): vsock reaches the host or hypervisor from any namespace.
  The runtime ORs conditions on one argument, so "not 17 and not 40" cannot be said: the admitted families are
  counted up instead, each by one condition on the lower 32 bits, which are all that the kernel takes: a comparison
  of all 64 ("greater than 40") would admit 2^32 + 40, which is AF_VSOCK again (tried; so does Docker's "not 40").
* socketcall(2), the 32-bit multiplexer, whose arguments lie in memory where a filter cannot look. It must be
  refused by a rule of its own: from any rule for socket(2), libseccomp makes one for 32-bit x86 that admits
  socketcall(SYS_SOCKET) for every family (tried). ENOSYS sends a 32-bit C library to the plain calls, which there
  are since Linux 4.3.
* io_uring, which opens sockets without socket(2).
"""

import json
import sys

AF_PACKET, AF_VSOCK = 17, 40
# The families that Linux 6.18 has (AF_MAX in <linux/socket.h>); one that it gets later is refused.
AF_MAX = 46
ENOSYS = 38
GONE = {"socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"}


def families():
    """One rule a condition."""
    for family in range(AF_MAX):
        if family not in (AF_PACKET, AF_VSOCK):
            yield {
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                # `value` is the mask here, `valueTwo` what must be left of the argument.
                "args": [{"index": 0, "value": 0xFFFFFFFF, "valueTwo": family, "op": "SCMP_CMP_MASKED_EQ"}],
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
    multiplexer = {"names": ["socketcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}
    profile["syscalls"] = rules + [multiplexer] + list(families())
    json.dump(profile, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
