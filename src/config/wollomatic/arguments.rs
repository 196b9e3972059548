//! Reads the command line of wollomatic's socket-proxy, as its compose examples have it,
//! into its variables: `-listenip=0.0.0.0 -allowGET=/_ping`.

use super::VariableError;

/// Parameters without a value.
const FLAGS: [&str; 3] = ["allowhealthcheck", "logjson", "stoponwatchdog"];

/// Parameters with one.
const VALUES: [&str; 11] = [
    "allowbindmountfrom",
    "allowfrom",
    "listenip",
    "loglevel",
    "proxycontainername",
    "proxyport",
    "proxysocketendpoint",
    "proxysocketendpointfilemode",
    "shutdowngracetime",
    "socketpath",
    "watchdoginterval",
];

/// The start of a parameter for one method.
const ALLOW: &str = "allow";

/// The variables that these arguments stand for; `None` if they are not those of that
/// program.
///
/// # Errors
/// The first argument that the program does not have, or that lacks its value.
pub fn variables<S: AsRef<str>>(
    arguments: &[S],
) -> Option<Result<Vec<(String, String)>, VariableError>> {
    let mut arguments = arguments.iter().map(AsRef::as_ref).peekable();
    let first = arguments.peek()?;
    name(first).filter(|name| is_known(name))?;
    Some(read(arguments))
}

fn read<'a>(
    mut arguments: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, String)>, VariableError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    while let Some(argument) = arguments.next() {
        let known = name(argument).filter(|name| is_known(name));
        let Some(name) = known else {
            return Err(VariableError::new(
                argument,
                "there is no such argument here",
            ));
        };
        let value = match argument.split_once('=') {
            Some((_, value)) => value,
            None if FLAGS.contains(&name) => "true",
            None => arguments
                .next()
                .ok_or_else(|| VariableError::new(argument, "this needs a value"))?,
        };
        let variable = variable(name);
        let number = variables.iter();
        let number = number.filter(|(own, _)| is_one_of(own, &variable)).count();
        let variable = match number {
            0 => variable,
            // As with its variables: SP_ALLOW_GET, SP_ALLOW_GET_2.
            n => format!("{variable}_{}", n + 1),
        };
        variables.push((variable, value.to_owned()));
    }
    Ok(variables)
}

/// Whether this is the variable, or a further one of it: `SP_ALLOW_GET_2` of
/// `SP_ALLOW_GET`.
pub fn is_one_of(name: &str, variable: &str) -> bool {
    let rest = name.strip_prefix(variable);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Go takes one dash or two.
fn name(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    name.split('=').next()
}

fn is_known(name: &str) -> bool {
    VALUES.contains(&name) || FLAGS.contains(&name) || method(name).is_some()
}

/// The method of `allowGET`.
fn method(name: &str) -> Option<&str> {
    let method = name.strip_prefix(ALLOW)?;
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    is_method.then_some(method)
}

fn variable(name: &str) -> String {
    match method(name) {
        Some(method) => format!("SP_ALLOW_{method}"),
        None => format!("SP_{}", name.to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Result<Vec<(String, String)>, VariableError>> {
        variables(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn the_arguments_of_its_examples_become_its_variables() {
        for (line, expected) in [
            ("-loglevel=info", "SP_LOGLEVEL=info"),
            (
                "-proxysocketendpointfilemode=0660 -proxysocketendpoint=/tmp/a.sock",
                "SP_PROXYSOCKETENDPOINTFILEMODE=0660 SP_PROXYSOCKETENDPOINT=/tmp/a.sock",
            ),
            (
                "--loglevel debug -logjson",
                "SP_LOGLEVEL=debug SP_LOGJSON=true",
            ),
            ("-stoponwatchdog=false", "SP_STOPONWATCHDOG=false"),
            ("-allowfrom=traefik,dozzle", "SP_ALLOWFROM=traefik,dozzle"),
            (
                r"-allowGET=/v1\..{2}/(containers/.*|events)|/_ping -allowHEAD=/_ping",
                r"SP_ALLOW_GET=/v1\..{2}/(containers/.*|events)|/_ping SP_ALLOW_HEAD=/_ping",
            ),
            (
                "-allowGET=/version -allowGET /_ping -allowPOST=a=b",
                "SP_ALLOW_GET=/version SP_ALLOW_GET_2=/_ping SP_ALLOW_POST=a=b",
            ),
            (
                "-watchdoginterval=300 -proxysocketendpoint=/tmp/a.sock -allowbindmountfrom=/tmp",
                "SP_WATCHDOGINTERVAL=300 SP_PROXYSOCKETENDPOINT=/tmp/a.sock SP_ALLOWBINDMOUNTFROM=/tmp",
            ),
        ] {
            let found = read(line).unwrap().unwrap();
            let found = found.iter().map(|(name, value)| format!("{name}={value}"));
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{line}");
        }
    }

    #[test]
    fn an_argument_that_it_does_not_have_is_named() {
        for (line, named) in [
            ("-loglevel=info -verbose", "-verbose"),
            ("-loglevel=info serve", "serve"),
            ("-logjson -listenip", "-listenip"),
        ] {
            let error = read(line).unwrap().unwrap_err();
            assert_eq!(error.variable, named, "{line}");
        }
    }

    #[test]
    fn other_command_lines_are_not_read() {
        for line in [
            "",
            "serve",
            "serve --config a",
            "--help",
            "-h",
            "--version",
            "-V",
            "--allow",
            "-allowget=a",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
