//! Receives an upload from a browser: `multipart/form-data` (RFC 7578) with the
//! target directory in the field `Path` and the file in the field `file`, in
//! either order, written to the disk as it comes.
//!
//! Portainer's UI sends the file first. [`Upload`] stores it until `Path` comes.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use multer::{Field, Multipart};
use pingora::proxy::Session;
use tokio::time::timeout;

use super::root::Root;
use super::upload::Upload;
use super::{Problem, done, gone, name};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::upstream::error;

/// The most bytes of a path, and between two parts or before the first.
const PATH: usize = 16 << 10;
const BETWEEN: usize = 1 << 20;

/// An upload that pauses for longer has failed.
const PAUSE: Duration = Duration::from_secs(300);

pub(super) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    root: &Root,
) -> Result<Next, Reject> {
    let kind = session.req_header().headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| Problem::request("an upload must be multipart/form-data"))?;
    if session.req_header().headers.contains_key(EXPECT) {
        let wanted = session.write_continue_response().await;
        wanted.map_err(|e| gone(&e))?;
    }
    let stored = match x.body.held.take() {
        Some(body) => {
            let size = body.len() as u64;
            let body = stream::iter([Ok::<_, Infallible>(body)]);
            receive(root, size, Box::pin(body), boundary).await
        }
        None => {
            let size = session.req_header().headers.get(CONTENT_LENGTH);
            let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
            let body = Box::pin(paced(body(session)));
            receive(root, size.unwrap_or_default(), body, boundary).await
        }
    };
    match stored {
        Ok(()) => done(context, session, x).await,
        Err(problem) => Err(problem.into()),
    }
}

/// The request's body as it comes.
fn body(session: &mut Session) -> impl Stream<Item = Result<Bytes, String>> + Send {
    stream::try_unfold(session, |session| async move {
        let read = session.read_request_body().await;
        let read = read.map_err(|e| error::explain(&e))?;
        Ok(read.map(|bytes| (bytes, session)))
    })
}

/// A body that fails when it pauses for too long.
fn paced(
    body: impl Stream<Item = Result<Bytes, String>> + Send,
) -> impl Stream<Item = Result<Bytes, String>> + Send {
    stream::try_unfold(Box::pin(body), |mut body| async move {
        let next = timeout(PAUSE, body.next()).await;
        let next = next.map_err(|_| format!("nothing came for {PAUSE:?}"))?;
        Ok(next.transpose()?.map(|bytes| (bytes, body)))
    })
}

/// Stores the file of a form; `size` is the announced size of the whole form.
async fn receive<E: Display>(
    root: &Root,
    size: u64,
    body: Pin<Box<dyn Stream<Item = Result<Bytes, E>> + Send + '_>>,
    boundary: String,
) -> Result<(), Problem> {
    let mut file = None;
    let read = read(root, size, body, boundary, &mut file).await;
    let missing = |what| Problem::request(format!("the field '{what}' is missing"));
    match (read, file) {
        (Ok(Some(folder)), Some(upload)) => {
            if let Err(guarded) = root.may_change(&folder.join(upload.name())) {
                upload.abandon().await;
                return Err(guarded);
            }
            upload.finish(folder).await
        }
        (Ok(Some(_)), None) => Err(missing("file")),
        (read, upload) => {
            if let Some(upload) = upload {
                upload.abandon().await;
            }
            Err(read.err().unwrap_or_else(|| missing("Path")))
        }
    }
}

/// Reads a form to its end, and returns the folder that it names.
async fn read<E: Display>(
    root: &Root,
    size: u64,
    body: Pin<Box<dyn Stream<Item = Result<Bytes, E>> + Send + '_>>,
    boundary: String,
    file: &mut Option<Upload>,
) -> Result<Option<PathBuf>, Problem> {
    let pending = Arc::new(AtomicUsize::new(0));
    let mut form = Multipart::new(Gate::new(body, pending.clone()), boundary);
    let mut folder: Option<PathBuf> = None;
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        pending.store(0, Ordering::Relaxed);
        match field.name() {
            Some("Path") if folder.is_none() => {
                folder = Some(root.path(&text(&mut field, &pending).await?)?);
            }
            Some("file") if file.is_none() => {
                let upload = file.insert(Upload::new(root, file_name(&field)?, size));
                if let Some(folder) = &folder {
                    upload.begin(folder).await?;
                }
                while let Some(bytes) = field.chunk().await.map_err(broken)? {
                    pending.store(0, Ordering::Relaxed);
                    upload.write(&bytes).await?;
                }
            }
            Some("Path" | "file") => {
                return Err(Problem::request(
                    "an upload has exactly one Path and one file",
                ));
            }
            _ => {
                while field.chunk().await.map_err(broken)?.is_some() {
                    pending.store(0, Ordering::Relaxed);
                }
            }
        }
    }
    Ok(folder)
}

/// Only the last part of the name counts: some clients send a whole path.
fn file_name(field: &Field<'_>) -> Result<String, Problem> {
    let name = field.file_name().unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if name == "." || !name::is_name(name.as_ref()) {
        return Err(Problem::request("the file has no name that could be used"));
    }
    Ok(name.to_owned())
}

async fn text(field: &mut Field<'_>, pending: &AtomicUsize) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(broken)? {
        pending.store(0, Ordering::Relaxed);
        text.extend_from_slice(&bytes);
        if text.len() > PATH {
            return Err(Problem::request("the field 'Path' is too long"));
        }
    }
    String::from_utf8(text).map_err(|_| Problem::request("the field 'Path' is not UTF-8"))
}

fn broken(error: multer::Error) -> Problem {
    use multer::Error::{
        IncompleteFieldData, IncompleteHeaders, IncompleteStream, StreamReadFailed,
    };
    match error {
        StreamReadFailed(why) => Problem::BrokenOff(why.to_string()),
        IncompleteFieldData { .. } | IncompleteHeaders | IncompleteStream => {
            Problem::BrokenOff("the form has no end".to_owned())
        }
        other => Problem::request(format!("the form cannot be read: {other}")),
    }
}

/// Feeds the parser one piece at a time. Without this, the parser would buffer
/// all bytes that are ready before it parses any, and headers without end too.
struct Gate<'b, E> {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, E>> + Send + 'b>>,
    pending: Arc<AtomicUsize>,
    handed: bool,
}

impl<'b, E> Gate<'b, E> {
    fn new(
        body: Pin<Box<dyn Stream<Item = Result<Bytes, E>> + Send + 'b>>,
        pending: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            body,
            pending,
            handed: false,
        }
    }
}

impl<E: Display> Stream for Gate<'_, E> {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.handed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.pending.load(Ordering::Relaxed) > BETWEEN {
            let why = "the bytes between two parts are too many";
            return Poll::Ready(Some(Err(std::io::Error::other(why))));
        }
        self.body.as_mut().poll_next(cx).map(|next| {
            let bytes = match next? {
                Ok(bytes) => bytes,
                Err(e) => return Some(Err(std::io::Error::other(e.to_string()))),
            };
            self.handed = true;
            self.pending.fetch_add(bytes.len(), Ordering::Relaxed);
            Some(Ok(bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const B: &str = "xYz";

    fn part(name: &str, body: &str) -> String {
        format!("--{B}\r\nContent-Disposition: form-data; {name}\r\n\r\n{body}\r\n")
    }

    struct Bed {
        folder: tempfile::TempDir,
        root: Root,
        at: String,
    }

    impl Bed {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = Root::of_host(folder.path().to_owned(), Path::new("/none"));
            let root = root.await.unwrap();
            let at = folder.path().to_str().unwrap().to_owned();
            Self { folder, root, at }
        }

        async fn send(&self, form: String, piece: usize) -> Result<(), Problem> {
            let bytes = Bytes::from(form);
            let pieces: Vec<_> = bytes
                .chunks(piece)
                .map(|c| Ok::<_, Infallible>(Bytes::copy_from_slice(c)))
                .collect();
            let body = Box::pin(stream::iter(pieces));
            receive(&self.root, 0, body, B.to_owned()).await
        }

        fn left(&self) -> usize {
            std::fs::read_dir(self.folder.path()).unwrap().count()
        }
    }

    #[tokio::test]
    async fn a_file_is_stored_for_any_order_of_fields_and_any_cut() {
        for piece in [1, 7, 1000] {
            for path_first in [true, false] {
                let bed = Bed::new().await;
                let path = part("name=\"Path\"", &format!("{}/new/dir", bed.at));
                let file = part(
                    "name=\"file\"; filename=\"C:\\x\\a.txt\"",
                    "1\r\n--2\r\n--xY3",
                );
                let (one, two) = if path_first {
                    (path, file)
                } else {
                    (file, path)
                };
                let form = format!("{one}{}{two}--{B}--\r\n", part("name=\"other\"", "x"));
                bed.send(form, piece).await.unwrap();
                let stored = std::fs::read(bed.folder.path().join("new/dir/a.txt")).unwrap();
                assert_eq!(stored, b"1\r\n--2\r\n--xY3");
                assert_eq!(bed.left(), 1);
            }
        }
    }

    #[tokio::test]
    async fn a_truncated_form_leaves_no_file() {
        let bed = Bed::new().await;
        let path = part("name=\"Path\"", &bed.at);
        let file = part("name=\"file\"; filename=\"f\"", "0123456789");
        let whole = format!("{path}{file}--{B}--");
        for cut in 0..whole.len() {
            let refused = bed.send(whole[..cut].to_owned(), 11).await.unwrap_err();
            assert_eq!(refused.status(), 400, "{cut}: {refused}");
            assert_eq!(bed.left(), 0, "{cut}");
        }
        bed.send(whole, 11).await.unwrap();
        assert_eq!(bed.left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_pauses_for_too_long_fails_and_leaves_no_file() {
        let bed = Bed::new().await;
        let path = part("name=\"Path\"", &format!("{}/new/dir", bed.at));
        // More than `Upload` holds in memory.
        let content = "x".repeat(3 << 20);
        let file = format!(
            "--{B}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{content}"
        );
        for begun in [format!("{path}{file}"), format!("{file}\r\n{path}"), file] {
            let begun = stream::iter([Ok(Bytes::from(begun))]);
            let body = paced(begun.chain(stream::pending()));
            let refused = receive(&bed.root, 0, Box::pin(body), B.to_owned()).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.status(), 400);
            assert!(refused.to_string().contains("nothing came for 300s"));
            assert_eq!(bed.left(), 0);
        }
    }

    #[tokio::test]
    async fn a_malformed_upload_is_refused() {
        let bed = Bed::new().await;
        let path = part("name=\"Path\"", &bed.at);
        let file = |name: &str| part(&format!("name=\"file\"; filename=\"{name}\""), "x");
        for form in [
            path.clone(),
            file("f"),
            format!("{path}{}", file("")),
            format!("{path}{}", file("..")),
            format!("{path}{}", file("a/..")),
            format!("{path}{}{}", file("a"), file("b")),
            format!("{path}{path}{}", file("a")),
            format!("{}{}", part("name=\"Path\"", "/etc"), file("a")),
            format!(
                "{}{}",
                part("name=\"Path\"", &format!("{}/..", bed.at)),
                file("a")
            ),
            format!(
                "{}{}",
                part("name=\"Path\"", &"x".repeat(PATH + 1)),
                file("a")
            ),
        ] {
            let refused = bed.send(format!("{form}--{B}--"), 64).await.unwrap_err();
            assert!(matches!(refused.status().as_u16(), 400 | 403), "{form}");
            assert_eq!(bed.left(), 0, "{form}");
        }
    }

    #[tokio::test]
    async fn the_bytes_between_parts_are_bounded() {
        let bed = Bed::new().await;
        for endless in ["preamble ".to_owned(), format!("--{B}\r\nX-Endless: ")] {
            let handed = Arc::new(AtomicUsize::new(0));
            let count = handed.clone();
            let first = stream::iter([Bytes::from(endless)]);
            let rest = stream::repeat(Bytes::from(vec![b'a'; 64 << 10]));
            let body = first.chain(rest).map(move |bytes| {
                count.fetch_add(bytes.len(), Ordering::Relaxed);
                Ok::<_, Infallible>(bytes)
            });
            let refused = receive(&bed.root, 0, Box::pin(body), B.to_owned()).await;
            assert_eq!(refused.unwrap_err().status(), 400);
            assert!(handed.load(Ordering::Relaxed) < 2 * BETWEEN);
        }
    }
}
