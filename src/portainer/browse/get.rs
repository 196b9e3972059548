//! Sends a file or a range of it, block by block.
//!
//! The type is always `application/octet-stream`: a browser may save a file from
//! a volume, but never run it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::fs::{Dir, OpenOptions};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::range::{self, Part};
use super::root::Root;
use super::work::{self, Limit};
use super::{Problem, begin, gone, name};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::platform;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

struct Opened {
    file: File,
    length: u64,
    modified: Option<SystemTime>,
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
    let Opened {
        file,
        length,
        modified,
    } = work::run(move || open(&dir, &name::existing(&dir, &path), &name)).await?;
    let modified = range::as_http_date(modified);
    let part = range::part(&session.req_header().headers, length, modified);
    let head = head(&part, length, modified).map_err(internal)?;
    let (start, left) = match part {
        Part::Whole => (0, length),
        Part::Some { start, length } => (start, length),
        Part::NotModified | Part::Unsatisfiable => (0, 0),
    };
    begin(context, session, x, head, left == 0).await?;
    let blocks = Blocks {
        file: Arc::new(file),
        requested: requested.to_owned(),
        start,
        left,
        limit: &work::BYTES,
    };
    send(session, x, blocks).await?;
    Ok(Next::Answered)
}

/// Opens a regular file only: opening a pipe would wait for its writer, and
/// opening a device may start it.
fn open(dir: &Dir, path: &Path, requested: &str) -> Result<Opened, Problem> {
    let regular = |is: bool| {
        let not = || Problem::request(format!("{requested}: is not a regular file"));
        is.then_some(()).ok_or_else(not)
    };
    if path == Path::new("") {
        return Err(Problem::request(format!("{requested}: is a directory")));
    }
    regular(
        dir.metadata(path)
            .map_err(Problem::io(requested))?
            .is_file(),
    )?;
    let mut options = OpenOptions::new();
    options.read(true).nonblock(true);
    let file = dir
        .open_with(path, &options)
        .map_err(Problem::io(requested))?;
    let file = file.into_std();
    let meta = file.metadata().map_err(Problem::io(requested))?;
    // Another file may have replaced it since the first check.
    regular(meta.is_file())?;
    Ok(Opened {
        length: meta.len(),
        modified: meta.modified().ok(),
        file,
    })
}

fn head(part: &Part, whole: u64, modified: Option<SystemTime>) -> pingora::Result<ResponseHeader> {
    let status = match part {
        Part::Whole => 200,
        Part::Some { .. } => 206,
        Part::NotModified => 304,
        Part::Unsatisfiable => 416,
    };
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(ACCEPT_RANGES, "bytes")?;
    if let Some(modified) = modified {
        head.insert_header(LAST_MODIFIED, httpdate::fmt_http_date(modified))?;
    }
    let length = match *part {
        Part::Whole => whole,
        Part::Some { start, length } => {
            let last = start + length - 1;
            head.insert_header(CONTENT_RANGE, format!("bytes {start}-{last}/{whole}"))?;
            length
        }
        Part::NotModified => return Ok(head),
        Part::Unsatisfiable => {
            head.insert_header(CONTENT_RANGE, format!("bytes */{whole}"))?;
            0
        }
    };
    head.insert_header(CONTENT_LENGTH, length)?;
    head.insert_header(CONTENT_TYPE, "application/octet-stream")?;
    head.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    Ok(head)
}

async fn send(session: &mut Session, x: &mut Judged<'_>, mut blocks: Blocks) -> Result<(), Reject> {
    let mut next = blocks.next().await?;
    while let Some(block) = next {
        x.exchange.record.bytes += block.len() as u64;
        let written = session.write_response_body(Some(block), blocks.left == 0);
        // The disk and the client are busy at the same time.
        let (written, read) = tokio::join!(written, blocks.next());
        written.map_err(|e| gone(&e))?;
        next = read?;
    }
    Ok(())
}

/// The part of a file that is still to be read.
struct Blocks {
    file: Arc<File>,
    requested: String,
    start: u64,
    left: u64,
    limit: &'static Limit,
}

impl Blocks {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.left == 0 {
            return Ok(None);
        }
        let (file, start) = (self.file.clone(), self.start);
        let wanted = BLOCK.min(usize::try_from(self.left).unwrap_or(BLOCK));
        let read = self.limit.wait(move || {
            let read = platform::read_at(&file, start, wanted);
            Ok(read.map(Bytes::from))
        });
        let block = read.await?.map_err(Problem::io(&self.requested))?;
        if block.is_empty() {
            // The client must not take half a file for a whole one.
            let why = format!("{}: became shorter while it was read", self.requested);
            return Err(Problem::Internal(why));
        }
        self.start += block.len() as u64;
        self.left -= block.len() as u64;
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn blocks(content: &[u8], start: u64, left: u64, limit: &'static Limit) -> Blocks {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        Blocks {
            file: Arc::new(file),
            requested: "f".to_owned(),
            start,
            left,
            limit,
        }
    }

    #[tokio::test]
    async fn a_range_is_read_block_by_block_and_a_file_that_shrinks_is_an_error() {
        let content: Vec<u8> = (0..BLOCK + 100).map(|n| (n % 251) as u8).collect();
        let (start, left) = (3, BLOCK as u64 + 50);
        let mut whole = blocks(&content, start, left, &work::BYTES);
        let first = whole.next().await.unwrap().unwrap();
        let second = whole.next().await.unwrap().unwrap();
        assert_eq!((first.len(), second.len()), (BLOCK, 50));
        assert_eq!([first, second].concat(), content[3..][..BLOCK + 50]);
        assert!(whole.next().await.unwrap().is_none());

        let mut short = blocks(b"12345", 3, 10, &work::BYTES);
        assert_eq!(short.next().await.unwrap().unwrap(), "45");
        let refused = short.next().await.unwrap_err().to_string();
        assert!(refused.contains("became shorter"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_waits_too_long_for_its_turn_ends_the_answer() {
        static NONE: Limit = Limit::new(0);
        let refused = blocks(b"12345", 0, 5, &NONE).next().await.unwrap_err();
        assert_eq!(refused.status(), 503);
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_inside_the_root_are_opened() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::write(here.join("file"), "12345").unwrap();
        std::fs::create_dir(here.join("dir")).unwrap();
        let link = std::os::unix::fs::symlink::<&Path, _>;
        link("file".as_ref(), here.join("within")).unwrap();
        link("/".as_ref(), here.join("dir/root")).unwrap();
        link(&secret, here.join("absolute")).unwrap();
        link("../../..".as_ref(), here.join("dir/up")).unwrap();
        link("loop".as_ref(), here.join("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(here.join("socket")).unwrap();
        let pipe = here.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());

        let dir = Dir::open_ambient_dir(here, ambient_authority()).unwrap();
        for (path, status) in [
            ("file", 200),
            ("within", 200),
            ("dir/../file", 200),
            ("dir", 400),
            ("pipe", 400),
            ("socket", 400),
            ("none", 404),
            ("absolute", 403),
            ("dir/root/etc/passwd", 403),
            ("dir/up/etc/passwd", 403),
            ("../file", 403),
            ("loop", 500),
        ] {
            let got = match open(&dir, Path::new(path), path) {
                Ok(opened) => {
                    assert_eq!(opened.length, 5, "{path}");
                    200
                }
                Err(problem) => problem.status().as_u16(),
            };
            assert_eq!(got, status, "{path}");
        }
    }
}
