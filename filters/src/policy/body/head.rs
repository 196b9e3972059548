//! Judges the path and the query of a request.

use super::{Check, demand, host, host_path, image, lookup, namespaces, network, port, security};
use crate::endpoint::{HeadCheck, Match, ObjectIn, ParameterError, query};
use crate::json::quoted;
use crate::policy::request::imports;
use crate::policy::verdict::{Denied, Judged};

/// Judges a request that the rules allow.
pub(crate) fn head(check: &Check<'_>, found: &Match, query: &str) -> Judged {
    match found.endpoint.head {
        // The arguments show environments, which only a policy that redacts them
        // minds.
        // The previous specification is read from a manager, and judged as a body.
        HeadCheck::Nothing | HeadCheck::PsArguments | HeadCheck::Rollback => Ok(()),
        // The container is read from its engine, and judged as a body.
        HeadCheck::EndsContainer => Ok(()),
        HeadCheck::EndsContainers => demand(!check.must.recreatable, "must.recreatable", || {
            "it removes all stopped containers, whatever they are".into()
        }),
        HeadCheck::Port => port::judge(check, query),
        HeadCheck::PullOrImport if imports(query) => {
            let source = query::get(query, "fromSrc").unwrap_or_default();
            remote(check, "fromSrc", source.is_empty() || source == "-")?;
            names_image(check)
        }
        HeadCheck::PullOrImport => pull(check, query),
        HeadCheck::UsesImage => {
            let name = found.object.as_deref().unwrap_or_default();
            image::judge(check, "the image", name)
        }
        HeadCheck::NamesImage | HeadCheck::LoadsImages => names_image(check),
        HeadCheck::Build => build(check, query),
        HeadCheck::BuildKit => check.grant(check.may.buildkit, "may.buildkit", || {
            "BuildKit's own protocol cannot be judged".into()
        }),
        HeadCheck::Plugin => {
            check.grant(check.may.plugins, "may.plugins", || {
                "engine plugins run as root on the host".into()
            })?;
            each(query, "remote", |name| lookup::image(check, name))
        }
        HeadCheck::NetworkName => {
            let name = found.object.as_deref().unwrap_or_default();
            namespaces::named_network(check, "the network", name)
        }
        HeadCheck::NetworkRemoval => {
            network::remove(check, found.object.as_deref().unwrap_or_default())
        }
        HeadCheck::LookUp(ObjectIn::Query(parameter)) => {
            each(query, parameter, |name| lookup::image(check, name))
        }
        HeadCheck::LookUp(_) => lookup::image(check, found.object.as_deref().unwrap_or_default()),
        HeadCheck::Search => each(query, "term", |term| lookup::search(check, term)),
        HeadCheck::CheckpointDir(parameter) => {
            each(query, "checkpoint", |name| checkpoint_name(check, name))?;
            each(query, parameter, |dir| checkpoint_dir(check, dir))
        }
    }
}

/// The folder of checkpoints is a path of the host, and root writes it.
pub(super) fn checkpoint_dir(check: &Check<'_>, dir: &str) -> Judged {
    if dir.is_empty() {
        return Ok(());
    }
    host_path::bind(check, "a checkpoint", dir, true)
}

/// The name of a checkpoint is that of a folder below the directory: `../x` is another.
pub(super) fn checkpoint_name(check: &Check<'_>, name: &str) -> Judged {
    let leaves = name == ".." || name.contains(['/', '\\']);
    check.grant(!leaves, "may.everything", || {
        format!("{} is not the name of a checkpoint", quoted(name))
    })
}

fn pull(check: &Check<'_>, query: &str) -> Judged {
    let image = query::get(query, "fromImage").unwrap_or_default();
    let tag = query::get(query, "tag").unwrap_or_default();
    let name = image.strip_suffix(':').unwrap_or(&image);
    // Podman reads images from paths of the host: `oci-archive:/srv/x`.
    remote(check, "fromImage", !name.contains(":/"))?;
    // Engines then pull every tag of the repository.
    if tag.is_empty() && image::is_bare(name) {
        return image::all_tags(check, "the image", name);
    }
    // The "tag" may be a digest (moby `postImagesCreate`).
    let whole = match tag.as_ref() {
        "" => name.to_owned(),
        tag if tag.contains(':') => format!("{name}@{tag}"),
        tag => format!("{name}:{tag}"),
    };
    image::judge(check, "the image", &whole)
}

/// A caller that names images can give an allowed name to any content.
fn names_image(check: &Check<'_>) -> Judged {
    let demanded = !check.must.images.is_empty();
    check.grant(
        !demanded || check.may.name_images,
        "may.name_images",
        || "the request names an image, and this policy allows images by name".into(),
    )
}

fn build(check: &Check<'_>, query: &str) -> Judged {
    names_image(check)?;
    // `FROM` and `# syntax=` are in the build context, which is not read.
    demand(!check.must.digest, "must.digest", || {
        "the base images of a build cannot be checked".into()
    })?;
    each(query, "remote", |url| {
        remote(check, "remote", url.is_empty())?;
        is_url(check, "remote", url)
    })?;
    each(query, "dockerfile", |files| dockerfile(check, files))?;
    each(query, "networkmode", |mode| {
        namespaces::joined(check, "networkmode", mode)?;
        namespaces::named_network(check, "networkmode", mode)
    })?;
    each(query, "cgroupparent", |parent| {
        host::cgroup_parent(check, parent)
    })?;
    each(query, "securityopt", |list| security_options(check, list))?;
    each(query, "isolation", |mode| isolation(check, mode))?;
    each(query, "outputs", |list| {
        // Podman writes them too, and to paths of the host.
        let is_none = matches!(list.trim(), "" | "[]" | "null");
        check.grant(is_none || check.may.buildkit, "may.buildkit", || {
            "only BuildKit reads outputs".into()
        })
    })?;
    each(query, "version", |version| {
        let is_buildkit = !matches!(version, "" | "1");
        check.grant(!is_buildkit || check.may.buildkit, "may.buildkit", || {
            "a build with BuildKit".into()
        })
    })
}

/// Podman takes anything else for a path of the host.
fn is_url(check: &Check<'_>, parameter: &'static str, value: &str) -> Judged {
    let is_url = value.contains("://")
        || ["git@", "github.com/", "client-session"]
            .iter()
            .any(|known| value.starts_with(known));
    match value.is_empty() || is_url || check.may.everything {
        true => Ok(()),
        false => Err(ParameterError::value(parameter, value).into()),
    }
}

/// A file of the context. Podman takes a list too, fetches what is a URL, and leaves the
/// context by `..`.
fn dockerfile(check: &Check<'_>, files: &str) -> Judged {
    let is_end = |c: char| matches!(c, '/' | '\\' | '"' | ',' | '[' | ']') || c.is_whitespace();
    if files.split(is_end).any(|part| part == "..") && !check.may.everything {
        return Err(ParameterError::value("dockerfile", files).into());
    }
    remote(check, "dockerfile", !files.contains("://"))
}

/// moby has other modes on Windows only. Podman has some that share the host's
/// namespaces.
fn isolation(check: &Check<'_>, mode: &str) -> Judged {
    let is_default = mode.is_empty() || mode.eq_ignore_ascii_case("default");
    if is_default || check.may.everything {
        return Ok(());
    }
    Err(ParameterError::value("isolation", mode).into())
}

fn security_options(check: &Check<'_>, list: &str) -> Judged {
    if list.is_empty() {
        return Ok(());
    }
    let options: Option<Vec<String>> = serde_json::from_str(list)
        .map_err(|_| Denied::shape("securityopt is not a list of strings".into()))?;
    let options = options.unwrap_or_default();
    options
        .iter()
        .try_for_each(|option| security::option(check, option))
}

fn remote(check: &Check<'_>, parameter: &str, is_none: bool) -> Judged {
    check.grant(is_none || check.may.remote, "may.remote", || {
        format!("{parameter} makes the engine fetch a URL")
    })
}

/// The engine takes the first value. To judge all of them is safer.
fn each(query: &str, name: &str, judge: impl Fn(&str) -> Judged) -> Judged {
    query::all(query, name).try_for_each(|value| judge(&value))
}
