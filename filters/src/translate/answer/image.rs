//! Gives images the fields of the version that the client knows.

use super::{Dropped, Translation};
use crate::endpoint::ApiVersion;
use crate::json::{Edit, Elements, Members, spliced};

/// From this version on, an image without names has empty lists of names.
const NO_NONE: ApiVersion = ApiVersion::new(1, 43);

/// From this version on, images have no `VirtualSize`, which was the same as `Size`.
const NO_VIRTUAL_SIZE: ApiVersion = ApiVersion::new(1, 44);

/// From this version on, an image has no `ContainerConfig`. It was the configuration of
/// the container that the image was made from; docker-compose 1.29 reads the volumes
/// of the image in it, which `Config` has as well.
const NO_CONTAINER_CONFIG: ApiVersion = ApiVersion::new(1, 45);

const fn since(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

const OF_IMAGE: &Dropped = &[
    (since(44), "Created", r#""0001-01-01T00:00:00Z""#),
    (since(45), "Container", r#""""#),
    (since(52), "Parent", r#""""#),
    (since(52), "Comment", r#""""#),
    (since(52), "DockerVersion", r#""""#),
    (since(52), "Author", r#""""#),
];

const OF_CONFIG: &Dropped = &[
    (since(50), "Hostname", r#""""#),
    (since(50), "Domainname", r#""""#),
    (since(50), "AttachStdin", "false"),
    (since(50), "AttachStdout", "false"),
    (since(50), "AttachStderr", "false"),
    (since(50), "Tty", "false"),
    (since(50), "OpenStdin", "false"),
    (since(50), "StdinOnce", "false"),
    (since(50), "Image", r#""""#),
    (since(52), "User", r#""""#),
    (since(52), "Env", "null"),
    (since(52), "Cmd", "null"),
    (since(52), "Volumes", "null"),
    (since(52), "WorkingDir", r#""""#),
    (since(52), "Entrypoint", "null"),
    (since(52), "OnBuild", "null"),
    (since(52), "Labels", "null"),
];

pub(super) fn changes(translation: Translation) -> bool {
    let dropped = OF_IMAGE.iter().chain(OF_CONFIG);
    let mut changes = dropped.map(|(change, ..)| *change);
    changes.any(|change| translation.is_after(change))
}

pub(super) fn changes_lists(translation: Translation) -> bool {
    translation.is_before(NO_NONE)
        || translation.is_after(NO_NONE)
        || translation.is_after(NO_VIRTUAL_SIZE)
}

/// An inspected image.
pub(super) fn inspect(translation: Translation, text: &str) -> Option<String> {
    let image = Members::of(text.as_bytes())?;
    let mut added = translation.lacking(&image, OF_IMAGE) + &virtual_size(translation, &image);
    let mut edits = Vec::new();
    let mut config = "null".to_owned();
    if let Some(raw) = image.value("Config")
        && let Some(members) = Members::of(raw.as_bytes())
    {
        let lacking = translation.lacking(&members, OF_CONFIG);
        config = spliced(raw, vec![Edit::append(raw, &lacking)]);
        edits.extend(Edit::add(text, raw, &lacking));
    }
    if translation.is_after(NO_CONTAINER_CONFIG) && image.field("ContainerConfig").next().is_none()
    {
        added += &format!(",\"ContainerConfig\":{config}");
    }
    edits.extend(Edit::add(text, text.trim_ascii(), &added));
    Some(spliced(text, edits))
}

/// A list of images.
pub(super) fn list(translation: Translation, text: &str) -> Option<String> {
    let images: Elements<'_> = serde_json::from_str(text).ok()?;
    let edits = rows(translation, text, &images.texts().ok()?);
    Some(spliced(text, edits))
}

/// The changes of the rows of a list within `text`.
pub(super) fn rows(translation: Translation, text: &str, rows: &[&str]) -> Vec<Edit<'static>> {
    let mut edits = Vec::new();
    for row in rows {
        let Some(image) = Members::of(row.as_bytes()) else {
            continue;
        };
        edits.extend(Edit::add(text, row, &virtual_size(translation, &image)));
        let raw = |name| image.field(name).last().map(|raw| raw.get());
        let names = raw("RepoTags").zip(raw("RepoDigests"));
        for (names, with) in names
            .into_iter()
            .flat_map(|n| without_names(translation, n))
        {
            edits.extend(Edit::replace(text, names, with));
        }
    }
    edits
}

fn virtual_size(translation: Translation, image: &Members<'_>) -> String {
    match image.value("Size") {
        Some(size)
            if translation.is_after(NO_VIRTUAL_SIZE)
                && image.field("VirtualSize").next().is_none() =>
        {
            format!(",\"VirtualSize\":{size}")
        }
        Some(_) | None => String::new(),
    }
}

/// The replacements of the tags and digests of an image that has neither.
fn without_names<'a>(
    translation: Translation,
    (tags, digests): (&'a str, &'a str),
) -> Vec<(&'a str, &'static str)> {
    const TAGS: &str = r#"["<none>:<none>"]"#;
    const DIGESTS: &str = r#"["<none>@<none>"]"#;
    let list = |text: &str| serde_json::from_str::<Option<Vec<String>>>(text).ok();
    let (Some(tag_list), Some(digest_list)) = (list(tags), list(digests)) else {
        return Vec::new();
    };
    let (tag_list, digest_list) = (
        tag_list.unwrap_or_default(),
        digest_list.unwrap_or_default(),
    );
    if translation.is_after(NO_NONE) && tag_list.is_empty() && digest_list.is_empty() {
        return vec![(tags, TAGS), (digests, DIGESTS)];
    }
    let mut replaced = Vec::new();
    if translation.is_before(NO_NONE) && tag_list == ["<none>:<none>"] {
        replaced.push((tags, "[]"));
    }
    if translation.is_before(NO_NONE) && digest_list == ["<none>@<none>"] {
        replaced.push((digests, "[]"));
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::super::super::Translation;
    use crate::endpoint::{ApiVersion, EndpointId};

    fn answer(asked: u16, sent: u16, id: EndpointId, body: &str) -> Option<String> {
        let translation = Translation {
            asked: ApiVersion::new(1, asked),
            sent: ApiVersion::new(1, sent),
        };
        translation.answer(id, "", body.as_bytes())
    }

    #[test]
    fn an_old_client_gets_the_virtual_size_of_images() {
        use EndpointId::{ContainerInspect, ImageList, SystemDataUsage};
        for (asked, sent, id, body, expected) in [
            (
                43,
                52,
                ImageList,
                "[{\"Size\":5},\n{\"Size\":6}]\n",
                Some("[{\"Size\":5,\"VirtualSize\":5},\n{\"Size\":6,\"VirtualSize\":6}]\n"),
            ),
            (
                41,
                44,
                ImageList,
                r#"[{"Size":5,"VirtualSize":7},{}]"#,
                Some(r#"[{"Size":5,"VirtualSize":7},{}]"#),
            ),
            (
                41,
                44,
                SystemDataUsage,
                r#"{"LayersSize":1,"Images":[{"Size":5}],"Containers":[]}"#,
                Some(r#"{"LayersSize":1,"Images":[{"Size":5,"VirtualSize":5}],"Containers":[]}"#),
            ),
            (
                41,
                44,
                SystemDataUsage,
                r#"{"Images":null}"#,
                Some(r#"{"Images":null}"#),
            ),
            (41, 44, ImageList, "not JSON", None),
            (41, 44, ContainerInspect, r#"{"Size":5}"#, None),
            (44, 51, ImageList, r#"[{"Size":5}]"#, None),
            (51, 43, ImageList, r#"[{"Size":5}]"#, None),
            (30, 41, ImageList, r#"[{"Size":5}]"#, None),
        ] {
            let found = answer(asked, sent, id, body);
            assert_eq!(found.as_deref(), expected, "{id:?} {asked} {sent} {body}");
        }
    }

    #[test]
    fn an_inspected_image_has_the_fields_that_the_client_knows() {
        const NEW: &str = r#"{"Id":"a","Config":{"Cmd":["sh"]},"Size":5}"#;
        for (asked, sent, body, expected) in [
            (
                43,
                44,
                NEW,
                r#"{"Id":"a","Config":{"Cmd":["sh"]},"Size":5,"Created":"0001-01-01T00:00:00Z","VirtualSize":5}"#,
            ),
            (
                44,
                45,
                NEW,
                r#"{"Id":"a","Config":{"Cmd":["sh"]},"Size":5,"Container":"","ContainerConfig":{"Cmd":["sh"]}}"#,
            ),
            (
                49,
                51,
                r#"{"Config":{"Tty":true,"Image":"i"}}"#,
                r#"{"Config":{"Tty":true,"Image":"i","Hostname":"","Domainname":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"OpenStdin":false,"StdinOnce":false}}"#,
            ),
            (
                51,
                52,
                r#"{"Author":"me","Config":{"Cmd":["sh"],"User":"u"}}"#,
                r#"{"Author":"me","Config":{"Cmd":["sh"],"User":"u","Env":null,"Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"Parent":"","Comment":"","DockerVersion":""}"#,
            ),
            (
                44,
                45,
                "{}\n",
                "{\"Container\":\"\",\"ContainerConfig\":null}\n",
            ),
            (
                44,
                45,
                r#"{"Container":"c","ContainerConfig":{},"Config":{}}"#,
                r#"{"Container":"c","ContainerConfig":{},"Config":{}}"#,
            ),
        ] {
            let found = answer(asked, sent, EndpointId::ImageInspect, body);
            assert_eq!(found.as_deref(), Some(expected), "{asked} {sent} {body}");
        }
        for (asked, sent) in [(52, 56), (45, 41), (41, 43), (45, 49)] {
            let found = answer(asked, sent, EndpointId::ImageInspect, NEW);
            assert_eq!(found, None, "{asked} {sent}");
        }
    }

    #[test]
    fn an_image_without_names_is_written_as_the_client_knows_it() {
        const OLD: &str = r#"[{"RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"]}]"#;
        const NEW: &str = r#"[{"RepoTags":[],"RepoDigests":[]}]"#;
        for (asked, sent, body, expected) in [
            (42, 43, NEW, Some(OLD)),
            (56, 41, OLD, Some(NEW)),
            (
                42,
                43,
                r#"[{"RepoTags":null,"RepoDigests":null}]"#,
                Some(OLD),
            ),
            (
                42,
                43,
                r#"[{"RepoTags":[],"RepoDigests":["a@sha256:1"]}]"#,
                Some(r#"[{"RepoTags":[],"RepoDigests":["a@sha256:1"]}]"#),
            ),
            (
                56,
                41,
                r#"[{"RepoTags":["a:1"],"RepoDigests":["<none>@<none>"]}]"#,
                Some(r#"[{"RepoTags":["a:1"],"RepoDigests":[]}]"#),
            ),
            (43, 41, OLD, Some(NEW)),
            (42, 41, OLD, None),
            (44, 51, NEW, None),
        ] {
            let found = answer(asked, sent, EndpointId::ImageList, body);
            assert_eq!(found.as_deref(), expected, "{asked} {sent} {body}");
        }
    }
}
