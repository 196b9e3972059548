//! Decides who may connect to an address without TLS: the hosts of the configured
//! networks, and nobody while the port is published outside of this machine.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::time::Instant;

use crate::config::Plain;

/// The time between two log lines about closed connections.
const PAUSE: Duration = Duration::from_secs(60);

/// The door of one listener.
#[derive(Debug)]
pub(crate) struct Door {
    /// The place in the configuration's list of such listeners.
    pub(crate) listener: usize,
    networks: ArcSwap<Vec<IpNet>>,
    /// Open once it is known that the port is not published.
    open: AtomicBool,
    logged: Mutex<Option<Instant>>,
}

impl Door {
    /// A door that is closed to everybody.
    pub(crate) fn new(listener: usize, plain: &Plain) -> Self {
        Self {
            listener,
            networks: ArcSwap::from_pointee(plain.networks.clone()),
            open: AtomicBool::new(false),
            logged: Mutex::default(),
        }
    }

    /// Admits the hosts of these networks from now on.
    pub(crate) fn set_networks(&self, networks: &[IpNet]) {
        self.networks.store(networks.to_vec().into());
    }

    /// Opens or closes the door; returns whether that changes something.
    pub(crate) fn set_open(&self, open: bool) -> bool {
        self.open.swap(open, Ordering::Relaxed) != open
    }

    /// Whether a host may connect.
    pub(crate) fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        let near = self.networks.load().iter().any(|net| net.contains(&from));
        let open = self.open.load(Ordering::Relaxed);
        if !(near && open) && self.logs_now() {
            let why = match near {
                true => "its port is published, or that is not known yet",
                false => "it is outside the listener's `networks`",
            };
            tracing::warn!(%from, "closed a connection without TLS: {why}");
        }
        near && open
    }

    fn logs_now(&self) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = logged.is_none_or(|last| now - last >= PAUSE);
        if due {
            *logged = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_door_admits_the_hosts_of_its_networks_only() {
        let plain = Plain {
            address: ([0, 0, 0, 0], 2375).into(),
            networks: vec!["172.18.0.0/16".parse().unwrap()],
            callers: Vec::new(),
            others: None,
        };
        let door = Door::new(0, &plain);
        let admits = |address: &str| door.admits(address.parse().unwrap());
        assert!(
            !admits("172.18.0.2"),
            "nobody knows yet whether it is published"
        );
        assert!(door.set_open(true));
        for (address, expected) in [
            ("172.18.0.2", true),
            ("::ffff:172.18.0.2", true),
            ("172.19.0.2", false),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(admits(address), expected, "{address}");
        }
        door.set_networks(&["::1/128".parse().unwrap()]);
        assert!(admits("::1") && !admits("172.18.0.2"));
        assert!(door.set_open(false) && !door.set_open(false));
        assert!(!admits("::1"));
    }
}
