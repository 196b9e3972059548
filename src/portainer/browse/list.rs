//! Lists a directory, writing entries as they are read: memory need not hold all
//! entries of a large directory.

use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use cap_std::fs::{DirEntry, ReadDir};
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Serialize;

use super::root::Root;
use super::{Problem, begin, gone, name, work};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;

/// Entries read, and sorted by name, at a time.
const BATCH: usize = 4096;

/// One entry in Portainer's form.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    size: u64,
    /// Always false for a symlink.
    dir: bool,
    /// Seconds since the Unix epoch.
    mod_time: i64,
}

pub(super) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    root: &Root,
    requested: &str,
) -> Result<Next, Reject> {
    let path = root.path(requested)?;
    let (dir, name) = (root.dir.clone(), requested.to_owned());
    let first = work::run(move || {
        let entries = if path == Path::new("") {
            dir.entries()
        } else {
            dir.read_dir(name::existing(&dir, &path))
        };
        batch(entries.map_err(Problem::io(&name))?, name)
    });
    let mut next = first.await?;
    let mut head = ResponseHeader::build(200, Some(4)).map_err(internal)?;
    let json = head.insert_header(CONTENT_TYPE, "application/json");
    json.map_err(internal)?;
    let chunked = head.insert_header(TRANSFER_ENCODING, "chunked");
    chunked.map_err(internal)?;
    begin(context, session, x, head, false).await?;
    let mut before = "[";
    loop {
        let mut text = String::new();
        for entry in &next.entries {
            text.push_str(before);
            before = ",";
            let row = serde_json::to_string(entry);
            text.push_str(&row.map_err(|e| Reject::Internal(e.to_string()))?);
        }
        let Some((rest, name)) = next.rest else {
            // No entry was written before.
            if before == "[" {
                text.push('[');
            }
            text.push(']');
            x.exchange.record.bytes += text.len() as u64;
            let written = session.write_response_body(Some(Bytes::from(text)), true);
            written.await.map_err(|e| gone(&e))?;
            return Ok(Next::Answered);
        };
        x.exchange.record.bytes += text.len() as u64;
        let written = session.write_response_body(Some(Bytes::from(text)), false);
        written.await.map_err(|e| gone(&e))?;
        next = work::run(move || batch(rest, name)).await?;
    }
}

/// Some entries, and the directory to read the rest from.
struct Batch {
    entries: Vec<Entry>,
    rest: Option<(ReadDir, String)>,
}

fn batch(mut from: ReadDir, name: String) -> Result<Batch, Problem> {
    let mut entries = Vec::new();
    while entries.len() < BATCH {
        let Some(found) = from.next() else {
            entries.sort_by(|a: &Entry, b| a.name.cmp(&b.name));
            return Ok(Batch {
                entries,
                rest: None,
            });
        };
        // Skips an entry that was removed meanwhile.
        entries.extend(entry(&found.map_err(Problem::io(&name))?));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let rest = Some((from, name));
    Ok(Batch { entries, rest })
}

fn entry(found: &DirEntry) -> Option<Entry> {
    let meta = found.metadata().ok()?;
    let modified = meta.modified().ok().map(|time| time.into_std());
    let mod_time = modified.map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    });
    Some(Entry {
        name: name::shown(&found.file_name()),
        size: meta.len(),
        dir: meta.is_dir(),
        mod_time,
    })
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;

    #[test]
    fn a_large_directory_is_read_in_batches_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..BATCH + 10 {
            std::fs::write(folder.path().join(format!("f{n:05}")), "").unwrap();
        }
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let first = batch(dir.entries().unwrap(), String::new()).unwrap();
        assert_eq!(first.entries.len(), BATCH);
        assert!(first.entries.is_sorted_by(|a, b| a.name < b.name));
        let (rest, name) = first.rest.unwrap();
        let second = batch(rest, name).unwrap();
        assert_eq!(second.entries.len(), 10);
        assert!(second.rest.is_none());
    }

    #[cfg(unix)]
    #[test]
    fn an_entry_describes_a_symlink_and_not_its_target() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "12345").unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("c")).unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let rows = batch(dir.entries().unwrap(), String::new())
            .unwrap()
            .entries;
        let listed: Vec<_> = rows.iter().map(|e| (&*e.name, e.dir)).collect();
        assert_eq!(listed, [("a", false), ("b", true), ("c", false)]);
        assert_eq!(rows[0].size, 5);
        let row = serde_json::to_value(&rows[0]).unwrap();
        let keys: Vec<_> = row.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["Dir", "ModTime", "Name", "Size"]);
        assert!(row["ModTime"].as_i64().unwrap() > 1_600_000_000);
    }
}
