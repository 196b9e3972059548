//! `skep policy`: prints a policy as YAML, to be read and built upon: a preset, or
//! what the variables of Tecnativa's docker-socket-proxy mean.

use skep_filters::policy::{environment, presets};

use super::PolicyArgs;

/// The policy, for a terminal. What has no effect is told in comments.
///
/// # Errors
/// If there is no preset of that name.
pub fn run(args: &PolicyArgs) -> anyhow::Result<String> {
    let (name, spec, notes) = match &args.preset {
        Some(name) => {
            let names = || presets::names().collect::<Vec<_>>().join(", ");
            let missing = || anyhow::anyhow!("there is no preset {name:?}; there is {}", names());
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
    fn every_preset_is_printed_as_a_configuration_that_is_taken() {
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
    fn what_the_environment_means_is_printed_as_one_too() {
        let args = PolicyArgs {
            preset: None,
            from_env: true,
        };
        let yaml = run(&args).unwrap();
        Config::parse("environment", &yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        assert!(yaml.contains("my-environment"));
    }

    #[test]
    fn a_preset_that_is_none_is_told_with_those_there_are() {
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
