//! The whole product on real connections, each file one subject. Needs root; every test has a
//! cgroup, and where it needs them network namespaces, of its own.

mod api;
mod brief;
mod canary;
mod cases;
mod churn;
mod close;
mod complete;
mod debian;
mod doctor;
mod failures;
mod findings;
mod full_map;
mod handover;
mod hellos;
mod lifecycle;
mod live;
mod local;
mod mutual;
mod namespaces;
mod nat;
mod neighbours;
mod observe;
mod offload;
mod older;
mod ports;
mod protocols;
mod quota;
mod retire;
mod runtimes;
mod scale;
mod servers;
mod simultaneous;
mod sockets;
mod subflows;
mod udp;
