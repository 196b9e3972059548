//! `skep man`: prints the manual page of skep, or writes a page for each command.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::Cli;

/// Where to write the pages.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Folder for the pages of all commands; without it, skep's own page is printed
    pub(crate) folder: Option<PathBuf>,
}

/// Returns the page of skep itself, or writes all pages into the folder.
///
/// # Errors
/// The folder cannot be written to.
pub fn run(args: &ManArgs) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    match &args.folder {
        Some(folder) => {
            let cannot = || format!("cannot write to {}", folder.display());
            std::fs::create_dir_all(folder).with_context(cannot)?;
            clap_mangen::generate_to(Cli::command(), folder).with_context(cannot)?;
        }
        None => clap_mangen::Man::new(Cli::command()).render(&mut page)?,
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of the pages of a command and of those below it.
    fn pages(command: &clap::Command, name: &str) -> BTreeSet<String> {
        let shown = command.get_subcommands().filter(|c| !c.is_hide_set());
        let below = shown.flat_map(|c| pages(c, &format!("{name}-{}", c.get_name())));
        below.chain([format!("{name}.1")]).collect()
    }

    #[test]
    fn every_command_has_a_page_with_its_help_and_its_example() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("man1");
        let args = ManArgs {
            folder: Some(folder.clone()),
        };
        assert!(run(&args).unwrap().is_empty());
        let files = std::fs::read_dir(&folder).unwrap().flatten();
        let files: BTreeSet<_> = files
            .map(|file| file.file_name().into_string().unwrap())
            .collect();
        let expected = pages(&Cli::command(), "skep");
        assert_eq!(files, expected);
        assert!(expected.contains("skep-cert-issue.1") && !expected.contains("skep-relay.1"));
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let Ok(page) = std::fs::read_to_string(folder.join(format!("skep-{name}.1"))) else {
                assert!(command.is_hide_set(), "{name}");
                continue;
            };
            for part in [".SH NAME", ".SH SYNOPSIS", "Example:"] {
                assert!(page.contains(part), "{name}: {part}\n{page}");
            }
        }
    }

    #[test]
    fn without_a_folder_the_page_lists_the_commands() {
        let page = run(&ManArgs { folder: None }).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".TH skep 1"), "{page}");
        for command in ["connect", "nodes", "serve"] {
            assert!(page.contains(&format!("skep\\-{command}(1)")), "{page}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = file.path().join("man1");
        let error = run(&ManArgs {
            folder: Some(folder.clone()),
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(folder.to_str().unwrap()), "{error}");
    }
}
