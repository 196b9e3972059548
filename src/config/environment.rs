//! The environment variables of Tecnativa's docker-socket-proxy, so that it can be
//! replaced: `CONTAINERS=1 POST=0 …`.
//!
//! They are read where there is no configuration file. What they allow is had at
//! a socket: that program's own way, plain TCP for whoever reaches it, is not
//! offered.

use std::path::PathBuf;

use skep_filters::policy::{RuleSet, environment};

use super::{Config, Grant, Policy, Socket, SocketIdentity, portainer_env::TAKEN};

/// The folder of the socket.
pub const FOLDER: &str = "/run/skep";

/// Where the socket is, for a volume to be shared with those who use it.
pub const SOCKET: &str = "/run/skep/docker.sock";

/// Adds the socket, if one of the variables is set. Sentences for the log: where
/// it is, and which variables have no effect.
pub fn add<'e>(
    config: &mut Config,
    variables: impl IntoIterator<Item = (&'e str, &'e str)> + Clone,
) -> Vec<String> {
    if !environment::is_meant(variables.clone()) {
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
        "{SOCKET} serves what the environment's variables allow; `skep policy --from-env` prints that as a \
         configuration"
    )];
    let ignored = read.ignored.iter();
    // Also a variable of Portainer's agent, which is taken.
    let ignored = ignored.filter(|one| !TAKEN.contains(&one.name.as_str()));
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
