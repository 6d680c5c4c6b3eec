//! The profile that every container runs under, read as the runtime applies it: conditions on one argument are ORed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use serde_json::Value;

fn rules() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../seccomp.json");
    let profile: Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        profile["defaultAction"], "SCMP_ACT_ERRNO",
        "what is not admitted is refused"
    );
    profile["syscalls"].as_array().unwrap().clone()
}

fn names(rule: &Value, syscall: &str) -> bool {
    rule["names"]
        .as_array()
        .unwrap()
        .iter()
        .any(|name| name == syscall)
}

fn admitting(syscall: &str) -> Vec<Value> {
    let admits = |rule: &Value| rule["action"] == "SCMP_ACT_ALLOW" && names(rule, syscall);
    rules().into_iter().filter(admits).collect()
}

/// Whether a condition holds for an argument, in all of its 64 bits (seccomp_rule_add(3)).
fn holds(condition: &Value, argument: u64) -> bool {
    assert_eq!(condition["index"], 0, "socket(2) is judged by its family alone");
    let value = condition["value"].as_u64().unwrap();
    match condition["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "SCMP_CMP_GT" => argument > value,
        "SCMP_CMP_GE" => argument >= value,
        "SCMP_CMP_MASKED_EQ" => argument & value == condition["valueTwo"].as_u64().unwrap(),
        other => panic!("an operator that this test does not know: {other}"),
    }
}

fn socket_admitted(family: u64) -> bool {
    admitting("socket")
        .iter()
        .any(|rule| match rule["args"].as_array() {
            Some(conditions) if !conditions.is_empty() => {
                conditions.iter().any(|condition| holds(condition, family))
            }
            _ => true,
        })
}

#[test]
fn no_spelling_of_a_family_that_leaves_the_namespace_is_admitted() {
    let (packet, vsock) = (17, 40);
    for family in [packet, vsock] {
        // The kernel looks at the lower half of the argument only.
        for upper in [0, 1, 2, 1 << 16, u64::from(u32::MAX)] {
            assert!(
                !socket_admitted(upper << 32 | family),
                "{upper} * 2^32 + {family}"
            );
        }
    }
}

#[test]
fn the_families_of_ordinary_programs_are_admitted_however_a_compiler_fills_the_register() {
    for (name, family) in [
        ("AF_UNIX", 1),
        ("AF_INET", 2),
        ("AF_INET6", 10),
        ("AF_NETLINK", 16),
        ("AF_ALG", 38),
    ] {
        assert!(socket_admitted(family), "{name}");
        assert!(
            socket_admitted(1 << 32 | family),
            "{name} with the upper half set"
        );
    }
}

#[test]
fn there_is_no_way_to_a_socket_around_socket() {
    for syscall in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "socketcall",
    ] {
        assert_eq!(admitting(syscall), Vec::<Value>::new(), "{syscall}");
    }
    // Leaving it out is not enough: libseccomp makes a rule for it from those for socket(2), unless there is one.
    let multiplexer: Vec<Value> = rules()
        .into_iter()
        .filter(|rule| names(rule, "socketcall"))
        .collect();
    assert_eq!(multiplexer.len(), 1, "{multiplexer:?}");
    assert_eq!(multiplexer[0]["action"], "SCMP_ACT_ERRNO");
    assert_eq!(multiplexer[0]["errnoRet"], nix::libc::ENOSYS);
    assert!(
        multiplexer[0].get("args").is_none_or(Value::is_null),
        "{multiplexer:?}"
    );
    for condition in ["includes", "excludes"] {
        assert!(
            multiplexer[0].get(condition).is_none_or(Value::is_null),
            "{multiplexer:?}"
        );
    }
}

#[test]
fn namespaces_and_mounts_stay_behind_their_capability_as_in_dockers_default() {
    for syscall in [
        "unshare",
        "setns",
        "mount",
        "umount2",
        "bpf",
        "fsopen",
        "move_mount",
        "open_tree",
    ] {
        let admitting = admitting(syscall);
        assert!(
            !admitting.is_empty(),
            "{syscall}: the profile is not made from Docker's"
        );
        for rule in admitting {
            let needed = rule["includes"]["caps"].as_array().unwrap();
            assert!(
                needed
                    .iter()
                    .any(|capability| capability == "CAP_SYS_ADMIN" || capability == "CAP_BPF"),
                "{syscall}: {rule}"
            );
        }
    }
}
