//! Writes metrics in Prometheus' text exposition format, version 0.0.4.
//!
//! One table has every family; a test holds the dashboard in `conf/grafana.json`
//! to it.

use std::fmt::Write;

use super::model::Metrics;

pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family of samples.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Metrics) -> Vec<Sample>,
}

/// One sample: its labels and its value.
struct Sample(Vec<(&'static str, String)>, f64);

fn plain(value: f64) -> Vec<Sample> {
    vec![Sample(Vec::new(), value)]
}

/// Samples about the engine, which has none while it is down.
fn if_up(m: &Metrics, samples: impl Fn() -> Vec<Sample>) -> Vec<Sample> {
    if m.engine.up { samples() } else { Vec::new() }
}

fn maybe(value: Option<f64>) -> Vec<Sample> {
    value.map(plain).unwrap_or_default()
}

fn by(label: &'static str, value: &str, number: f64) -> Sample {
    Sample(vec![(label, value.to_owned())], number)
}

fn memory(m: &Metrics, of: fn(&super::memory::Memory) -> u64) -> Vec<Sample> {
    maybe(m.memory.as_ref().map(|memory| of(memory) as f64))
}

fn disks(m: &Metrics, of: fn(&super::disk::Disk) -> f64) -> Vec<Sample> {
    let disks = m.disks.iter();
    disks.map(|d| by("device", &d.device, of(d))).collect()
}

fn networks(m: &Metrics, of: fn(&super::network::Network) -> u64) -> Vec<Sample> {
    let networks = m.networks.iter();
    networks
        .map(|n| by("device", &n.device, of(n) as f64))
        .collect()
}

fn filesystems(m: &Metrics, of: fn(&super::model::FileSystem) -> u64) -> Vec<Sample> {
    let filesystems = m.filesystems.iter();
    filesystems
        .map(|f| by("path", &f.path, of(f) as f64))
        .collect()
}

/// Reads rows of the form `name kind "help" => samples;`.
macro_rules! families {
    ($($name:ident $kind:ident $help:literal => $samples:expr;)*) => {
        const FAMILIES: &[Family] = &[$(Family {
            name: stringify!($name),
            kind: stringify!($kind),
            help: $help,
            samples: $samples,
        },)*];
    };
}

families! {
    skep_node_info gauge "The node, its hostname and its role." => |m| {
        let role = if m.node.manager { "manager" } else { "worker" };
        vec![Sample(vec![
            ("node_id", m.node.id.clone()),
            ("hostname", m.node.hostname.clone()),
            ("role", role.to_owned()),
            ("version", m.agent.version.clone()),
        ], 1.0)]
    };
    skep_agent_memory_bytes gauge "Resident memory of the agent." =>
        |m| maybe(m.agent.memory_bytes.map(|bytes| bytes as f64));
    skep_cluster_nodes gauge "Number of nodes whose agent and engine answer this node (ready) or do not (missing)." => |m| vec![
        by("state", "ready", m.cluster.ready as f64),
        by("state", "missing", m.cluster.missing as f64),
    ];
    skep_engine_up gauge "Whether the engine answers." => |m| plain(f64::from(u8::from(m.engine.up)));
    skep_engine_info gauge "The engine's version." => |m| if_up(m, || {
        vec![by("version", &m.engine.version, 1.0)]
    });
    skep_engine_containers gauge "Containers by their state." => |m| if_up(m, || vec![
        by("state", "running", m.engine.running as f64),
        by("state", "paused", m.engine.paused as f64),
        by("state", "stopped", m.engine.stopped as f64),
    ]);
    skep_engine_images gauge "Number of images." => |m| if_up(m, || plain(m.engine.images as f64));
    skep_node_uptime_seconds gauge "Time since the node started." => |m| maybe(m.uptime_seconds);
    skep_node_load1 gauge "Load average over one minute." => |m| maybe(m.load.map(|l| l[0]));
    skep_node_load5 gauge "Load average over five minutes." => |m| maybe(m.load.map(|l| l[1]));
    skep_node_load15 gauge "Load average over fifteen minutes." => |m| maybe(m.load.map(|l| l[2]));
    skep_node_cpus gauge "Number of processors." => |m| maybe(m.cpu.as_ref().map(|cpu| cpu.count as f64));
    skep_node_cpu_seconds_total counter "Seconds the processors spent in each mode." => |m| {
        let modes = m.cpu.iter().flat_map(|cpu| cpu.modes());
        modes.map(|(mode, seconds)| by("mode", mode, seconds)).collect()
    };
    skep_node_memory_total_bytes gauge "Memory." => |m| memory(m, |memory| memory.total);
    skep_node_memory_available_bytes gauge "Memory available for new processes without swapping." => |m| memory(m, |memory| memory.available);
    skep_node_memory_free_bytes gauge "Unused memory." => |m| memory(m, |memory| memory.free);
    skep_node_memory_buffers_bytes gauge "Memory in buffers." => |m| memory(m, |memory| memory.buffers);
    skep_node_memory_cached_bytes gauge "Memory in the page cache." => |m| memory(m, |memory| memory.cached);
    skep_node_swap_total_bytes gauge "Swap space." => |m| memory(m, |memory| memory.swap_total);
    skep_node_swap_free_bytes gauge "Unused swap space." => |m| memory(m, |memory| memory.swap_free);
    skep_node_filesystem_size_bytes gauge "Size of a file system." => |m| filesystems(m, |f| f.size_bytes);
    skep_node_filesystem_available_bytes gauge "Space available to unprivileged users." => |m| filesystems(m, |f| f.available_bytes);
    skep_node_disk_reads_total counter "Reads completed by a disk." => |m| disks(m, |d| d.reads as f64);
    skep_node_disk_read_bytes_total counter "Bytes read from a disk." => |m| disks(m, |d| d.read_bytes as f64);
    skep_node_disk_writes_total counter "Writes completed by a disk." => |m| disks(m, |d| d.writes as f64);
    skep_node_disk_written_bytes_total counter "Bytes written to a disk." => |m| disks(m, |d| d.written_bytes as f64);
    skep_node_disk_busy_seconds_total counter "Time in which a disk was busy." => |m| disks(m, |d| d.busy_seconds);
    skep_node_network_received_bytes_total counter "Bytes received by an interface." => |m| networks(m, |n| n.received_bytes);
    skep_node_network_receive_errors_total counter "Errors when receiving packets." => |m| networks(m, |n| n.receive_errors);
    skep_node_network_receive_drops_total counter "Received packets that were dropped." => |m| networks(m, |n| n.receive_drops);
    skep_node_network_sent_bytes_total counter "Bytes sent by an interface." => |m| networks(m, |n| n.sent_bytes);
    skep_node_network_send_errors_total counter "Errors when sending packets." => |m| networks(m, |n| n.send_errors);
    skep_node_network_send_drops_total counter "Outgoing packets that were dropped." => |m| networks(m, |n| n.send_drops);
}

/// Writes all families that have samples.
pub(super) fn render(metrics: &Metrics) -> String {
    let mut text = String::with_capacity(8 << 10);
    for family in FAMILIES {
        let samples = (family.samples)(metrics);
        if samples.is_empty() {
            continue;
        }
        let Family {
            name, kind, help, ..
        } = family;
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for Sample(labels, value) in samples {
            text.push_str(name);
            for (n, (label, said)) in labels.iter().enumerate() {
                let open = if n == 0 { '{' } else { ',' };
                let _ = write!(text, "{open}{label}=\"{}\"", escape(said));
            }
            if !labels.is_empty() {
                text.push('}');
            }
            let _ = writeln!(text, " {value}");
        }
    }
    text
}

/// A label's value: any text, with these three escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::super::cpu::Cpu;
    use super::super::disk::Disk;
    use super::super::model::{Engine, FileSystem, Node};
    use super::*;

    fn some() -> Metrics {
        Metrics {
            node: Node {
                id: "abc".to_owned(),
                hostname: "n\"1\\\n".to_owned(),
                manager: true,
            },
            engine: Engine {
                up: true,
                running: 3,
                ..Engine::default()
            },
            load: Some([0.5, 1.0, 1.5]),
            cpu: Some(Cpu::default()),
            disks: vec![Disk {
                device: "sda".to_owned(),
                busy_seconds: 1.5,
                ..Disk::default()
            }],
            filesystems: vec![FileSystem {
                path: "/".to_owned(),
                size_bytes: 1 << 40,
                available_bytes: 7,
            }],
            ..Metrics::default()
        }
    }

    #[test]
    fn every_family_has_a_unique_and_conventional_name() {
        let mut seen = HashSet::new();
        for family in FAMILIES {
            assert!(seen.insert(family.name), "{} occurs twice", family.name);
            let counts = family.name.ends_with("_total");
            assert_eq!(family.kind == "counter", counts, "{}", family.name);
            assert!(!family.help.contains(['\n', '\\']), "{}", family.name);
        }
    }

    #[test]
    fn the_text_follows_the_exposition_format() {
        let text = render(&some());
        for line in [
            "# TYPE skep_node_load1 gauge",
            "skep_node_load1 0.5",
            "skep_engine_containers{state=\"running\"} 3",
            "skep_node_disk_busy_seconds_total{device=\"sda\"} 1.5",
            "skep_node_filesystem_size_bytes{path=\"/\"} 1099511627776",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(
            text.contains(r#"hostname="n\"1\\\n",role="manager""#),
            "{text}"
        );
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
        // An unknown value has no sample, and its family does not appear.
        assert!(!text.contains("skep_node_uptime_seconds"));
        assert!(!text.contains("skep_node_network"));
    }

    #[test]
    fn an_engine_that_is_down_has_no_containers() {
        let text = render(&Metrics::default());
        assert!(text.contains("skep_engine_up 0\n"));
        assert!(!text.contains("skep_engine_containers"));
    }

    #[test]
    fn every_metric_of_the_dashboard_exists() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/grafana.json");
        let dashboard = std::fs::read_to_string(path).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
        assert!(parsed["panels"].as_array().unwrap().len() > 5);
        let exist: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
        let words = dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let used: BTreeSet<_> = words.filter(|word| word.starts_with("skep_")).collect();
        let unknown: Vec<_> = used.difference(&exist).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(used.len() > 10, "{used:?}");
    }

    proptest! {
        #[test]
        fn no_label_breaks_out_of_its_quotes(value in any::<String>()) {
            let escaped = escape(&value);
            prop_assert!(!escaped.contains('\n'));
            // Every remaining quote has an odd number of backslashes before it.
            let mut slashes = 0;
            for c in escaped.chars() {
                prop_assert!(c != '"' || slashes % 2 == 1);
                slashes = if c == '\\' { slashes + 1 } else { 0 };
            }
            prop_assert_eq!(slashes % 2, 0);
        }
    }
}
