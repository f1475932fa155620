//! As much of Redis's protocol as it takes to see where a command or a reply ends.

/// The words of the first command, and how many bytes it takes; `None` while it is not whole.
pub(crate) fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (count, mut at) = number(bytes, 0, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = number(bytes, at, b'$')?;
        words.push(bytes.get(start..start + length)?.to_vec());
        at = start + length + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

fn number(bytes: &[u8], at: usize, sign: u8) -> Option<(usize, usize)> {
    let (line, end) = line(bytes, at)?;
    assert_eq!(line.first(), Some(&sign), "{:?}", String::from_utf8_lossy(line));
    Some((std::str::from_utf8(&line[1..]).ok()?.parse().ok()?, end))
}

fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    Some((&rest[..end], at + end + 2))
}

/// Where the reply that begins at `at` ends; `None` while it is not whole.
pub(crate) fn end_of_reply(bytes: &[u8], at: usize) -> Option<usize> {
    let (line, end) = line(bytes, at)?;
    let (kind, rest) = line.split_first()?;
    let length = || std::str::from_utf8(rest).ok()?.parse::<i64>().ok();
    let parts = match kind {
        b'$' | b'=' | b'!' => {
            let length = usize::try_from(length()?).ok();
            return length.map_or(Some(end), |length| Some(end + length + 2)).filter(|end| *end <= bytes.len());
        }
        b'*' | b'~' | b'>' => usize::try_from(length()?).unwrap_or(0),
        b'%' => usize::try_from(length()?).unwrap_or(0) * 2,
        _ => 0,
    };
    (0..parts).try_fold(end, |at, _| end_of_reply(bytes, at))
}

/// The texts of a flat list of texts.
pub(crate) fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
    command(bytes).map(|(words, _)| words).unwrap_or_default()
}

/// A message of a channel, as a push of RESP 3 where `pushed`.
pub(crate) fn message(pushed: bool, channel: &[u8], payload: &[u8]) -> Vec<u8> {
    let kind = "message";
    let mut bytes = head(pushed);
    for text in [kind.as_bytes(), channel, payload] {
        add_text(&mut bytes, text);
    }
    bytes
}

/// What confirms a subscription, of which there are `count` now.
pub(crate) fn subscribed(pushed: bool, kind: &str, channel: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = head(pushed);
    add_text(&mut bytes, kind.as_bytes());
    add_text(&mut bytes, channel);
    bytes.extend_from_slice(format!(":{count}\r\n").as_bytes());
    bytes
}

fn head(pushed: bool) -> Vec<u8> {
    if pushed { b">3\r\n".to_vec() } else { b"*3\r\n".to_vec() }
}

/// A command, from its words.
pub(crate) fn pack<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| add_text(&mut bytes, word.as_ref()));
    bytes
}

fn add_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
    bytes.extend_from_slice(text);
    bytes.extend_from_slice(b"\r\n");
}
