//! Hosts that are not at hand, and metrics of agents that fare ill.

use std::path::PathBuf;

use super::{running::kernel_memory, *};
use crate::export::prometheus::parse;

fn config() -> KernelConfig {
    KernelConfig {
        cgroup: None,
        max_edges: 131_072,
        edge_quota: 16_384,
        edge_idle: std::time::Duration::from_secs(3600),
        ring_bytes: 1 << 20,
    }
}

fn host(release: &str) -> Host {
    let root = PathBuf::from("/sys/fs/cgroup");
    Host {
        release: release.into(),
        capabilities: Ok(required(true).collect()),
        initial_user_namespace: true,
        memlock: Memlock::Unlimited,
        bpffs: true,
        hierarchy: Ok(Hierarchy { attach: root.clone(), root }),
        proc: Proc { readable: true, hides: false, initial_pid_namespace: true },
    }
}

fn outcome(host: &Host, name: &str) -> Outcome {
    let checks = judge(host, &config());
    checks.iter().find(|check| check.name == name).expect(name).outcome
}

fn advice_is_given_where_it_is_due(checks: &[Check]) {
    for check in checks {
        assert_eq!(check.outcome == Outcome::Ok, check.advice.is_none(), "{check:?}");
    }
}

#[test]
fn a_host_with_everything_is_ready() {
    let checks = judge(&host("6.1.0-50-cloud-amd64"), &config());
    assert_eq!(worst(&checks), Outcome::Ok, "{checks:?}");
    assert!(refuse_failures(&checks).is_ok());
    advice_is_given_where_it_is_due(&checks);
}

#[test]
fn kernels_before_5_10_are_refused() {
    let check = |release: &str, expect: Outcome| {
        assert_eq!(outcome(&host(release), "kernel"), expect, "{release}");
    };
    check("5.10.0-32-amd64", Outcome::Ok);
    check("6.18.0+", Outcome::Ok);
    check("10.0", Outcome::Ok);
    check("5.9.16", Outcome::Failed);
    check("4.19.0", Outcome::Failed);
    check("unknown", Outcome::Warning);
    check("", Outcome::Warning);
}

#[test]
fn missing_capabilities_are_named() {
    use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};
    let check = |release: &str, held: &[Capability], missing: &str| {
        let mut host = host(release);
        host.capabilities = Ok(held.iter().copied().collect());
        let checks = judge(&host, &config());
        let found = checks.iter().find(|check| check.name == "capabilities").unwrap();
        assert_eq!(found.outcome == Outcome::Failed, !missing.is_empty(), "{found:?}");
        assert!(found.found.starts_with(missing), "{found:?}");
        advice_is_given_where_it_is_due(&checks);
    };
    check("6.12.0", &[CAP_BPF, CAP_NET_ADMIN], "");
    check("6.12.0", &[CAP_SYS_ADMIN, CAP_NET_ADMIN], "");
    check("6.12.0", &[], "CAP_BPF and CAP_NET_ADMIN missing");
    check("6.12.0", &[CAP_SYS_ADMIN], "CAP_NET_ADMIN missing");
    check("5.10.0", &[CAP_BPF, CAP_NET_ADMIN], "CAP_PERFMON missing");
    check("6.1.0", &[CAP_BPF, CAP_NET_ADMIN], "CAP_PERFMON missing");
    check("5.10.0", &[CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON], "");
}

#[test]
fn capabilities_of_a_user_namespace_do_not_count() {
    let mut host = host("6.1.0");
    host.initial_user_namespace = false;
    assert_eq!(outcome(&host, "capabilities"), Outcome::Failed);
    assert!(is_identity("         0          0 4294967295\n"));
    assert!(!is_identity("0 1000 1\n1 100000 65536\n"));
    assert!(!is_identity(""));
}

#[test]
fn a_memory_limit_matters_before_5_11_only() {
    let check = |release: &str, limit: u64, expect: Outcome| {
        let mut host = host(release);
        host.memlock = Memlock::Limited(limit);
        assert_eq!(outcome(&host, "locked memory"), expect, "{release} {limit}");
    };
    check("5.10.0", 65_536, Outcome::Failed);
    check("5.10.0", config().memory_bytes(), Outcome::Ok);
    check("5.11.0", 65_536, Outcome::Warning);
    check("6.18.0", 65_536, Outcome::Warning);
}

#[test]
fn what_is_only_nice_to_have_is_a_warning() {
    let mut bare = host("6.1.0");
    bare.bpffs = false;
    assert_eq!(outcome(&bare, "bpffs"), Outcome::Warning);
    let check = |proc: Proc, expect: Outcome| {
        let mut host = host("6.1.0");
        host.proc = proc;
        assert_eq!(outcome(&host, "processes"), expect);
    };
    let good = || Proc { readable: true, hides: false, initial_pid_namespace: true };
    check(Proc { hides: true, ..good() }, Outcome::Warning);
    check(Proc { readable: false, ..good() }, Outcome::Warning);
    check(Proc { initial_pid_namespace: false, ..good() }, Outcome::Warning);
    check(good(), Outcome::Ok);
}

#[test]
fn all_failures_are_named_at_once() {
    let mut host = host("4.4.0");
    host.capabilities = Ok(HashSet::new());
    host.hierarchy = Err(MountError::NoMount);
    let checks = judge(&host, &config());
    advice_is_given_where_it_is_due(&checks);
    let error = refuse_failures(&checks).unwrap_err().to_string();
    for part in ["kernel: 4.4.0 (use Linux 5.10 or later)", "CAP_BPF and CAP_NET_ADMIN", "cgroup2"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains('\n'));
}

#[test]
fn a_healthy_agent_has_nothing_to_report() {
    let text = "plainsight_lost_total{stage=\"ring\",reason=\"full\"} 0\n\
                plainsight_balance_error 0\n\
                plainsight_map_entries{map=\"EDGES\"} 23\n\
                plainsight_map_capacity{map=\"EDGES\"} 131072\n\
                plainsight_map_capacity{map=\"EVENTS\"} 1048576\n\
                plainsight_map_memory_bytes{map=\"EVENTS\"} 1048576\n\
                plainsight_map_memory_bytes{map=\"EDGES\"} 33554432\n\
                plainsight_canary_runs_total{result=\"returned\"} 7\n\
                plainsight_canary_runs_total{result=\"not_sent\"} 0\n\
                process_resident_memory_bytes 10485760\n";
    let checks = agent(&parse(text).unwrap());
    assert_eq!(worst(&checks), Outcome::Ok, "{checks:?}");
    let found: Vec<_> = checks.iter().map(|check| (&*check.name, &*check.found)).collect();
    let expect = [
        ("lost", "nothing"),
        ("balance", "everything counted is on an edge"),
        ("canary", "came back 7 times"),
        ("map EDGES", "23 of 131072, 32.0 MiB"),
        ("map EVENTS", "1048576, 1.0 MiB"),
        ("memory", "10.0 MiB in the agent"),
        ("kernel memory", "33.0 MiB in all maps, of 64.0 MiB meant to be enough"),
    ];
    assert_eq!(found, expect);
}

#[test]
fn losses_are_named_by_stage_and_reason() {
    let text = "plainsight_lost_total{stage=\"edges\",reason=\"full\"} 5\n\
                plainsight_balance_error 2\n\
                plainsight_map_entries{map=\"EDGES\"} 95\n\
                plainsight_map_capacity{map=\"EDGES\"} 100\n";
    let checks = agent(&parse(text).unwrap());
    assert_eq!(checks[0].found, "5 edges/full");
    assert_eq!(checks.iter().filter(|check| check.outcome == Outcome::Warning).count(), 3);
    let text = "plainsight_canary_runs_total{result=\"returned\"} 7\n\
                plainsight_canary_runs_total{result=\"record_lost\"} 2\n";
    let canary = agent(&parse(text).unwrap()).into_iter().find(|check| check.name == "canary");
    assert_eq!(canary.unwrap().found, "came back 7 times, and did not: 2 record_lost");
    advice_is_given_where_it_is_due(&checks);
}

#[test]
fn kernel_memory_has_a_ceiling() {
    assert_eq!(kernel_memory(64 << 20, "x").outcome, Outcome::Ok);
    assert_eq!(kernel_memory((64 << 20) + 1, "x").outcome, Outcome::Warning);
    assert_eq!(planned(&config()).outcome, Outcome::Ok);
}

#[test]
fn bad_health_is_a_failure_and_says_why() {
    let checks = [health(true, "attached\n"), health(false, "canary: none came back\n")];
    assert_eq!(checks[0].outcome, Outcome::Ok);
    assert_eq!((checks[1].outcome, &*checks[1].found), (Outcome::Failed, "canary: none came back"));
    advice_is_given_where_it_is_due(&checks);
}

#[test]
fn reports_are_json() {
    let report = Report { checks: vec![Check::ok("kernel", "6.1")], maps: Vec::new() };
    let expect = "{\"checks\":[{\"name\":\"kernel\",\"outcome\":\"ok\",\"found\":\"6.1\",\
                  \"advice\":null}],\"maps\":[]}";
    assert_eq!(serde_json::to_string(&report).unwrap(), expect);
}

#[test]
fn only_an_agent_that_runs_and_does_not_answer_is_a_fault() {
    assert_eq!(no_answer(true, "x").outcome, Outcome::Ok);
    assert_eq!(no_answer(false, "x").outcome, Outcome::Warning);
}

#[test]
fn this_host_can_be_read() {
    let checks = preflight(&config());
    assert_eq!(checks.len(), 7);
    advice_is_given_where_it_is_due(&checks);
}
