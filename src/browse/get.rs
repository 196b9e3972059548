//! A file's bytes, or a part of them, block by block.
//!
//! The type is always `application/octet-stream`: what somebody put into a
//! volume is for saving, never for a browser to run.

use std::fs::File;
use std::io::SeekFrom;
use std::path::Path;
use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::fs::{Dir, OpenOptions};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::range::{self, Part};
use super::root::Root;
use super::{Problem, begin, gone, name, work};
use crate::exchange::Exchange;
use crate::gateway::{Gateway, Next, internal};
use crate::reject::Reject;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

struct Opened {
    file: File,
    length: u64,
    modified: Option<SystemTime>,
}

pub(super) async fn run(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    root: &Root,
    asked: &str,
) -> Result<Next, Reject> {
    let path = root.path(asked)?;
    let (dir, name) = (root.dir.clone(), asked.to_owned());
    let Opened {
        file,
        length,
        modified,
    } = work::run(move || open(&dir, &name::existing(&dir, &path), &name)).await?;
    let modified = range::sayable(modified);
    let part = range::part(&session.req_header().headers, length, modified);
    let head = head(&part, length, modified).map_err(internal)?;
    let (start, left) = match part {
        Part::Whole => (0, length),
        Part::Some { start, length } => (start, length),
        Part::NotModified | Part::Unsatisfiable => (0, 0),
    };
    begin(gateway, session, x, head, left == 0).await?;
    if left > 0 {
        send(session, x, file, start, left, asked).await?;
    }
    Ok(Next::Answered)
}

/// Opens a regular file. Opening a pipe would wait for its writer, and opening
/// a device may set it going, so neither is.
fn open(dir: &Dir, path: &Path, asked: &str) -> Result<Opened, Problem> {
    let regular = |is: bool| {
        let not = || Problem::request(format!("{asked}: is not a regular file"));
        is.then_some(()).ok_or_else(not)
    };
    if path == Path::new("") {
        return Err(Problem::request(format!("{asked}: is a directory")));
    }
    regular(dir.metadata(path).map_err(Problem::io(asked))?.is_file())?;
    let mut options = OpenOptions::new();
    options.read(true).nonblock(true);
    let file = dir.open_with(path, &options).map_err(Problem::io(asked))?;
    let file = file.into_std();
    let meta = file.metadata().map_err(Problem::io(asked))?;
    // It may have been replaced meanwhile.
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

async fn send(
    session: &mut Session,
    x: &mut Exchange,
    file: File,
    start: u64,
    mut left: u64,
    asked: &str,
) -> Result<(), Reject> {
    let mut file = tokio::fs::File::from_std(file);
    let sought = file.seek(SeekFrom::Start(start)).await;
    sought.map_err(Problem::io(asked))?;
    while left > 0 {
        let wanted = BLOCK.min(usize::try_from(left).unwrap_or(BLOCK));
        let mut block = BytesMut::with_capacity(wanted);
        let read = file.read_buf(&mut (&mut block).limit(wanted)).await;
        let read = read.map_err(Problem::io(asked))? as u64;
        if read == 0 {
            // Half a file must not look like a whole one.
            let why = format!("{asked}: became shorter while it was read");
            return Err(Problem::Internal(why).into());
        }
        left -= read;
        x.out_bytes += read;
        let written = session.write_response_body(Some(block.freeze()), left == 0);
        written.await.map_err(|e| gone(&e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_regular_files_within_are_opened() {
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
