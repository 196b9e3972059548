//! The addresses and sockets of the agent: whether it listens there, and whether it can.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::finding::{Finding, Subject};
use crate::cli::health;
use crate::config::{Config, Socket};

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let is_running = health::run(config).await.is_ok();
    let mut findings = Vec::new();
    for listen in &config.listen {
        findings.push(of_an_address(listen.address, is_running));
    }
    for plain in &config.plain {
        findings.push(of_an_address(plain.address, is_running));
        if !plain.address.ip().is_loopback() {
            findings.push(Finding::warning(
                Subject::Port,
                format!(
                    "{} has no TLS, and callers there prove nothing",
                    plain.address
                ),
                "use a socket, or HTTPS; never publish this port",
            ));
        }
    }
    let sockets = config.sockets.iter();
    findings.extend(sockets.map(|socket| of_a_socket(socket, is_running)));
    findings
}

/// `is_running` says whether an agent of this configuration answers.
fn of_an_address(address: SocketAddr, is_running: bool) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) if is_running => {
            return Finding::skipped(
                Subject::Port,
                format!("{address} is free here: the agent runs in another network namespace"),
            );
        }
        Ok(_) => {
            return Finding::fine(Subject::Port, format!("{address} is free: no agent runs"));
        }
        Err(e) => e,
    };
    match error.kind() {
        io::ErrorKind::AddrInUse if is_running => {
            Finding::fine(Subject::Port, format!("the agent answers at {address}"))
        }
        io::ErrorKind::AddrInUse => Finding::error(
            Subject::Port,
            format!("something else listens on {address}, or an agent that does not answer"),
            "`ss -ltnp` shows the process; end it, or choose another port in `listen`",
        ),
        io::ErrorKind::AddrNotAvailable => Finding::error(
            Subject::Port,
            format!("this machine has no address {}", address.ip()),
            "`ip address` lists them; 0.0.0.0 is all of them",
        ),
        io::ErrorKind::PermissionDenied => Finding::error(
            Subject::Port,
            format!("this user may not listen on {address}"),
            "choose a port above 1023, or give the agent CAP_NET_BIND_SERVICE",
        ),
        _ => Finding::error(
            Subject::Port,
            format!("cannot listen on {address}: {error}"),
            "choose another address in `listen`",
        ),
    }
}

fn of_a_socket(socket: &Socket, is_running: bool) -> Finding {
    let path = &socket.path;
    let shown = path.display();
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        let found = format!("the folder of {shown} is missing");
        let remedy = format!("make {}, or mount a volume there", folder.display());
        return Finding::error(Subject::Socket, found, remedy);
    }
    match path.symlink_metadata() {
        Ok(found) if found.is_file() || found.is_dir() || found.is_symlink() => Finding::error(
            Subject::Socket,
            format!("{shown} is there, and is no socket"),
            "move it away, or choose another path in `listen`",
        ),
        Ok(_) if is_running => Finding::fine(Subject::Socket, format!("{shown} is there")),
        Ok(_) => Finding::fine(
            Subject::Socket,
            format!("{shown} is there; an agent takes the place of a stale one"),
        ),
        Err(_) if is_running => Finding::error(
            Subject::Socket,
            format!("the agent runs, and {shown} is missing"),
            "restart the agent: something has removed its socket",
        ),
        Err(_) => Finding::fine(Subject::Socket, format!("{shown} is free: no agent runs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_a_taken_one_and_one_of_another_machine_differ() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        // TEST-NET-1, RFC 5737: no machine has it.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 9001));
        let guard = TcpListener::bind(taken);
        for (address, is_running, expected) in [
            (free, false, "ok port"),
            (free, true, "skipped port"),
            (foreign, false, "error port"),
        ] {
            let found = of_an_address(address, is_running);
            assert_eq!(found.kind(), expected, "{}", found.words());
        }
        drop(guard);
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = held.local_addr().map(|address| (held, address)).unwrap();
        assert_eq!(of_an_address(held.1, true).kind(), "ok port");
        let found = of_an_address(held.1, false);
        assert_eq!(found.kind(), "error port");
        assert!(found.words().contains("ss -ltnp"));
    }

    #[tokio::test]
    async fn a_listener_without_tls_is_a_warning_except_on_the_loopback() {
        for (address, expected) in [("127.0.0.1:0", 0), ("0.0.0.0:0", 1)] {
            let text = format!(
                "cluster: {{ mode: off }}\nlisten: [ {{ address: '{address}', plain: true, \
                 networks: [10.0.0.0/8], policy: read-only }} ]"
            );
            let config = Config::parse("skep.yaml", &text).unwrap();
            let found = check(&config).await;
            let warnings = found.iter().filter(|f| f.kind() == "warning port");
            assert_eq!(warnings.count(), expected, "{address}: {found:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_needs_its_folder_and_no_other_file_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, is_running| {
            let path = folder.path().join(name);
            let text = format!(
                "cluster: {{ mode: off }}\nlisten: [ {{ socket: {}, policy: read-only }} ]",
                path.display()
            );
            let config = Config::parse("skep.yaml", &text).unwrap();
            of_a_socket(&config.sockets[0], is_running).kind()
        };
        assert_eq!(at("none/s", false), "error socket");
        assert_eq!(at("s", false), "ok socket");
        assert_eq!(at("s", true), "error socket");
        let _bound = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert_eq!(at("s", true), "ok socket");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(at("file", false), "error socket");
    }
}
