//! Knows the containers that agents make for themselves, the helpers of a forward,
//! by their names, and takes them out of what callers with limits see.
//!
//! Only an admin may give a container such a name: nobody can hide one.

use serde::Deserialize;

use crate::json::{Edit, Elements, Members, splice};

/// The beginning of every name.
const PREFIX: &str = "skep-forward-";

/// The digits after it.
const DIGITS: usize = 32;

/// The name of a new helper.
#[must_use]
pub fn name(random: [u8; DIGITS / 2]) -> String {
    format!("{PREFIX}{:032x}", u128::from_be_bytes(random))
}

/// Whether a container of this name is a helper. Names of tasks have dots, so that
/// no service gives such a name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let digits = text.trim_start_matches('/').strip_prefix(PREFIX);
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit))
}

/// A list of containers, or an object with one in `Containers`, without helpers; `None`
/// if it has none.
#[must_use]
pub fn hide(body: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(body)
        .ok()
        .filter(|text| text.contains(PREFIX))?;
    let whole = text.trim_ascii();
    if whole.starts_with('[') {
        let kept = without(whole)?;
        return Some([kept.as_bytes(), b"\n"].concat());
    }
    let members = Members::of(whole.as_bytes())?;
    let list = members.field("Containers").last()?.get();
    let mut out = Vec::with_capacity(body.len());
    splice(
        &mut out,
        whole,
        vec![Edit::replace(whole, list, without(list)?)?],
    );
    out.push(b'\n');
    Some(out)
}

/// Whether a row of a list of containers is a helper.
#[must_use]
pub fn is_row(row: &[u8]) -> bool {
    let text = str::from_utf8(row).ok();
    text.filter(|text| text.contains(PREFIX))
        .is_some_and(|text| without(&format!("[{text}]")).is_some())
}

/// Whether an event is about a helper.
#[must_use]
pub fn is_in_event(event: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event {
        actor: Actor,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Actor {
        attributes: Attributes,
    }
    #[derive(Deserialize)]
    struct Attributes {
        #[serde(default)]
        name: String,
    }
    let has = str::from_utf8(event).is_ok_and(|text| text.contains(PREFIX));
    // A record of `application/json-seq` begins with RS (RFC 7464 §2.2).
    let event = event.strip_prefix(b"\x1e").unwrap_or(event);
    has && serde_json::from_slice::<Event>(event)
        .is_ok_and(|event| is_name(&event.actor.attributes.name))
}

fn without(list: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "Names", default)]
        names: Option<Vec<String>>,
    }
    let rows = serde_json::from_str::<Elements<'_>>(list)
        .ok()?
        .texts()
        .ok()?;
    let is_helper = |row: &&str| {
        let row = serde_json::from_str::<Row>(row);
        row.is_ok_and(|row| row.names.iter().flatten().any(|name| is_name(name)))
    };
    let kept: Vec<_> = rows.iter().copied().filter(|row| !is_helper(row)).collect();
    (kept.len() < rows.len()).then(|| format!("[{}]", kept.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_agent_gives_such_a_name() {
        let name = name([0xab; 16]);
        assert_eq!(name, format!("skep-forward-{}", "ab".repeat(16)));
        for (text, expected) in [
            (name.as_str(), true),
            (&format!("/{name}"), true),
            (&format!("{name}.1.x1x1x1x1x1x1x1x1x1x1x1x1x"), false),
            (&name.to_ascii_uppercase(), false),
            (&name[1..], false),
            (&name[..name.len() - 1], false),
            ("skep-forward-", false),
            ("web", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_lose_the_helpers_and_keep_all_other_bytes() {
        let helper = name([7; 16]);
        let row = |name: &str| format!("{{ \"Names\":[\"/{name}\"] ,\"x\":1}}");
        let (web, helper) = (row("web"), row(&helper));
        assert!(is_row(helper.as_bytes()) && !is_row(web.as_bytes()));
        for (body, expected) in [
            (format!("[{web},{helper}]\n"), Some(format!("[{web}]\n"))),
            (format!("[{helper}]\n"), Some("[]\n".to_owned())),
            (format!("[{web}]\n"), None),
            ("[]\n".to_owned(), None),
            (
                format!("{{\"a\":1,\"Containers\":[{helper},{web}],\"b\":[]}}\n"),
                Some(format!("{{\"a\":1,\"Containers\":[{web}],\"b\":[]}}\n")),
            ),
            (format!("{{\"message\":\"{PREFIX}\"}}\n"), None),
        ] {
            let hidden = hide(body.as_bytes()).map(|body| String::from_utf8(body).unwrap());
            assert_eq!(hidden, expected, "{body}");
        }
    }

    #[test]
    fn an_event_names_its_container() {
        let event = |name: &str| {
            format!(
                "{{\"Type\":\"container\",\"Actor\":{{\"ID\":\"a\",\"Attributes\":{{\"name\":\"{name}\"}}}}}}"
            )
        };
        assert!(is_in_event(event(&name([7; 16])).as_bytes()));
        assert!(is_in_event(
            format!("\x1e{}\n", event(&name([7; 16]))).as_bytes()
        ));
        assert!(!is_in_event(event("web").as_bytes()));
        assert!(!is_in_event(event("skep-forward-x").as_bytes()));
    }
}
