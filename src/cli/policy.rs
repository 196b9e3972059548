//! `skep policy`: prints a policy as YAML, to read and to build on: a preset,
//! or the one that the variables of Tecnativa's docker-socket-proxy stand for.

use clap::Args;
use skep_filters::policy::{environment, presets};

/// The policy to print.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct PolicyArgs {
    /// Name of a preset
    pub preset: Option<String>,
    /// Read CONTAINERS, POST and so on from the environment
    #[arg(long)]
    pub(crate) from_env: bool,
}

/// The policy, for a terminal. Comments name the variables without effect.
///
/// # Errors
/// There is no preset of that name.
pub fn run(args: &PolicyArgs) -> anyhow::Result<String> {
    let (name, spec, notes) = match &args.preset {
        Some(name) => {
            let names = || presets::names().collect::<Vec<_>>().join(", ");
            let missing =
                || anyhow::anyhow!("there is no preset {name:?}; the presets are {}", names());
            (
                name.as_str(),
                presets::preset(name).ok_or_else(missing)?,
                Vec::new(),
            )
        }
        None => {
            let variables: Vec<_> = std::env::vars().collect();
            let pairs = variables.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let read = environment::from_environment(pairs);
            ("environment", read.policy, read.ignored)
        }
    };
    let notes = notes
        .iter()
        .map(|one| format!("# {}: {}\n", one.name, one.why));
    let notes: String = notes.collect();
    Ok(format!(
        "{notes}policies:\n  my-{name}:\n{}",
        spec.to_yaml(4)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_preset_is_printed_as_a_valid_configuration() {
        for name in presets::names() {
            let args = PolicyArgs {
                preset: Some(name.to_owned()),
                from_env: false,
            };
            let yaml = run(&args).unwrap();
            Config::parse(name, &yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        }
    }

    #[test]
    fn the_environment_is_printed_as_a_valid_configuration() {
        let args = PolicyArgs {
            preset: None,
            from_env: true,
        };
        let yaml = run(&args).unwrap();
        Config::parse("environment", &yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        assert!(yaml.contains("my-environment"));
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_known_ones() {
        let args = PolicyArgs {
            preset: Some("treafik".to_owned()),
            from_env: false,
        };
        assert!(
            run(&args)
                .unwrap_err()
                .to_string()
                .contains("traefik, portainer")
        );
    }
}
