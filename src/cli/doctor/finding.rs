//! What was found.

use serde::Serialize;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Good,
    /// It may become bad, or is so to some.
    Warning,
    Bad,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Good => "good   ",
            Level::Warning => "warning",
            Level::Bad => "bad    ",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) about: &'static str,
    pub(super) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<&'static str>,
}

/// All of them, in the order in which they were looked at.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, about: &'static str, found: String) {
        self.0.push(Finding { level: Level::Good, about, found, advice: None });
    }

    pub(super) fn warning(&mut self, about: &'static str, found: String, advice: &'static str) {
        self.0.push(Finding { level: Level::Warning, about, found, advice: Some(advice) });
    }

    pub(super) fn bad(&mut self, about: &'static str, found: String, advice: &'static str) {
        self.0.push(Finding { level: Level::Bad, about, found, advice: Some(advice) });
    }

    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }

    pub(super) fn worst(&self) -> Level {
        self.0.iter().map(|finding| finding.level).max().unwrap_or(Level::Good)
    }
}
