//! Reads `Content-Type`, and holds it against the form of an endpoint's body.
//!
//! Go's `mime.ParseMediaType` trims Unicode spaces, ignores case and shrugs off
//! bad parameters; from a type that it takes for a form, `net/http` reads
//! parameters that override those of the query. So only ASCII `token/token`
//! with well-formed parameters (RFC 9110 §8.3.1) counts here, and only the types
//! that clients of the Engine API send.

use super::form::Body;

/// The media type of JSON, the only one that engines read as JSON.
const JSON: &str = "application/json";

/// The media type of an upload from a browser.
const FORM: &str = "multipart/form-data";

/// The media types of archives and other uploads. The docker CLI sends
/// `text/plain` where it knows no type, and bollard `application/json` as well.
const BYTES: [&str; 21] = [
    "application/x-tar",
    "application/tar",
    "application/octet-stream",
    "text/plain",
    JSON,
    "application/gzip",
    "application/x-gzip",
    "application/x-gzip-compressed",
    "application/tar+gzip",
    "application/x-tar+gzip",
    "application/x-tgz",
    "application/x-gtar",
    "application/x-gtar-compressed",
    "application/x-compressed",
    "application/x-compressed-tar",
    "application/x-bzip",
    "application/x-bzip2",
    "application/x-xz",
    "application/x-lzma",
    "application/zstd",
    "application/x-zstd",
];

/// What to do with the `Content-Type` of an accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Send the first one on, alone: engines read no other.
    KeepFirst,
    /// Send none on: there is no body that it could describe.
    Drop,
}

/// Why a request is refused for its `Content-Type`; the texts continue
/// "the Content-Type …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// It is no media type.
    #[error("{0:?} is not a media type such as {expected}", expected = JSON)]
    Unreadable(String),
    /// The endpoint does not take it.
    #[error("{sent:?} is not accepted here: send {expected}")]
    NotTaken {
        /// The media type.
        sent: String,
        /// What the endpoint takes.
        expected: &'static str,
    },
}

/// Holds the `Content-Type` headers of a request against its row's `body`, which
/// is `None` for a path that the table does not have. `sent` says whether a body
/// follows: without one the header has no meaning, and axios sends a form's.
///
/// # Errors
/// If one of the headers is not one that the endpoint takes.
pub fn judge<'h>(
    body: Option<Body>,
    sent: bool,
    mut headers: impl Iterator<Item = &'h [u8]>,
) -> Result<ContentType, MediaError> {
    let judged = headers.try_for_each(|header| taken(body, header));
    match (judged, body) {
        (Err(error), _) if sent => Err(error),
        (Err(_), _) | (Ok(()), Some(Body::None)) => Ok(ContentType::Drop),
        (Ok(()), _) => Ok(ContentType::KeepFirst),
    }
}

fn taken(body: Option<Body>, header: &[u8]) -> Result<(), MediaError> {
    let unreadable = || MediaError::Unreadable(shown(header));
    let media = read(header).ok_or_else(unreadable)?;
    let (types, expected): (&[&str], _) = match body {
        Some(Body::Json(_)) => (&[JSON], JSON),
        Some(Body::Form) => (&[FORM], FORM),
        // The body is dropped; from a form, the client expects an effect.
        Some(Body::None) => (&BYTES, "no body"),
        Some(Body::Stream) | None => (&BYTES, "application/x-tar, or application/json"),
    };
    if types.iter().any(|t| t.eq_ignore_ascii_case(media)) {
        return Ok(());
    }
    let sent = shown(media.as_bytes());
    Err(MediaError::NotTaken { sent, expected })
}

/// The media type of a `Content-Type` header, without its parameters; `None` if it
/// is not well-formed.
pub fn read(header: &[u8]) -> Option<&str> {
    let header = std::str::from_utf8(header).ok()?;
    let header = header.trim_matches(SPACES);
    let (media, parameters) = match header.split_once(';') {
        Some((media, parameters)) => (media.trim_end_matches(SPACES), parameters),
        None => (header, ""),
    };
    let (kind, subtype) = media.split_once('/')?;
    (is_token(kind) && is_token(subtype) && are_parameters(parameters)).then_some(media)
}

const SPACES: [char; 2] = [' ', '\t'];

/// Whether a text is a list of parameters, each name once; the list may be empty
/// and may end with a semicolon.
fn are_parameters(mut rest: &str) -> bool {
    let mut names: Vec<&str> = Vec::new();
    loop {
        rest = rest.trim_start_matches(SPACES);
        if rest.is_empty() {
            return true;
        }
        let Some((name, after)) = rest.split_once('=') else {
            return false;
        };
        if !is_token(name) || names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return false;
        }
        names.push(name);
        let Some(after) = after_value(after) else {
            return false;
        };
        rest = after.trim_start_matches(SPACES);
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None => return rest.is_empty(),
        }
    }
}

/// The text after a value, which is a token or a quoted string.
fn after_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
        return (end > 0).then(|| &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if c != '\t' && (c.is_ascii_control() || !c.is_ascii()) => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return quoted.get(at + 1..),
            _ => {}
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A header for a message: no longer than a line.
fn shown(header: &[u8]) -> String {
    let header = &header[..header.len().min(80)];
    String::from_utf8_lossy(header).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{BodyCheck, EndpointId, all};

    const BUILD: Body = Body::Stream;
    const CREATE: Body = Body::Json(BodyCheck::ContainerCreate);

    /// Spellings of a form that Go's `mime.ParseMediaType` takes for one, or could.
    const FORMS: [&str; 34] = [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded",
        "APPLICATION/X-WWW-FORM-URLENCODED",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;",
        "application/x-www-form-urlencoded ;",
        "application/x-www-form-urlencoded;;",
        "application/x-www-form-urlencoded; charset",
        "application/x-www-form-urlencoded; =",
        "application/x-www-form-urlencoded, application/json",
        "application/json, application/x-www-form-urlencoded",
        "\u{a0}application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded\u{a0}",
        "application/x-www-form-urlencoded\u{a0};",
        "\u{85}application/x-www-form-urlencoded",
        "\u{1680}application/x-www-form-urlencoded",
        "\u{2003}application/x-www-form-urlencoded",
        "\u{2028}application/x-www-form-urlencoded",
        "\u{202f}application/x-www-form-urlencoded",
        "\u{3000}application/x-www-form-urlencoded",
        "\u{feff}application/x-www-form-urlencoded",
        "\u{b}application/x-www-form-urlencoded",
        "\u{c}application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded\r",
        "application/x-www-form-urlencoded\n",
        "application/x-www-form-urlencoded\0",
        " application/x-www-form-urlencoded ",
        "\tapplication/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "Multipart/Form-Data;boundary=\"x\"",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data\u{a0}; boundary=x",
        "multipart/related",
    ];

    fn one(body: Option<Body>, sent: bool, header: &[u8]) -> Result<ContentType, MediaError> {
        judge(body, sent, std::iter::once(header))
    }

    #[test]
    fn a_media_type_is_ascii_token_slash_token() {
        for (header, media) in [
            ("application/json", Some("application/json")),
            ("Application/JSON", Some("Application/JSON")),
            (" application/json\t", Some("application/json")),
            ("application/json;charset=utf-8", Some("application/json")),
            (
                "application/json ; charset=\"utf-8\"",
                Some("application/json"),
            ),
            (
                "application/json; a=\"\\\"\"; b=c ;",
                Some("application/json"),
            ),
            ("application/json;", Some("application/json")),
            ("application/tar+gzip", Some("application/tar+gzip")),
            ("", None),
            (" ", None),
            ("application", None),
            ("application/", None),
            ("/json", None),
            ("application/json/x", None),
            ("application /json", None),
            ("application/ json", None),
            ("application/json, text/plain", None),
            ("application/json; a=b, text/plain", None),
            ("application/json charset=utf-8", None),
            ("application/json;;", None),
            ("application/json; charset", None),
            ("application/json; =utf-8", None),
            ("application/json; charset=", None),
            ("application/json; charset =utf-8", None),
            ("application/json; charset= utf-8", None),
            ("application/json; a=1; A=2", None),
            ("application/json; a=\"b", None),
            ("application/json; a=\"b\\", None),
            ("application/json; a=\"b\"c", None),
            ("application/json; a=\"\u{e9}\"", None),
            ("application/json; a=\u{e9}", None),
            ("\u{a0}application/json", None),
            ("application/json\u{a0}", None),
            ("application/\u{212a}son", None),
            ("application/json\u{b}", None),
            ("application/json\0", None),
            ("application/json; a=\"\0\"", None),
        ] {
            assert_eq!(read(header.as_bytes()), media, "{header:?}");
        }
        for header in [
            &b"\xa0application/json"[..],
            b"application/json\xa0",
            b"\x85application/json",
            b"application/json; a=\"\xff\"",
            b"\xff",
        ] {
            assert_eq!(read(header), None, "{header:?}");
        }
    }

    #[test]
    fn no_endpoint_of_an_engine_takes_a_form_in_any_spelling() {
        let rows = all().iter().filter(|e| !e.is_own()).map(|e| Some(e.body));
        for body in rows.chain([None]) {
            for form in FORMS {
                assert!(
                    one(body, true, form.as_bytes()).is_err(),
                    "{body:?} {form:?}"
                );
                let without = one(body, false, form.as_bytes());
                assert_eq!(without, Ok(ContentType::Drop), "{body:?} {form:?}");
            }
            // A byte that is a space to Go, alone and in UTF-8.
            let latin = b"\xa0application/x-www-form-urlencoded";
            assert!(one(body, true, latin).is_err(), "{body:?}");
        }
    }

    #[test]
    fn only_the_upload_of_a_browser_is_a_form() {
        let forms: Vec<_> = all().iter().filter(|e| e.body == Body::Form).collect();
        let ids: Vec<_> = forms.iter().map(|e| e.id).collect();
        assert_eq!(ids, [EndpointId::BrowsePut, EndpointId::BrowseVolumePut]);
        assert!(forms.iter().all(|e| e.is_own()));
        let form = b"multipart/form-data; boundary=----WebKitFormBoundaryABC";
        assert_eq!(
            one(Some(Body::Form), true, form),
            Ok(ContentType::KeepFirst)
        );
        assert!(one(Some(Body::Form), true, JSON.as_bytes()).is_err());
    }

    #[test]
    fn json_and_streams_take_what_clients_send() {
        for (body, header, taken) in [
            (CREATE, "application/json", true),
            (CREATE, "application/json; charset=utf-8", true),
            (CREATE, "text/json", false),
            (CREATE, "text/plain", false),
            (CREATE, "application/x-tar", false),
            (CREATE, "application/octet-stream", false),
            (CREATE, "application/vnd.api+json", false),
            (CREATE, "", false),
            (BUILD, "application/x-tar", true),
            (BUILD, "application/tar", true),
            (BUILD, "application/octet-stream", true),
            (BUILD, "application/x-gzip", true),
            (BUILD, "text/plain", true),
            (BUILD, "application/json", true),
            (BUILD, "text/html", false),
            (BUILD, "message/rfc822", false),
            (BUILD, "", false),
        ] {
            let judged = one(Some(body), true, header.as_bytes());
            assert_eq!(
                judged == Ok(ContentType::KeepFirst),
                taken,
                "{header:?}: {judged:?}"
            );
            assert_eq!(judged.is_ok(), taken, "{header:?}");
        }
    }

    #[test]
    fn no_type_is_needed_and_each_of_several_counts() {
        let several = |body, headers: &[&str]| {
            let headers = headers.iter().map(|header| header.as_bytes());
            judge(Some(body), true, headers).is_ok()
        };
        assert!(several(CREATE, &[]));
        assert!(several(BUILD, &[]));
        assert!(several(CREATE, &["application/json", "application/json"]));
        assert!(several(BUILD, &["application/x-tar", "application/json"]));
        assert!(!several(CREATE, &["application/json", FORMS[0]]));
        assert!(!several(BUILD, &[FORMS[0], "application/x-tar"]));
        assert!(!several(BUILD, &["application/x-tar", FORMS[28]]));
        assert!(!several(CREATE, &["", "application/json"]));
    }

    #[test]
    fn an_endpoint_without_a_body_gets_no_type() {
        for header in ["application/json", "text/plain", "application/octet-stream"] {
            let judged = one(Some(Body::None), true, header.as_bytes());
            assert_eq!(judged, Ok(ContentType::Drop), "{header}");
            let judged = one(Some(Body::None), false, header.as_bytes());
            assert_eq!(judged, Ok(ContentType::Drop), "{header}");
        }
    }

    #[test]
    fn the_message_shows_the_type_in_one_line() {
        let long = format!("text/{}\n", "x".repeat(10_000));
        for header in ["text/html", "\u{1b}[1m", "a\nb", &long] {
            let shown = one(Some(CREATE), true, header.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(shown.len() < 300, "{shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }
}
