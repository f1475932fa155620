//! Commands as the trace shows them.

use std::collections::HashMap;

/// Scripts by their hashes, as far as anybody loaded them.
#[derive(Default)]
pub(crate) struct Names(HashMap<Vec<u8>, String>);

impl Names {
    /// Learns what a script is called from the reply to `SCRIPT LOAD`.
    pub(crate) fn learn(&mut self, script: &[u8], reply: &[u8]) {
        let hash = reply.split(|byte| *byte == b'\n').nth(1).unwrap_or_default().trim_ascii().to_vec();
        self.0.insert(hash, title(script));
    }

    /// A command as the trace shows it.
    pub(crate) fn name(&self, words: &[Vec<u8>]) -> String {
        let word = |at: usize| String::from_utf8_lossy(words.get(at).map_or(&b""[..], |word| word));
        match word(0).to_uppercase().as_str() {
            "EVALSHA" => {
                let name = self.0.get(&words[1]).map_or("(unknown script)", String::as_str);
                format!("EVALSHA {name}, {} {}", word(3), word(4 + usize::from(word(2) != "1")))
            }
            "SCRIPT" => format!("SCRIPT {} {}", word(1), words.get(2).map(|text| title(text)).unwrap_or_default()),
            "XADD" => format!("XADD {} {}", word(1), word(2)),
            _ => (0..words.len().min(9)).map(|at| short(&word(at))).collect::<Vec<_>>().join(" "),
        }
    }
}

fn short(word: &str) -> String {
    word.chars().filter(|sign| !sign.is_control()).take(48).collect()
}

/// What the last comment at the head of a script says, which is what is special about it.
fn title(script: &[u8]) -> String {
    let text = String::from_utf8_lossy(script);
    let mut title = "script";
    for (before, line) in text.lines().zip(text.lines().skip(1)) {
        if line.starts_with("-- ") && !before.starts_with("--") {
            title = line;
        }
    }
    let title = if title == "script" { text.lines().next().unwrap_or_default() } else { title };
    short(title.trim_start_matches("-- "))
}
