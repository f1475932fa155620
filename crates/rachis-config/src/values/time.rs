//! Durations: `"500ms"`, `"10s"`, or a number of milliseconds.

use crate::values::value::deserialize_by_reading;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::{fmt, time::Duration};

/// A century. Beyond it, adding a duration to a point in time could overflow, which panics.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// When the node joins the mesh. Written as a duration, or as `-1` or `"manual"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartDelay {
    /// So long after it was started; zero is at once.
    After(Duration),
    /// Only when the program says so.
    Manual,
}

impl StartDelay {
    fn read(value: &Value) -> Option<Self> {
        let manual = value.as_i64() == Some(-1) || matches!(value.as_str(), Some("-1" | "manual"));
        if manual { Some(StartDelay::Manual) } else { read(value).map(StartDelay::After) }
    }
}

impl fmt::Display for StartDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartDelay::After(delay) => humantime::format_duration(*delay).fmt(f),
            StartDelay::Manual => f.write_str("manual"),
        }
    }
}

/// How long a path stays callable after its last replica went. Written as a duration, or as `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    /// So long; zero is not at all.
    For(Duration),
    /// Until a replica comes back, whenever that is.
    Forever,
}

impl Linger {
    fn read(value: &Value) -> Option<Self> {
        if value.as_str() == Some("forever") { Some(Linger::Forever) } else { read(value).map(Linger::For) }
    }
}

impl fmt::Display for Linger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Linger::For(time) => humantime::format_duration(*time).fmt(f),
            Linger::Forever => f.write_str("forever"),
        }
    }
}

impl Serialize for StartDelay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Linger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize_by_reading!(
    StartDelay,
    "a duration such as \"500ms\" or \"10s\", a number of milliseconds, or -1 or \"manual\""
);
deserialize_by_reading!(Linger, "a duration such as \"500ms\" or \"10s\", a number of milliseconds, or \"forever\"");

/// `#[serde(with = "duration")]`, as `Duration` itself cannot be taught to read text.
pub mod duration {
    use super::*;
    use serde::Deserialize;

    struct Written(Duration);

    impl Written {
        fn read(value: &Value) -> Option<Self> {
            super::read(value).map(Written)
        }
    }

    deserialize_by_reading!(
        Written,
        "a duration such as \"500ms\" or \"10s\", or a number of milliseconds, at most 100 years"
    );

    /// Writes `500ms`.
    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }

    /// Reads `500ms`, or a number of milliseconds.
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Written::deserialize(from).map(|written| written.0)
    }

    /// The same for a duration that may be left out.
    pub(crate) mod option {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
            time.map(humantime::format_duration).map(|text| text.to_string()).serialize(to)
        }

        pub(crate) fn deserialize<'de, D>(from: D) -> Result<Option<Duration>, D::Error>
        where
            D: serde::Deserializer<'de>,
        {
            Ok(Option::<Written>::deserialize(from)?.map(|written| written.0))
        }
    }
}

fn read(value: &Value) -> Option<Duration> {
    let time = match value {
        Value::Number(number) => Duration::from_millis(number.as_u64()?),
        Value::String(text) => match text.trim().parse() {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            Err(_) => humantime::parse_duration(text).ok()?,
        },
        _ => return None,
    };
    (time <= LONGEST).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_duration_is_text_with_a_unit_or_a_number_of_milliseconds() {
        let cases = [
            (json!("500ms"), Some(500)),
            (json!("10s"), Some(10_000)),
            (json!("1m 30s"), Some(90_000)),
            (json!("1h"), Some(3_600_000)),
            (json!(0), Some(0)),
            (json!(250), Some(250)),
            (json!("250"), Some(250)),
            (json!(" 250 "), Some(250)),
            (json!(-1), None),
            (json!("-1s"), None),
            (json!(1.5), None),
            (json!("10 parsecs"), None),
            (json!(""), None),
            (json!(true), None),
            (json!(["1s"]), None),
            (json!(u64::MAX), None),
            (json!("1000years"), None),
            (json!("99999999999999999999s"), None),
        ];
        for (written, milliseconds) in cases {
            assert_eq!(read(&written), milliseconds.map(Duration::from_millis), "{written}");
        }
    }

    #[test]
    fn minus_one_or_manual_means_a_start_by_hand() {
        for written in [json!(-1), json!("-1"), json!("manual")] {
            assert_eq!(StartDelay::read(&written), Some(StartDelay::Manual), "{written}");
        }
        assert_eq!(StartDelay::read(&json!("2s")), Some(StartDelay::After(Duration::from_secs(2))));
        assert_eq!(StartDelay::read(&json!(-2)), None);
    }

    #[test]
    fn forever_is_a_way_to_linger() {
        assert_eq!(Linger::read(&json!("forever")), Some(Linger::Forever));
        assert_eq!(Linger::read(&json!(0)), Some(Linger::For(Duration::ZERO)));
        assert_eq!(Linger::read(&json!("always")), None);
    }

    #[test]
    fn what_is_displayed_can_be_read_again() {
        let delays = [StartDelay::Manual, StartDelay::After(Duration::from_millis(1500))];
        for delay in delays {
            assert_eq!(StartDelay::read(&json!(delay.to_string())), Some(delay));
        }
        for linger in [Linger::Forever, Linger::For(Duration::ZERO), Linger::For(Duration::from_secs(60))] {
            assert_eq!(Linger::read(&json!(linger.to_string())), Some(linger));
        }
    }
}
