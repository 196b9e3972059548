//! Fuzzes media types: no form is taken where engines would read parameters from it.
//!
//! The first byte chooses the form of the endpoint's body, and whether one is sent.
//! Each line of the rest is a `Content-Type` header.

use crate::endpoint::media::{ContentType, judge, read};
use crate::endpoint::{Body, BodyCheck};

/// Judges the headers, and reads them again in little code that forgives more than
/// Go does.
///
/// # Panics
/// If a header is accepted that could be a form, or is read as more than a media type.
pub fn run(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let body = match first % 5 {
        0 => Some(Body::None),
        1 => Some(Body::Json(BodyCheck::Nothing)),
        2 => Some(Body::Stream),
        3 => Some(Body::Form),
        _ => None,
    };
    let headers = || rest.split(|byte| *byte == b'\n');
    for header in headers() {
        if let Some(media) = read(header) {
            let is_plain = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"[]?={}".contains(&b);
            assert!(media.bytes().all(is_plain), "{media:?} is no media type");
            assert_eq!(media.matches('/').count(), 1, "{media:?}");
            assert!(
                lenient(header)
                    .iter()
                    .all(|other| other == &media.to_ascii_lowercase())
            );
        }
    }
    let unsent = judge(body, false, headers());
    assert!(unsent.is_ok(), "without a body no header is refused");
    match judge(body, true, headers()) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 1000 && !text.contains(char::is_control));
        }
        Ok(sent) => {
            let drops = body == Some(Body::None);
            assert_eq!(
                sent == ContentType::Drop,
                drops,
                "only no body needs no type"
            );
            for media in headers().flat_map(lenient) {
                let is_upload = media.starts_with("multipart/");
                assert!(!media.contains("form-urlencoded"), "a form is taken");
                assert_eq!(is_upload, body == Some(Body::Form), "{media:?} is taken");
            }
        }
    }
}

/// The media type, to a reader of UTF-8 and to one of Latin-1.
fn lenient(header: &[u8]) -> [String; 2] {
    let latin: String = header.iter().copied().map(char::from).collect();
    [String::from_utf8_lossy(header).into_owned(), latin].map(|text| {
        let media = text.split(';').next().unwrap_or_default();
        media.trim().to_lowercase()
    })
}
