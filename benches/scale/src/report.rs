//! Shows measurements beside their bounds, as a table and as curves.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Role;
use crate::curve::{Chart, Line};
use crate::idle::Idle;
use crate::loads::{Loads, Long};

/// The largest size at which the bounds count.
const LARGEST: usize = 1000;

/// One measured value and its bound.
struct Row {
    size: usize,
    role: Role,
    what: &'static str,
    seen: f64,
    /// Absent where there is no bound.
    most: Option<f64>,
    unit: &'static str,
}

#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn idle(
        &mut self,
        size: usize,
        role: Role,
        complete: (Duration, usize),
        idle: Idle,
    ) {
        let (complete, lacking) = complete;
        let kilobytes = match role {
            Role::Worker => 20.0,
            Role::Manager => 200.0,
        };
        let bound = |most| Some(most).filter(|_| size <= LARGEST);
        for (what, seen, most, unit) in [
            ("nodes that are not found", lacking as f64, Some(0.0), ""),
            ("start to complete", complete.as_secs_f64(), None, "s"),
            ("idle processor time", idle.cpu, bound(5.0), "ms/s"),
            ("idle traffic", idle.kilobytes, bound(kilobytes), "KB/s"),
            (
                "idle questions to the engine",
                idle.questions,
                bound(1.0),
                "/s",
            ),
            ("memory", idle.memory, bound(40.0), "MiB"),
        ] {
            self.0.push(Row {
                size,
                role,
                what,
                seen,
                most,
                unit,
            });
        }
    }

    pub(crate) fn loads(&mut self, size: usize, loads: Loads) {
        for (what, seen, most, unit) in [
            ("list of all nodes", loads.list, None, "ms"),
            ("four lists at once", loads.at_once, None, "ms"),
            ("nodes missing in them", loads.missing as f64, Some(0.0), ""),
            (
                "unknown id, 99 of 100",
                loads.unknown,
                Some(2.0 * loads.slowest_list),
                "ms",
            ),
            ("the same id again", loads.again, None, "ms"),
        ] {
            self.0.push(Row {
                size,
                role: Role::Worker,
                what,
                seen,
                most,
                unit,
            });
        }
    }

    pub(crate) fn long(&mut self, size: usize, long: Long) {
        // Of the second one, only the memory counts: its length alone takes longer.
        let (over, memory) = match long.length {
            length if length < 40.0 => ("list of 20 MB, over the slowest node", "memory for it"),
            _ => ("list of 80 MB, over the slowest node", "memory for it too"),
        };
        let most = Some(50.0).filter(|_| long.length < 40.0);
        for (what, seen, most, unit) in [
            (over, long.over, most, "ms"),
            (memory, long.memory, Some(64.0), "MiB"),
        ] {
            self.0.push(Row {
                size,
                role: Role::Worker,
                what,
                seen,
                most,
                unit,
            });
        }
    }

    pub(crate) fn falls_short(&self) -> bool {
        self.0.iter().any(Row::falls_short)
    }

    /// The table, in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = "\n| nodes | agent of a | what | seen | must be | |\n\
                         |---:|---|---|---:|---:|---|\n"
            .to_owned();
        for row in &self.0 {
            let most = row.most.map_or_else(
                || "–".to_owned(),
                |most| format!("≤ {most:.0} {}", row.unit),
            );
            let verdict = match row.most {
                None => "",
                Some(_) if row.falls_short() => "**short**",
                Some(_) => "met",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} | {} | {:.1} {} | {most} | {verdict} |",
                row.size, row.role, row.what, row.seen, row.unit
            );
        }
        table
    }

    /// Draws the curves into this folder.
    pub(crate) fn draw(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for (file, title, what, most) in [
            (
                "scale-cpu.svg",
                "Idle processor time, ms/s",
                "idle processor time",
                Some(5.0),
            ),
            (
                "scale-traffic.svg",
                "Idle traffic, KB/s",
                "idle traffic",
                Some(20.0),
            ),
            ("scale-memory.svg", "Memory, MiB", "memory", Some(40.0)),
            (
                "scale-list.svg",
                "List of all nodes, ms",
                "list of all nodes",
                None,
            ),
        ] {
            let line = |role: Role| Line {
                name: format!("agent of a {role}"),
                points: self.points(what, role),
            };
            let chart = Chart {
                title,
                lines: [Role::Worker, Role::Manager].map(line).into(),
                most,
            };
            fs::write(folder.join(file), chart.svg())?;
        }
        Ok(())
    }

    fn points(&self, what: &str, role: Role) -> Vec<(f64, f64)> {
        let rows = self
            .0
            .iter()
            .filter(|row| row.what == what && row.role == role);
        rows.map(|row| (row.size as f64, row.seen)).collect()
    }
}

impl Row {
    fn falls_short(&self) -> bool {
        self.most.is_some_and(|most| self.seen > most)
    }
}
