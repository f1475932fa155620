//! What really ran: each handler writes a line when it starts and one when it ends.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Writes lines. All processes of a mesh append to one file: a line is one write, which the system does not split, and
/// what was written outlives the process that is killed right after.
pub(crate) struct Pen {
    file: File,
}

impl Pen {
    pub(crate) fn open(path: &Path) -> io::Result<Pen> {
        Ok(Pen { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    pub(crate) fn started(&self, tag: u64, method: &str) {
        self.write('S', tag, method);
    }

    pub(crate) fn ended(&self, tag: u64, method: &str) {
        self.write('E', tag, method);
    }

    fn write(&self, mark: char, tag: u64, method: &str) {
        let line = format!("{mark} {tag} {method} {} {}\n", std::process::id(), unix_ms());
        (&self.file).write_all(line.as_bytes()).expect("the journal can be written");
    }
}

/// One run of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) method: String,
    /// The process it ran in.
    pub(crate) pid: u32,
    /// When it started, in ms since 1970.
    pub(crate) started: u64,
    /// When it ended, if it has.
    pub(crate) ended: Option<u64>,
}

/// The time that all processes of this machine share.
pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The runs of each call, by its tag.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    runs: HashMap<u64, Vec<Run>>,
}

impl Journal {
    pub(crate) fn read(path: &Path) -> Journal {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Journal::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Journal {
        let mut journal = Journal::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [mark, tag, method, pid, at] = words[..] else { panic!("no line of a journal: {line:?}") };
            let (tag, pid): (u64, u32) = (tag.parse().expect("a tag"), pid.parse().expect("a process id"));
            let at = at.parse().expect("a time");
            let runs = journal.runs.entry(tag).or_default();
            match mark {
                "S" => {
                    runs.push(Run { method: method.to_owned(), pid, started: at, ended: None });
                }
                _ => {
                    let begun = runs.iter_mut().rev().find(|run| run.pid == pid && run.ended.is_none());
                    begun.expect("what ends has begun").ended = Some(at);
                }
            }
        }
        journal
    }

    /// The tags of all runs on these processes that should have ended and have not. Those that only read are given up at their
    /// callers' deadlines.
    pub(crate) fn unended(&self, pids: &HashSet<u32>) -> Vec<u64> {
        let goes_on = |run: &Run| !matches!(run.method.as_str(), "find" | "get");
        let unended =
            |runs: &Vec<Run>| runs.iter().any(|run| run.ended.is_none() && goes_on(run) && pids.contains(&run.pid));
        self.runs.iter().filter(|(_, runs)| unended(runs)).map(|(tag, _)| *tag).collect()
    }

    pub(crate) fn runs(&self, tag: u64) -> &[Run] {
        self.runs.get(&tag).map_or(&[], Vec::as_slice)
    }
}
