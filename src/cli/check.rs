//! `skep check`: checks configuration files. It does not open the files that
//! they name, since it rarely runs on the machine that will use them.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::config::{Certificates, ClusterMode, Config, Portainer};

/// The files to check.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Writes a line to `out` for each valid file, and all errors of the others to
/// `err`. Returns whether all files are valid.
///
/// # Errors
/// `out` or `err` cannot be written to.
pub fn run(files: &[PathBuf], out: &mut impl Write, err: &mut impl Write) -> io::Result<bool> {
    let mut valid = true;
    for file in files {
        match Config::load(Some(file)) {
            Ok(config) => writeln!(out, "{}: fine: {}", file.display(), summary(&config))?,
            Err(errors) => {
                valid = false;
                writeln!(err, "{errors}\n")?;
            }
        }
    }
    Ok(valid)
}

fn summary(config: &Config) -> String {
    let addresses = config.listen.iter().map(|l| l.address.to_string());
    let sockets = config.sockets.iter();
    let sockets = sockets.map(|s| format!("unix://{}", s.path.display()));
    let plain = config.plain.iter();
    let plain = plain.map(|p| format!("{} without TLS", p.address));
    let listen: Vec<_> = addresses.chain(plain).chain(sockets).collect();
    format!(
        "listens on {}, engine {}, cluster {}, {}{}{}",
        listen.join(" and "),
        config.engine,
        mode(config.cluster.mode),
        keys(config.auth.keys.len()),
        certificates(config.auth.certificates.as_ref()),
        portainer(config.auth.portainer.as_ref()),
    )
}

fn mode(mode: ClusterMode) -> &'static str {
    match mode {
        ClusterMode::Auto => "auto",
        ClusterMode::Off => "off",
        ClusterMode::On => "on",
    }
}

fn portainer(portainer: Option<&Portainer>) -> &'static str {
    match portainer {
        None => "",
        Some(p) if p.public_key_file.is_some() => ", one Portainer server",
        Some(p) if p.first_use => ", the first Portainer server",
        Some(_) => ", Portainer servers",
    }
}

fn certificates(certificates: Option<&Certificates>) -> String {
    match certificates.map_or(0, |c| c.identities.len()) {
        0 => String::new(),
        1 => ", 1 certificate".to_owned(),
        count => format!(", {count} certificates"),
    }
}

fn keys(count: usize) -> String {
    match count {
        0 => "no keys".to_owned(),
        1 => "1 key".to_owned(),
        _ => format!("{count} keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str]) -> (bool, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..texts.len())
            .map(|i| folder.path().join(format!("{i}.yaml")))
            .collect();
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(file, text).unwrap();
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let valid = run(&files, &mut out, &mut err).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (valid, text(out), text(err))
    }

    #[test]
    fn a_valid_file_gets_one_line() {
        let (valid, out, err) = check(&["threads: 2"]);
        assert!(valid);
        assert!(err.is_empty());
        assert!(
            out.ends_with("0.yaml: fine: listens on 0.0.0.0:9001, engine unix:///var/run/docker.sock, cluster auto, no keys\n"),
            "{out}"
        );
    }

    #[test]
    fn the_accepted_portainer_servers_are_named() {
        for (proof, expected) in [
            ("secret_file: f", ", Portainer servers"),
            ("public_key_file: f", ", one Portainer server"),
            ("first_use: true", ", the first Portainer server"),
        ] {
            let text = format!("auth: {{ portainer: {{ policy: admin, {proof} }} }}");
            let (_, out, _) = check(&[&text]);
            assert!(
                out.trim_end().ends_with(&format!("no keys{expected}")),
                "{out}"
            );
        }
    }

    #[test]
    fn sockets_are_listed_after_addresses() {
        let (_, out, err) = check(&["listen: [ {}, { socket: /run/s, policy: admin } ]"]);
        assert!(
            out.contains("listens on 0.0.0.0:9001 and unix:///run/s,"),
            "{out}{err}"
        );
    }

    #[test]
    fn the_accepted_certificates_are_counted() {
        let one = "{ name: a, policy: admin }";
        for (list, expected) in [
            ("", "no keys"),
            (one, "no keys, 1 certificate"),
            (
                &format!("{one}, {{ name: b, policy: admin }}"),
                "no keys, 2 certificates",
            ),
        ] {
            let text = format!("auth: {{ certificates: {{ identities: [ {list} ] }} }}");
            let (_, out, _) = check(&[&text]);
            assert!(out.trim_end().ends_with(expected), "{out}");
        }
    }

    #[test]
    fn all_errors_of_all_files_are_listed() {
        let (valid, out, err) = check(&["threads: 0\ndrain: 1", "", "log: { level: loud }"]);
        assert!(!valid);
        assert_eq!(out.lines().count(), 1);
        for fault in [
            "0.yaml:1:10: threads",
            "0.yaml:2:8: drain",
            "2.yaml:1:15: log.level",
        ] {
            assert!(err.contains(fault), "{err}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let valid = run(&["/nowhere/skep.yaml".into()], &mut out, &mut err).unwrap();
        assert!(!valid && out.is_empty() && !err.is_empty());
    }
}
