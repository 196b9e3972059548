//! Runs `skep connect`, the real program.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use skep_bed::{Client, eventually};

use super::{TestCluster, generation};

/// A running `skep connect`.
pub(crate) struct Connect {
    pub(crate) client: Client,
    child: Child,
}

impl Drop for Connect {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Connect {
    /// Starts it with these credentials, in which `FOLDER` is the cluster's folder,
    /// and these agents.
    pub(crate) async fn start(bed: &TestCluster, key: &[&str], to: &[SocketAddr]) -> Self {
        let folder = bed.folder();
        let socket = folder.join("connect.sock");
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, generation().ca_pem()).expect("a CA");
        let to: Vec<_> = to.iter().map(|agent| format!("https://{agent}")).collect();
        let named = folder.display().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .arg("connect")
            .args(["--to", &to.join(",")])
            .args(key.iter().map(|word| word.replace("FOLDER", &named)))
            .arg("--ca")
            .arg(&ca)
            .args(["--listen", &format!("unix://{}", socket.display())])
            .stderr(Stdio::null())
            .spawn()
            .expect("skep connect starts");
        let listens = eventually(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        assert!(listens.await, "skep connect does not listen");
        Self {
            client: Client::unix(&socket),
            child,
        }
    }
}
