//! Judges the options of file systems in memory.

use std::borrow::Cow;

use super::flags::Flags;
use super::{Check, option, propagation};
use crate::json::{Fields, Json, text_of};
use crate::policy::verdict::{Denied, Judged};

/// The options of tmpfs that engines pass on (`validFlags` of moby/sys/mount).
pub(in crate::policy::body) const OPTIONS: [&str; 7] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

/// `HostConfig.Tmpfs`: options by target.
pub(in crate::policy::body) fn map(
    check: &Check<'_>,
    targets: &[(Cow<'_, str>, Json<'_>)],
) -> Judged {
    for (target, options) in targets {
        // Podman reads options there.
        if target.contains(':') {
            option(check, "Tmpfs", target)?;
        }
        let options = text_of(options)
            .ok_or_else(|| Denied::shape("Tmpfs has an option that is not a string".into()))?;
        let flags = Flags::parse(options);
        propagation(check, flags.propagation())?;
        // To the runtime a `bind` is one, whatever the type of the mount.
        if let Some(word) = options.split(',').find(|word| moves(word)) {
            option(check, "Tmpfs", word)?;
        }
        for word in flags.data {
            let known = word
                .split_once('=')
                .is_some_and(|(name, _)| OPTIONS.contains(&name));
            if !known {
                option(check, "Tmpfs", word)?;
            }
        }
    }
    Ok(())
}

/// `TmpfsOptions` of a mount. `Options` is a list of lists: a name, perhaps a value.
pub(in crate::policy::body) fn options(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    check.knows(fields, &["SizeBytes", "Mode", "Options"])?;
    for words in fields.list("Options")? {
        let Json::List(words) = words else {
            return Err(Denied::shape(
                "TmpfsOptions.Options is not a list of lists".into(),
            ));
        };
        let mut texts = words.iter().map(text_of);
        match (texts.next().flatten(), texts.next()) {
            (Some("exec" | "noexec"), None) => {}
            (Some(word), _) => option(check, "TmpfsOptions", word)?,
            (None, _) => option(check, "TmpfsOptions", "")?,
        }
    }
    Ok(())
}

fn moves(word: &str) -> bool {
    matches!(word, "bind" | "rbind" | "remount")
}
