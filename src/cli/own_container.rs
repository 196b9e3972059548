//! Keeps the cluster's secret out of commands in the agent's own container: who
//! may run a command there would otherwise sign as the operator.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::bail;

/// The command line of the first process of this container.
const FIRST: &str = "/proc/1/cmdline";

/// Files that engines put into every container.
const MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Refuses to use the cluster's secret where the agent runs.
///
/// # Errors
/// This is the container of an agent: its first process is `skep serve`, perhaps
/// below the engine's init.
pub(super) fn refuse_secret() -> anyhow::Result<()> {
    if !MARKS.iter().any(|mark| Path::new(mark).exists()) {
        return Ok(());
    }
    let (Ok(first), Ok(own)) = (std::fs::read(FIRST), std::env::current_exe()) else {
        return Ok(());
    };
    if own.file_name().is_some_and(|own| serves(&first, own)) {
        bail!(
            "this is the agent's own container, where the cluster's secret is not used to sign: \
             run the command on your own machine, or with a key (--key-id and --key-file)"
        );
    }
    Ok(())
}

/// Whether a command line runs this program as an agent.
fn serves(command: &[u8], program: &OsStr) -> bool {
    let words: Vec<_> = command
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    words
        .windows(2)
        .any(|pair| Path::new(pair[0].as_ref()).file_name() == Some(program) && pair[1] == "serve")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_known_by_its_command_line() {
        for (command, expected) in [
            ("/skep\0serve\0", true),
            ("skep\0serve\0--config\0/etc/skep/skep.yaml\0", true),
            ("/sbin/docker-init\0--\0/skep\0serve\0", true),
            ("/skep\0connect\0--to\0https://a\0", false),
            ("/bin/sh\0-c\0skep serve\0", false),
            ("/usr/bin/other\0serve\0", false),
            ("", false),
        ] {
            let known = serves(command.as_bytes(), OsStr::new("skep"));
            assert_eq!(known, expected, "{command:?}");
        }
    }
}
