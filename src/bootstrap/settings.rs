//! Writes the configuration of the agents.

use serde_json::json;

use super::BootstrapError;
use super::address::HostName;
use super::options::Options;
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
    options: &Options,
    certificate_name: Option<&HostName>,
) -> Result<String, BootstrapError> {
    let names = match certificate_name {
        Some(name) => format!("    tls: {{ names: [\"{name}\"] }}\n"),
        None => String::new(),
    };
    // A text of JSON is one of YAML.
    let contact = match &options.contact {
        Some(contact) => format!("\x20 contact: {}\n", json!(contact)),
        None => String::new(),
    };
    let identity = &options.identity;
    let text = format!(
        "# Made by `skep bootstrap`.\n\
         listen:\n\
         \x20 - address: 0.0.0.0:9001\n\
         {names}\
         cluster:\n\
         \x20 secret_file: /run/secrets/{SECRET_FILE}\n\
         \x20 operator_key_file: {OPERATOR_FILE}\n\
         auth:\n\
         {contact}\
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

    fn options(identity: &str, contact: Option<&str>) -> Options {
        Options {
            name: "skep".parse().unwrap(),
            image: None,
            port: None,
            address: None,
            identity: identity.to_owned(),
            contact: contact.map(str::to_owned),
            key_file: None,
            secret_file: None,
            with_registry_auth: false,
            patience: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn the_configuration_is_one_that_agents_accept() {
        let host: HostName = "docker.example.com".parse().unwrap();
        let contact = "the \"platform\" team: #ops";
        for (name, names) in [(None, 0), (Some(&host), 1)] {
            let text = write(&options("operator", Some(contact)), name).unwrap();
            let config = Config::parse("skep.yaml", &text).unwrap();
            assert_eq!(config.listen[0].tls.names.len(), names, "{text}");
            assert_eq!(config.listen[0].address.port(), 9001);
            let certificates = config.auth.certificates.as_ref().unwrap();
            assert_eq!(certificates.identities[0].name, "operator");
            assert_eq!(config.auth.contact.as_deref(), Some(contact));
            assert!(matches!(config.cluster.operator, Operator::Key(_)));
        }
    }

    #[test]
    fn a_text_that_agents_would_refuse_is_refused_before_anything_is_made() {
        assert!(write(&options("not a name", None), None).is_err());
        assert!(write(&options("operator", Some("")), None).is_err());
    }
}
