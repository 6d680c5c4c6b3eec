//! Invariant 6: every container runs with no capability, no new privileges, our seccomp profile, as nobody special, and
//! within limits; guards also have a read-only root and leave no core dumps.

use crate::{home, internet};
use serde_json::Value;
use system_tests::docker::docker;

fn inspect(container: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(["inspect", container]).unwrap()).unwrap();
    all[0].clone()
}

#[test]
fn every_container_is_confined() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    for container in [bottle.agent(), bottle.guard("egress")] {
        let found = inspect(&container);
        let host = &found["HostConfig"];
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{container}");
        assert!(host["CapAdd"].as_array().is_none_or(Vec::is_empty), "{container}");
        assert_eq!(host["Privileged"], false, "{container}");
        let options = host["SecurityOpt"].as_array().unwrap();
        let has = |prefix: &str| {
            options
                .iter()
                .any(|option| option.as_str().unwrap().starts_with(prefix))
        };
        assert!(has("no-new-privileges"), "{container}: {options:?}");
        assert!(has("seccomp="), "{container}: {options:?}");
        assert!(!has("seccomp=unconfined"), "{container}");
        assert!(
            host["PidsLimit"].as_i64().is_some_and(|limit| limit > 0),
            "{container}: {}",
            host["PidsLimit"]
        );
        assert!(
            host["Memory"].as_i64().is_some_and(|limit| limit > 0),
            "{container}: {}",
            host["Memory"]
        );
        let user = found["Config"]["User"].as_str().unwrap().to_owned();
        assert!(
            !user.is_empty() && !user.starts_with("0:") && user != "0" && user != "root",
            "{container}: {user}"
        );
        assert!(
            host["Devices"].as_array().is_none_or(Vec::is_empty),
            "{container}"
        );
        for mode in ["PidMode", "IpcMode", "UTSMode", "UsernsMode"] {
            assert_ne!(host[mode], "host", "{container}: {mode}");
        }
        assert_eq!(
            found["HostConfig"]["LogConfig"]["Type"], "json-file",
            "{container}"
        );
    }
    let egress = inspect(&bottle.guard("egress"));
    assert_eq!(egress["HostConfig"]["ReadonlyRootfs"], true);
    let core = egress["HostConfig"]["Ulimits"]
        .as_array()
        .unwrap()
        .iter()
        .find(|limit| limit["Name"] == "core")
        .cloned();
    assert_eq!(core.unwrap()["Hard"], 0);
    assert_eq!(egress["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    let agent = inspect(&bottle.agent());
    assert_eq!(agent["HostConfig"]["NetworkMode"], "none");
    assert!(matches!(
        agent["HostConfig"]["RestartPolicy"]["Name"].as_str(),
        Some("no" | "")
    ));
    assert!(
        agent["NetworkSettings"]["Ports"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    );
}

#[test]
fn the_kernel_agrees() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let (status, _) = bottle.sh("cat /proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(
        (field("NoNewPrivs").as_str(), field("Seccomp").as_str()),
        ("1", "2")
    );
    assert!(!field("Uid").starts_with('0'), "{}", field("Uid"));
    let own_group = field("Gid")
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(
        ["", own_group.as_str()].contains(&field("Groups").as_str()),
        "supplementary groups: {}",
        field("Groups")
    );
}

#[test]
fn what_carries_no_label_of_ours_is_not_ours() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    for container in [bottle.agent(), bottle.guard("egress")] {
        let labels = inspect(&container)["Config"]["Labels"].clone();
        let project = labels["com.docker.compose.project"].as_str().unwrap().to_owned();
        assert_eq!(project, format!("claude-bottle-{}", bottle.slug()));
    }
}
