//! Holds the `Content-Type` of a request against its endpoint: engines may read
//! parameters from a body that was not judged as parameters.

use http::header::CONTENT_TYPE;
use pingora::http::RequestHeader;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::Match;
use skep_filters::endpoint::media::{self, ContentType};

use crate::exchange::reject::{Reject, internal};

/// Leaves one `Content-Type` that the endpoint takes, or none.
///
/// # Errors
/// [`Reject::MediaType`] for any other, if a body follows.
pub(crate) fn hold(head: &mut RequestHeader, found: Option<&Match>) -> Result<(), Reject> {
    if !head.headers.contains_key(CONTENT_TYPE) {
        return Ok(());
    }
    let body = found.map(|found| found.endpoint.body);
    let sent = BodyBinding::uncovered(&head.headers)? != BodyBinding::Empty;
    let all = head.headers.get_all(CONTENT_TYPE).iter();
    match media::judge(body, sent, all.map(|header| header.as_bytes()))? {
        ContentType::Drop => {
            head.remove_header(&CONTENT_TYPE);
        }
        ContentType::KeepFirst => {
            if let Some(first) = head.headers.get(CONTENT_TYPE).cloned() {
                head.insert_header(CONTENT_TYPE, first).map_err(internal)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use skep_filters::endpoint::{RequestPath, classify};

    use super::*;

    fn held(path: &str, headers: &[(&'static str, &str)]) -> Result<Vec<String>, Reject> {
        let mut head = RequestHeader::build("POST", path.as_bytes(), None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, value.as_bytes()).unwrap();
        }
        let found = classify("POST", &RequestPath::parse(path).unwrap());
        hold(&mut head, found.as_ref())?;
        let types = head.headers.get_all(CONTENT_TYPE).iter();
        Ok(types.map(|v| v.to_str().unwrap().to_owned()).collect())
    }

    const TAR: (&str, &str) = ("content-type", "application/x-tar");
    const JSON: (&str, &str) = ("content-type", "application/json");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const LENGTH: (&str, &str) = ("content-length", "3");
    const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");

    #[test]
    fn the_first_of_two_accepted_types_stays() {
        let kept = held("/build", &[TAR, JSON, LENGTH]).unwrap();
        assert_eq!(kept, ["application/x-tar"]);
        let kept = held("/containers/create", &[JSON, JSON, LENGTH]).unwrap();
        assert_eq!(kept, ["application/json"]);
    }

    #[test]
    fn a_type_without_a_body_is_removed_if_the_endpoint_does_not_take_it() {
        for path in ["/images/create", "/commit", "/containers/prune", "/new"] {
            let kept = held(path, &[FORM, ("content-length", "0")]).unwrap();
            assert!(kept.is_empty(), "{path}: {kept:?}");
        }
        let kept = held("/containers/a/start", &[JSON, LENGTH]).unwrap();
        assert!(kept.is_empty(), "{kept:?}");
    }

    #[test]
    fn a_form_is_refused_with_415() {
        for path in ["/images/create", "/commit", "/containers/prune", "/new"] {
            for framing in [LENGTH, CHUNKED] {
                let refused = held(path, &[FORM, framing]).unwrap_err();
                assert_eq!(
                    refused.status(),
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "{path}"
                );
                assert_eq!(refused.reason().as_str(), "media-type");
            }
        }
    }
}
