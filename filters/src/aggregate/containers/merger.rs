//! Merges lists of containers while they arrive.
//!
//! Rows are checked and decorated at their arrival. The next row of the merged list is
//! known as soon as each node has sent its next one, or its last. So a list of any
//! length needs the memory of a few rows of each node.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::decorate::Decoration;
use super::super::pieces::Pieces;
use super::super::{MergeError, NodeTag};
use super::{ContainerQuery, ListedContainer};
use crate::json::{present, splice};

/// What a row needs beside its bytes.
const EACH_ROW: usize = 64;

#[derive(Deserialize)]
struct Row<'a> {
    /// Seconds since 1970.
    #[serde(rename = "Created")]
    created: i64,
    #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
    labels: Option<&'a RawValue>,
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
    #[serde(rename = "Id", borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(rename = "Names", borrow, default)]
    names: Option<&'a RawValue>,
}

impl Row<'_> {
    /// Its id and names. Those that nobody can read are no reason to leave a node out.
    fn listed(&self) -> Option<ListedContainer> {
        Some(ListedContainer {
            id: serde_json::from_str(self.id?.get()).ok()?,
            names: self.names.and_then(|n| serde_json::from_str(n.get()).ok()),
        })
    }
}

/// The lists of several nodes, and the merged list as far as it is known.
pub struct ContainerMerger {
    query: ContainerQuery,
    nodes: Vec<Source>,
    /// The first row of each node that has one: the newest on top, then by node.
    heads: BinaryHeap<(i64, Reverse<usize>)>,
    /// The nodes that may send more and have no row here.
    awaited: usize,
    held: usize,
    written: Written,
}

/// The list of one node.
struct Source {
    node: NodeTag,
    decoration: Decoration,
    pieces: Pieces,
    /// Decorated rows, in the order of the engine.
    rows: VecDeque<(i64, Box<[u8]>)>,
    is_open: bool,
}

/// What was written of the merged list.
struct Written {
    has_begun: bool,
    has_rows: bool,
    /// The rows that may still come.
    room: usize,
}

/// Why no more was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// A node must send its next row first.
    Awaits,
    /// The list is complete.
    Complete,
}

impl ContainerMerger {
    /// A merger for lists of these nodes, whose order decides between rows of the same
    /// second. With `label`, the rows get a label of this name with their node.
    #[must_use]
    pub fn new(query: ContainerQuery, label: Option<&str>, nodes: Vec<NodeTag>) -> Self {
        let source = |node: NodeTag| Source {
            decoration: Decoration::of(&node).labelled(label, [&node]),
            node,
            pieces: Pieces::default(),
            rows: VecDeque::new(),
            is_open: true,
        };
        let written = Written {
            has_begun: false,
            has_rows: false,
            room: query.limit.unwrap_or(usize::MAX),
        };
        Self {
            awaited: nodes.len(),
            nodes: nodes.into_iter().map(source).collect(),
            query,
            heads: BinaryHeap::new(),
            held: 0,
            written,
        }
    }

    /// Takes the next piece of a node's list; `saw` gets the containers in it.
    ///
    /// # Errors
    /// If it cannot be read: then the list of this node [`fail`](Self::fail)s.
    pub fn feed(
        &mut self,
        at: usize,
        piece: &[u8],
        mut saw: impl FnMut(&ListedContainer),
    ) -> Result<(), MergeError> {
        let Some(source) = self.nodes.get_mut(at).filter(|source| source.is_open) else {
            return Ok(());
        };
        let had = source.rows.front().is_some();
        self.held -= source.pieces.held();
        source.pieces.push(piece);
        let read = source.read(&self.query, &mut self.held, &mut saw);
        self.held += source.pieces.held();
        if let (false, Some((created, _))) = (had, source.rows.front()) {
            self.heads.push((*created, Reverse(at)));
            self.awaited -= 1;
        }
        read
    }

    /// Ends the list of a node.
    ///
    /// # Errors
    /// If it is not complete: then it [`fail`](Self::fail)s.
    pub fn finish(&mut self, at: usize) -> Result<(), MergeError> {
        let Some(source) = self.nodes.get_mut(at).filter(|source| source.is_open) else {
            return Ok(());
        };
        source.pieces.finish()?;
        source.is_open = false;
        self.held -= source.pieces.held();
        source.pieces = Pieces::default();
        self.awaited -= usize::from(source.rows.is_empty());
        Ok(())
    }

    /// Leaves a node out, with what has come from it and was not taken.
    pub fn fail(&mut self, at: usize) {
        let Some(source) = self.nodes.get_mut(at) else {
            return;
        };
        self.awaited -= usize::from(source.is_open && source.rows.is_empty());
        source.is_open = false;
        self.held -= source.pieces.held();
        source.pieces = Pieces::default();
        for (_, row) in std::mem::take(&mut source.rows) {
            self.held -= row.len() + EACH_ROW;
        }
        self.heads.retain(|(_, Reverse(n))| *n != at);
    }

    /// The bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the merged list goes on only with the next row of this node.
    #[must_use]
    pub fn awaits(&self, at: usize) -> bool {
        self.nodes
            .get(at)
            .is_some_and(|source| source.is_open && source.rows.is_empty())
    }

    /// Appends the next rows that `keep` admits to `out`, until that has about so many
    /// bytes.
    pub fn take(
        &mut self,
        out: &mut Vec<u8>,
        most: usize,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Progress {
        if !self.written.has_begun {
            self.written.has_begun = true;
            out.push(b'[');
        }
        while self.written.room > 0 {
            if out.len() >= most {
                return Progress::More;
            }
            if self.awaited > 0 {
                return Progress::Awaits;
            }
            let Some(row) = self.next() else { break };
            self.written.room -= 1;
            if keep(&row) {
                if self.written.has_rows {
                    out.push(b',');
                }
                self.written.has_rows = true;
                out.extend_from_slice(&row);
            }
        }
        out.extend_from_slice(b"]\n");
        Progress::Complete
    }

    /// The newest of the nodes' next rows.
    fn next(&mut self) -> Option<Box<[u8]>> {
        let (_, Reverse(at)) = self.heads.pop()?;
        let source = self.nodes.get_mut(at)?;
        let (_, row) = source.rows.pop_front()?;
        self.held -= row.len() + EACH_ROW;
        match source.rows.front() {
            Some((created, _)) => self.heads.push((*created, Reverse(at))),
            None => self.awaited += usize::from(source.is_open),
        }
        Some(row)
    }
}

impl Source {
    /// Reads the rows that have arrived.
    fn read(
        &mut self,
        query: &ContainerQuery,
        held: &mut usize,
        saw: &mut impl FnMut(&ListedContainer),
    ) -> Result<(), MergeError> {
        while let Some((index, text)) = self.pieces.next()? {
            let row: Row<'_> =
                serde_json::from_str(text).map_err(|e| MergeError::of_element(index, e))?;
            if let Some(listed) = row.listed() {
                saw(&listed);
            }
            if !query.admits(row.created, &self.node.id) {
                continue;
            }
            let edits = self.decoration.edits(text, row.portainer, row.labels);
            let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
            let mut out = Vec::with_capacity(text.len() + added);
            splice(&mut out, text, edits);
            *held += out.len() + EACH_ROW;
            self.rows.push_back((row.created, out.into_boxed_slice()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::worker;
    use super::*;

    fn merger(nodes: &[&str]) -> ContainerMerger {
        let nodes = nodes.iter().map(|id| worker(id, "").node).collect();
        ContainerMerger::new(ContainerQuery::default(), None, nodes)
    }

    fn row(id: &str, created: i64) -> String {
        format!(r#"{{"Id":"{id}","Created":{created}}}"#)
    }

    /// The ids of the rows that are known now.
    fn known(merger: &mut ContainerMerger) -> (String, Progress) {
        let mut out = Vec::new();
        let progress = merger.take(&mut out, usize::MAX, |_| true);
        let out = String::from_utf8(out).unwrap();
        let ids = out.split(r#"{"Id":""#).skip(1);
        let ids = ids.filter_map(|rest| rest.split('"').next());
        (ids.collect::<Vec<_>>().join(" "), progress)
    }

    fn feed(merger: &mut ContainerMerger, at: usize, piece: &str) {
        merger.feed(at, piece.as_bytes(), |_| {}).unwrap();
    }

    #[test]
    fn a_row_is_known_once_every_node_has_sent_its_next_one() {
        let mut merger = merger(&["n1", "n2"]);
        feed(&mut merger, 0, &format!("[{},{}", row("a", 9), row("b", 7)));
        assert_eq!(known(&mut merger), (String::new(), Progress::Awaits));
        assert!(!merger.awaits(0) && merger.awaits(1));
        feed(&mut merger, 1, &format!("[{}", row("c", 8)));
        assert_eq!(known(&mut merger), ("a c".to_owned(), Progress::Awaits));
        assert!(!merger.awaits(0) && merger.awaits(1));
        feed(&mut merger, 1, "]");
        merger.finish(1).unwrap();
        assert_eq!(known(&mut merger), ("b".to_owned(), Progress::Awaits));
        feed(&mut merger, 0, &format!(",{}]", row("d", 1)));
        merger.finish(0).unwrap();
        assert_eq!(known(&mut merger), ("d".to_owned(), Progress::Complete));
        assert_eq!(merger.held(), 0);
    }

    #[test]
    fn a_node_that_fails_before_the_first_row_is_left_out_whole() {
        let mut merger = merger(&["n1", "n2"]);
        feed(&mut merger, 0, &format!("[{}", row("a", 9)));
        let garbage = format!(r#"[{},{{"Id":1}}]"#, row("c", 10));
        assert!(merger.feed(1, garbage.as_bytes(), |_| {}).is_err());
        merger.fail(1);
        feed(&mut merger, 0, "]");
        merger.finish(0).unwrap();
        assert_eq!(known(&mut merger), ("a".to_owned(), Progress::Complete));
        assert_eq!(merger.held(), 0);
    }

    #[test]
    fn pieces_of_any_length_make_the_same_list() {
        let lists = [
            format!("[{},{},{}]", row("a", 9), row("b", 9), row("c", 2)),
            "null".to_owned(),
            format!("[{}, {}]\n", row("d", 9), row("e", 3)),
        ];
        let whole = |length: usize| {
            let mut merger = merger(&["n1", "n2", "n3"]);
            let mut out = Vec::new();
            for (at, list) in lists.iter().enumerate() {
                for piece in list.as_bytes().chunks(length) {
                    merger.feed(at, piece, |_| {}).unwrap();
                }
                merger.finish(at).unwrap();
            }
            let mut most = 1;
            while merger.take(&mut out, most, |_| true) == Progress::More {
                most = out.len() + 1;
            }
            assert_eq!(merger.held(), 0);
            String::from_utf8(out).unwrap()
        };
        let expected = whole(1000);
        for length in 1..60 {
            assert_eq!(whole(length), expected);
        }
        let first = |id| expected.find(&format!(r#""Id":"{id}""#)).unwrap();
        assert!(
            ["a", "b", "d", "e", "c"]
                .windows(2)
                .all(|w| first(w[0]) < first(w[1]))
        );
    }

    #[test]
    fn rows_that_are_not_kept_count_for_the_limit_and_leave_no_comma() {
        let query = ContainerQuery {
            limit: Some(2),
            ..ContainerQuery::default()
        };
        let mut merger = ContainerMerger::new(query, None, vec![worker("n1", "").node]);
        let list = format!("[{},{},{}]", row("a", 3), row("b", 2), row("c", 1));
        let mut seen = Vec::new();
        let saw = |one: &ListedContainer| seen.push(one.id.clone());
        merger.feed(0, list.as_bytes(), saw).unwrap();
        assert_eq!(seen, ["a", "b", "c"]);
        let mut out = Vec::new();
        let keep = |row: &[u8]| !row.starts_with(br#"{"Id":"a""#);
        assert_eq!(merger.take(&mut out, usize::MAX, keep), Progress::Complete);
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with(r#"[{"Id":"b""#) && !out.contains(r#""c""#),
            "{out}"
        );
    }
}
