//! Parses `/proc/stat`: how the processors spent their time.

use serde::Serialize;

/// `USER_HZ`: kernels report hundredths of a second, with any internal clock.
const PER_SECOND: f64 = 100.0;

/// Seconds of all processors together, since the host started.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cpu {
    pub(super) count: u64,
    pub(super) user: f64,
    pub(super) nice: f64,
    pub(super) system: f64,
    pub(super) idle: f64,
    pub(super) iowait: f64,
    pub(super) irq: f64,
    pub(super) softirq: f64,
    pub(super) steal: f64,
}

impl Cpu {
    /// The times with the names of their modes.
    pub(super) fn modes(&self) -> [(&'static str, f64); 8] {
        [
            ("user", self.user),
            ("nice", self.nice),
            ("system", self.system),
            ("idle", self.idle),
            ("iowait", self.iowait),
            ("irq", self.irq),
            ("softirq", self.softirq),
            ("steal", self.steal),
        ]
    }
}

/// Reads `/proc/stat`; `None` if it is malformed.
pub(super) fn parse(stat: &str) -> Option<Cpu> {
    let mut all = None;
    let mut count = 0;
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("cpu") => all = Some(words),
            Some(word) if word.starts_with("cpu") => count += 1,
            _ => {}
        }
    }
    let mut times = all?.map_while(|word| word.parse::<u64>().ok());
    let mut seconds = || times.next().map(|ticks| ticks as f64 / PER_SECOND);
    Some(Cpu {
        count,
        user: seconds()?,
        nice: seconds()?,
        system: seconds()?,
        idle: seconds()?,
        // Older kernels have fewer modes.
        iowait: seconds().unwrap_or_default(),
        irq: seconds().unwrap_or_default(),
        softirq: seconds().unwrap_or_default(),
        steal: seconds().unwrap_or_default(),
    })
}

/// The three averages of `/proc/loadavg`.
pub(super) fn load(loadavg: &str) -> Option<[f64; 3]> {
    let mut words = loadavg.split_ascii_whitespace();
    let mut next = || {
        words
            .next()?
            .parse()
            .ok()
            .filter(|load: &f64| load.is_finite())
    };
    Some([next()?, next()?, next()?])
}

/// The seconds since the host started, from `/proc/uptime`.
pub(super) fn uptime(uptime: &str) -> Option<f64> {
    let seconds: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    seconds.is_finite().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_of_all_processors() {
        let stat = "cpu  1000 200 300 40000 500 60 70 80 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n\
                    cpu1 1 1 1 1 1 1 1 1 0 0\nintr 12345 0\nctxt 99\nbtime 1700000000\n";
        let cpu = parse(stat).unwrap();
        assert_eq!(cpu.count, 2);
        assert_eq!((cpu.user, cpu.nice, cpu.idle), (10.0, 2.0, 400.0));
        assert_eq!((cpu.iowait, cpu.steal), (5.0, 0.8));
        assert_eq!(parse("cpu 1 2 3 4\n").unwrap().iowait, 0.0);
    }

    #[test]
    fn text_that_is_not_proc_stat_yields_nothing() {
        for not in ["", "cpu", "cpu a b c d", "cpu0 1 2 3 4", "cpu 1 2 3"] {
            assert_eq!(parse(not), None, "{not:?}");
        }
    }

    #[test]
    fn load_and_uptime_are_read() {
        assert_eq!(load("0.50 1.25 2.00 3/456 789\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(load("0.50 1.25"), None);
        assert_eq!(load("inf 1 1"), None);
        assert_eq!(uptime("12345.67 89.01\n"), Some(12345.67));
        assert_eq!(uptime(""), None);
    }
}
