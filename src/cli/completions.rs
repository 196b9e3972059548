//! `skep completions`: prints the file by which a shell completes the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// The shell to print for.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell that reads the file
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Returns the file.
pub fn run(args: &CompletionsArgs) -> Vec<u8> {
    let mut file = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut file);
    file
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_file_of_every_shell_names_every_command() {
        for shell in Shell::value_variants() {
            let file = run(&CompletionsArgs { shell: *shell });
            let file = String::from_utf8(file).unwrap();
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(file.contains(name), "{shell}: {name}");
                let below = command.get_subcommands();
                for name in below.map(clap::Command::get_name) {
                    assert!(file.contains(name), "{shell}: {name}");
                }
            }
            assert!(file.contains("secret-file"), "{shell}");
        }
    }
}
