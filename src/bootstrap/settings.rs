//! Writes the configuration of the agents.

use super::BootstrapError;
use super::address::HostName;
use crate::config::Config;

/// Where agents find the operator's public key.
pub(super) const OPERATOR_FILE: &str = "/etc/skep/operator.pub";

/// Where agents find their configuration.
pub(super) const CONFIG_FILE: &str = "/etc/skep/skep.yaml";

/// The name of the secret's file, whatever the secret is called in the Swarm.
pub(super) const SECRET_FILE: &str = "skep_secret";

/// The configuration: the operator has a key of their own, and a certificate for the
/// docker CLI.
///
/// # Errors
/// It would not be valid.
pub(super) fn write(
    identity: &str,
    certificate_name: Option<&HostName>,
) -> Result<String, BootstrapError> {
    let names = match certificate_name {
        Some(name) => format!("    tls: {{ names: [\"{name}\"] }}\n"),
        None => String::new(),
    };
    let text = format!(
        "# Made by `skep bootstrap`.\n\
         listen:\n\
         \x20 - address: 0.0.0.0:9001\n\
         {names}\
         cluster:\n\
         \x20 secret_file: /run/secrets/{SECRET_FILE}\n\
         \x20 operator_key_file: {OPERATOR_FILE}\n\
         auth:\n\
         \x20 certificates:\n\
         \x20   identities:\n\
         \x20     - {{ name: \"{identity}\", policy: admin }}\n"
    );
    Config::parse("skep.yaml", &text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Operator;

    #[test]
    fn the_configuration_is_one_that_agents_accept() {
        let host: HostName = "docker.example.com".parse().unwrap();
        for (name, names) in [(None, 0), (Some(&host), 1)] {
            let text = write("operator", name).unwrap();
            let config = Config::parse("skep.yaml", &text).unwrap();
            assert_eq!(config.listen[0].tls.names.len(), names, "{text}");
            assert_eq!(config.listen[0].address.port(), 9001);
            let certificates = config.auth.certificates.as_ref().unwrap();
            assert_eq!(certificates.identities[0].name, "operator");
            assert!(matches!(config.cluster.operator, Operator::Key(_)));
        }
    }

    #[test]
    fn a_name_that_agents_would_refuse_is_refused_before_anything_is_made() {
        assert!(write("not a name", None).is_err());
    }
}
