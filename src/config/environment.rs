//! Reads the environment variables of Tecnativa's docker-socket-proxy, to replace
//! it: `CONTAINERS=1 POST=0 …`.
//!
//! They have no effect if there is a configuration file. Their policy applies at
//! a socket; unlike that program, skep opens no unauthenticated TCP port.

use std::path::PathBuf;

use skep_filters::policy::{RuleSet, environment};

use super::grant::Grant;
use super::policies::Policy;
use super::portainer_env::SUPPORTED;
use super::settings::Config;
use super::sockets::{Socket, SocketIdentity};

/// The folder of the socket.
pub const FOLDER: &str = "/run/skep";

/// The path of the socket, in a folder that a volume can share.
pub const SOCKET: &str = "/run/skep/docker.sock";

/// Adds the socket, if one of the variables is set. Returns notes for the log:
/// the path, and the variables without effect.
pub fn add<'e>(
    config: &mut Config,
    variables: impl IntoIterator<Item = (&'e str, &'e str)> + Clone,
) -> Vec<String> {
    if !environment::is_configured(variables.clone()) {
        return Vec::new();
    }
    let read = environment::from_environment(variables);
    let rules = match RuleSet::new(&read.policy) {
        Ok(rules) => rules,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    let name = "environment".to_owned();
    let grant = Grant::of(Policy {
        name: name.clone(),
        rules,
    });
    config.sockets.push(Socket {
        path: PathBuf::from(SOCKET),
        owner: None,
        group: None,
        mode: 0o660,
        users: Vec::new(),
        others: Some(SocketIdentity { name, grant }),
    });
    let mut notes = vec![format!(
        "{SOCKET} serves the requests that the environment variables allow; `skep policy --from-env` prints \
         their policy"
    )];
    let ignored = read.ignored.iter();
    // A variable of Portainer's agent of the same name has an effect.
    let ignored = ignored.filter(|one| !SUPPORTED.contains(&one.name.as_str()));
    notes.extend(ignored.map(|one| format!("{} has no effect: {}", one.name, one.why)));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_become_a_socket_with_their_policy() {
        let mut config = Config::default();
        let notes = add(
            &mut config,
            [
                ("CONTAINERS", "1"),
                ("LOG_LEVEL", "info"),
                ("TZ", "UTC"),
                ("HOME", "/"),
            ],
        );
        let [socket] = &config.sockets[..] else {
            panic!("{:?}", config.sockets);
        };
        assert_eq!(socket.who(0).unwrap().name, "environment");
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[1].starts_with("TZ has no effect"), "{notes:?}");
        let rules = &socket.others.as_ref().unwrap().grant.policy.rules;
        let read = environment::from_environment([("CONTAINERS", "1")]);
        assert_eq!(rules, &RuleSet::new(&read.policy).unwrap());
    }

    #[test]
    fn variables_of_other_programs_change_nothing() {
        let mut config = Config::default();
        assert!(
            add(
                &mut config,
                [("HOME", "/root"), ("LOG_LEVEL", "info"), ("TZ", "UTC")]
            )
            .is_empty()
        );
        assert_eq!(config, Config::default());
    }
}
