//! `skep policy`: prints a policy as YAML, to read and to build on: a preset, or the
//! one that the variables of another socket proxy stand for (Tecnativa's,
//! LinuxServer's or wollomatic's). Its commands are for those of the list of people.

mod lines;
mod people;

use anyhow::Context;
use clap::Args;
use skep_filters::policy::{Spec, environment, presets};

use crate::config::wollomatic;

pub use people::{PolicyCommand, run as run_people};

/// The policy to print, or a command for the policies of the list of people.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[group(required = true, multiple = false)]
pub struct PolicyArgs {
    /// The command.
    #[command(subcommand)]
    pub command: Option<PolicyCommand>,
    /// Name of a preset
    pub preset: Option<String>,
    /// Read CONTAINERS, POST and so on, or SP_ALLOW_GET and so on, from the environment
    #[arg(long)]
    pub(crate) from_env: bool,
}

/// The policy, for a terminal. Comments name the variables without effect.
///
/// # Errors
/// There is no preset of that name, or a variable has no meaning here.
pub fn run(args: &PolicyArgs) -> anyhow::Result<String> {
    match &args.preset {
        Some(name) => {
            let names = || presets::names().collect::<Vec<_>>().join(", ");
            let spec = presets::preset(name).with_context(|| {
                format!("there is no preset {name:?}; the presets are {}", names())
            })?;
            Ok(format!("policies:\n{}", printed(name, &spec)))
        }
        None => {
            let variables: Vec<_> = std::env::vars().collect();
            let pairs: Vec<_> = variables
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            from_env(&pairs)
        }
    }
}

/// The policy of the variables of one program, or of each of two.
fn from_env(variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let variables = || variables.iter().copied();
    let mut notes = String::new();
    let mut policies = String::new();
    let others = wollomatic::policy(variables())?;
    if others.is_none() || environment::is_configured(variables()) {
        let read = environment::from_environment(variables());
        for one in &read.ignored {
            notes.push_str(&format!("# {}: {}\n", one.name, one.why));
        }
        policies.push_str(&printed("environment", &read.policy));
    }
    if let Some((spec, own)) = others {
        let name = match policies.is_empty() {
            true => "environment",
            false => "environment-sp",
        };
        for note in &own {
            notes.push_str(&format!("# {note}\n"));
        }
        policies.push_str(&printed(name, &spec));
    }
    Ok(format!("{notes}policies:\n{policies}"))
}

fn printed(name: &str, spec: &Spec) -> String {
    format!("  my-{name}:\n{}", spec.to_yaml(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_preset_is_printed_as_a_valid_configuration() {
        for name in presets::names() {
            let args = PolicyArgs {
                command: None,
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
            command: None,
            preset: None,
            from_env: true,
        };
        let yaml = run(&args).unwrap();
        Config::parse("environment", &yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        assert!(yaml.contains("my-environment"));
    }

    #[test]
    fn the_variables_of_each_program_are_printed_as_a_valid_configuration() {
        const SP: [(&str, &str); 4] = [
            (
                "SP_ALLOW_GET",
                r"/v1\..{1,2}/(version|containers/.*|events.*)",
            ),
            ("SP_ALLOWBINDMOUNTFROM", "/srv"),
            ("SP_WATCHDOGINTERVAL", "60"),
            ("HOME", "/"),
        ];
        for (variables, expected, notes) in [
            (
                &[("CONTAINERS", "1"), ("TZ", "UTC")][..],
                vec!["my-environment"],
                1,
            ),
            (&SP[..], vec!["my-environment"], 1),
            (
                &[SP[0], ("POST", "1")],
                vec!["my-environment", "my-environment-sp"],
                0,
            ),
            (&[("HOME", "/")], vec!["my-environment"], 0),
        ] {
            let yaml = from_env(variables).unwrap();
            let config = Config::parse("environment", &yaml);
            config.unwrap_or_else(|e| panic!("{e}\n{yaml}"));
            let names = yaml.lines().filter_map(|line| line.strip_prefix("  my-"));
            let names: Vec<_> = names
                .map(|name| format!("my-{}", name.trim_end_matches(':')))
                .collect();
            assert_eq!(names, expected, "{yaml}");
            let found = yaml.lines().filter(|line| line.starts_with("# ")).count();
            assert_eq!(found, notes, "{yaml}");
        }
        let yaml = from_env(&SP).unwrap();
        for part in ["events", "GET /containers/json", "/srv"] {
            assert!(yaml.contains(part), "{part}: {yaml}");
        }
        let error = from_env(&[("SP_ALLOW_GET", "(")]).unwrap_err();
        assert!(error.to_string().starts_with("SP_ALLOW_GET: "), "{error}");
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_known_ones() {
        let args = PolicyArgs {
            command: None,
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
