//! The table that is printed.

use crate::judge::Finding;
use std::{fmt::Write, time::Duration};

const HEAD: [&str; 11] = [
    "fault",
    "repeats",
    "calls made",
    "answered",
    "refused",
    "unknown",
    "run twice",
    "lost",
    "silence",
    "slowest",
    "verdict",
];

/// The findings as a Markdown table that can be read as it is.
pub(crate) fn table(findings: &[(String, u32, Finding)]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(findings.iter().map(|(fault, repeats, finding)| cells(fault, *repeats, finding)));
    let mut widths = [0; HEAD.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(table, "| {cell:width$} "),
                _ => write!(table, "| {cell:>width$} "),
            };
        }
        table.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = write!(table, "|{}{}", "-".repeat(width + 1), if column == 0 { "-" } else { ":" });
            }
            table.push_str("|\n");
        }
    }
    table
}

fn cells(fault: &str, repeats: u32, finding: &Finding) -> [String; HEAD.len()] {
    let number = |number: usize| number.to_string();
    [
        fault.to_owned(),
        repeats.to_string(),
        number(finding.made),
        number(finding.answered),
        number(finding.refused),
        number(finding.unknown),
        number(finding.twice),
        number(finding.lost),
        seconds(finding.silence),
        seconds(finding.slowest),
        if finding.is_good() { "kept" } else { "BROKEN" }.to_owned(),
    ]
}

fn seconds(time: Duration) -> String {
    if time.is_zero() { "-".to_owned() } else { format!("{:.2} s", time.as_secs_f64()) }
}
