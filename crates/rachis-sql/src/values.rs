//! JSON in, JSON out: how the values of a column are read, written and compared.

use crate::{
    catalog::{Column, Kind},
    connection::Cell,
    statement::{Bound, Dialect, Statement},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use serde_json::{Number, Value};

impl Column {
    /// Writes the column as an expression whose value [`Column::json`] reads.
    pub(crate) fn select(&self, statement: &mut Statement) {
        match (statement.dialect, &self.kind) {
            (Dialect::Postgres, Kind::Timestamp { .. } | Kind::Date | Kind::Time) => {
                statement.push("to_json(").name(&self.quoted).push(")#>>'{}'");
            }
            // As the type itself writes its values; a cast may write them otherwise, as that of `inet` does.
            (Dialect::Postgres, Kind::Other) => {
                statement.push("CASE WHEN ").name(&self.quoted).push(" IS NULL THEN NULL ELSE format('%s', ");
                statement.name(&self.quoted).push(") END");
            }
            (Dialect::Postgres, Kind::Array(_)) => {
                statement.push("to_json(").name(&self.quoted).push(")::text");
            }
            (Dialect::Postgres, Kind::Uuid | Kind::Json | Kind::Numeric(_) | Kind::Enum(_) | Kind::Text(_)) => {
                statement.name(&self.quoted).push("::text");
            }
            (Dialect::MySql, Kind::Timestamp { .. }) => {
                statement.push("DATE_FORMAT(").name(&self.quoted).push(", '%Y-%m-%dT%H:%i:%s.%f')");
            }
            (
                Dialect::MySql,
                Kind::Date | Kind::Time | Kind::Numeric(_) | Kind::Uuid | Kind::Json | Kind::Enum(_) | Kind::Other,
            ) => {
                statement.push("CAST(").name(&self.quoted).push(" AS CHAR)");
            }
            _ => {
                statement.name(&self.quoted);
            }
        }
    }

    /// Reads a value that the database returned.
    pub(crate) fn json(&self, cell: Cell) -> Value {
        match (cell, &self.kind) {
            (Cell::Null, _) => Value::Null,
            (Cell::Integer(number), Kind::Bool) => (number != 0).into(),
            (Cell::Bool(flag), _) => flag.into(),
            (Cell::Integer(number), _) => number.into(),
            (Cell::Unsigned(number), _) => number.into(),
            (Cell::Float(number), _) => float(number),
            (Cell::Text(text), Kind::Timestamp { zone }) => instant(&text).map_or(text.into(), |at| written(at, *zone)),
            (Cell::Text(text), Kind::Json | Kind::Array(_)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            (Cell::Text(text), _) => text.into(),
            (Cell::Bytes(bytes), Kind::Json) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            (Cell::Bytes(bytes), _) => BASE64_STANDARD.encode(bytes).into(),
        }
    }

    /// What a record's field is bound as.
    ///
    /// # Errors
    /// What is wrong with the value, to be read after the name of the field.
    pub(crate) fn bound(&self, dialect: Dialect, value: &Value) -> Result<Bound, String> {
        if value.is_null() {
            return Ok(Bound::Null);
        }
        bound(&self.kind, dialect, value)
    }

    /// Writes a placeholder for a value of this column.
    pub(crate) fn bind(&self, statement: &mut Statement, value: Bound) {
        match (statement.dialect, &self.kind) {
            (Dialect::Postgres, Kind::Integer(..) | Kind::Bool | Kind::Bytes | Kind::Text(_)) => {
                statement.bind(value);
            }
            (Dialect::Postgres, Kind::Float { single: false }) => {
                statement.bind(value);
            }
            (Dialect::Postgres, _) => {
                statement.push("CAST(").bind(value).push(" AS ").name(&self.type_name).push(")");
            }
            (Dialect::MySql, Kind::Float { single: true }) => {
                statement.push("CAST(").bind(value).push(" AS FLOAT)");
            }
            _ => {
                statement.bind(value);
            }
        }
    }

    /// Writes a placeholder for a value that this column is compared with.
    pub(crate) fn bind_compared(&self, statement: &mut Statement, value: Bound) {
        match (statement.dialect, &self.kind) {
            // With the digits that were asked for, which those of the column may not be.
            (Dialect::Postgres, Kind::Numeric(_)) => {
                statement.push("CAST(").bind(value).push(" AS numeric)");
            }
            (Dialect::MySql, Kind::Numeric(_)) => {
                statement.push("CAST(").bind(value).push(" AS DECIMAL(65,30))");
            }
            _ => self.bind(statement, value),
        }
    }

    /// What a query compares the column with: `None` for a value of another type, which equals none of its values.
    ///
    /// # Errors
    /// What is wrong with a text that could be none of the column's: no uuid, no date.
    pub(crate) fn operand(&self, dialect: Dialect, value: &Value) -> Result<Option<Bound>, String> {
        match (&self.kind, value) {
            (Kind::Integer(..) | Kind::Float { .. } | Kind::Numeric(_), Value::Number(number)) => match &self.kind {
                Kind::Numeric(_) => Ok(Some(Bound::Text(number.to_string()))),
                _ => Ok(Some(numeric(number))),
            },
            (Kind::Numeric(_), Value::String(text)) => Ok(is_decimal(text).then(|| Bound::Text(text.clone()))),
            (Kind::Bool, Value::Bool(flag)) => Ok(Some(Bound::Bool(*flag))),
            (Kind::Text(_), Value::String(text)) => text_bound(dialect, text).map(Some),
            (Kind::Enum(labels), Value::String(text)) => Ok(labels.contains(text).then(|| Bound::Text(text.clone()))),
            (Kind::Uuid | Kind::Timestamp { .. } | Kind::Date | Kind::Time | Kind::Bytes, Value::String(_)) => {
                bound(&self.kind, dialect, value).map(Some)
            }
            (Kind::Other, Value::Number(number)) if dialect == Dialect::Sqlite => Ok(Some(numeric(number))),
            (Kind::Other, Value::String(text)) => text_bound(dialect, text).map(Some),
            _ => Ok(None),
        }
    }
}

fn numeric(number: &Number) -> Bound {
    match (number.as_i64(), number.as_u64()) {
        (Some(number), _) => Bound::Integer(number),
        (None, Some(number)) => Bound::Unsigned(number),
        (None, None) => Bound::Float(number.as_f64().unwrap_or_default()),
    }
}

fn bound(kind: &Kind, dialect: Dialect, value: &Value) -> Result<Bound, String> {
    let text = |what: &str| value.as_str().ok_or_else(|| format!("must be {what}"));
    match kind {
        Kind::Integer(least, most) => {
            let number = value.as_number().ok_or("must be a number")?;
            let whole = whole(number).ok_or("must be a whole number")?;
            if whole < *least || whole > *most {
                return Err(format!("must be from {least} to {most}"));
            }
            Ok(i64::try_from(whole).map_or_else(|_| Bound::Unsigned(whole as u64), Bound::Integer))
        }
        Kind::Float { single } => {
            let number = value.as_number().ok_or("must be a number")?;
            if *single && number.as_f64().is_some_and(|number| (number as f32).is_infinite()) {
                return Err("is too large".to_owned());
            }
            Ok(match numeric(number) {
                Bound::Unsigned(number) => Bound::Float(number as f64),
                Bound::Integer(number) if dialect == Dialect::Postgres => Bound::Float(number as f64),
                other => other,
            })
        }
        Kind::Numeric(precision) => {
            let number = match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) if is_decimal(text) => text.clone(),
                _ => return Err("must be a number, or one in a text".to_owned()),
            };
            fits(&number, *precision)?;
            Ok(Bound::Text(number))
        }
        Kind::Bool => Ok(Bound::Bool(value.as_bool().ok_or("must be true or false")?)),
        Kind::Text(most) => {
            let text = text("a text")?;
            match most {
                Some(most) if text.chars().count() > *most => Err(format!("has more than {most} characters")),
                _ => text_bound(dialect, text),
            }
        }
        Kind::Uuid => {
            let uuid = uuid::Uuid::parse_str(text("a uuid")?).map_err(|_| "must be a uuid")?;
            Ok(Bound::Text(uuid.hyphenated().to_string()))
        }
        Kind::Timestamp { zone } => {
            let at = instant(text("a date and time")?).ok_or("must be a date and time, as in 2026-12-01T08:30:00Z")?;
            Ok(Bound::Text(match (dialect, zone) {
                (Dialect::Postgres, true) => at.format("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string(),
                (Dialect::Postgres, false) => at.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
                (Dialect::MySql, _) => at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
                // Always as long, so that the order of texts is that of times.
                (Dialect::Sqlite, true) => at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
                (Dialect::Sqlite, false) => at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
            }))
        }
        Kind::Date => {
            let text = text("a date")?;
            let date = text.get(..10).unwrap_or(text);
            // What JavaScript makes of a date has a time, which must be none.
            let rest = text.get(10..).unwrap_or_default();
            let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| is_midnight(rest));
            Ok(Bound::Text(date.ok_or("must be a date, as in 2026-12-01")?.format("%Y-%m-%d").to_string()))
        }
        Kind::Time => {
            let text = text("a time")?;
            let formats = ["%H:%M:%S%.f", "%H:%M"];
            let time = formats.iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok());
            Ok(Bound::Text(time.ok_or("must be a time, as in 08:30:00")?.format("%H:%M:%S%.f").to_string()))
        }
        Kind::Json => Ok(Bound::Text(value.to_string())),
        Kind::Bytes => {
            let bytes = BASE64_STANDARD.decode(text("bytes in base64")?).map_err(|_| "must be bytes in base64")?;
            Ok(Bound::Bytes(bytes))
        }
        Kind::Enum(labels) => {
            let text = text("a text")?;
            if labels.iter().any(|label| label == text) {
                Ok(Bound::Text(text.to_owned()))
            } else {
                Err(format!("must be one of {}", labels.join(", ")))
            }
        }
        Kind::Array(element) => Ok(Bound::Text(array(element, dialect, value)?)),
        Kind::Other => match value {
            Value::String(text) => text_bound(dialect, text),
            Value::Number(number) => Ok(match dialect {
                Dialect::Sqlite => numeric(number),
                _ => Bound::Text(number.to_string()),
            }),
            Value::Bool(flag) if dialect == Dialect::Sqlite => Ok(Bound::Bool(*flag)),
            _ => Err("must be a text or a number".to_owned()),
        },
    }
}

/// PostgreSQL keeps no text with a zero byte in it.
fn text_bound(dialect: Dialect, text: &str) -> Result<Bound, String> {
    if dialect == Dialect::Postgres && text.contains('\0') {
        return Err("must not contain the character U+0000".to_owned());
    }
    Ok(Bound::Text(text.to_owned()))
}

/// An array as PostgreSQL writes it: `{"a","b",NULL}`.
pub(crate) fn array(element: &Kind, dialect: Dialect, value: &Value) -> Result<String, String> {
    let items = value.as_array().ok_or("must be a list")?;
    let mut literal = String::from("{");
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            literal.push(',');
        }
        match item {
            Value::Null => literal.push_str("NULL"),
            Value::Array(_) => literal.push_str(&array(element, dialect, item)?),
            item => {
                let text = match bound(element, dialect, item).map_err(|what| format!("has an item that {what}"))? {
                    Bound::Null => String::new(),
                    Bound::Bool(flag) => flag.to_string(),
                    Bound::Integer(number) => number.to_string(),
                    Bound::Unsigned(number) => number.to_string(),
                    Bound::Float(number) => number.to_string(),
                    Bound::Text(text) => text,
                    Bound::Bytes(bytes) => {
                        bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
                    }
                };
                literal.push('"');
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        literal.push('\\');
                    }
                    literal.push(character);
                }
                literal.push('"');
            }
        }
    }
    literal.push('}');
    Ok(literal)
}

/// The number, if it has no fraction.
pub(crate) fn whole(number: &Number) -> Option<i128> {
    // Far beyond all columns, and exact below.
    const MOST: f64 = 1e30;
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    integer.or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < MOST).map(|f| f as i128))
}

/// A number as JavaScript writes it: without a point where there is no fraction.
fn float(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        return (number as i64).into();
    }
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    (!whole.is_empty() || !fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && (1..=4).contains(&exponent.len())
        && digits(exponent)
}

/// # Errors
/// Says so if a number has more digits than its column, which would cut some of them.
fn fits(number: &str, precision: Option<(u32, u32)>) -> Result<(), String> {
    let Some((digits, scale)) = precision else { return Ok(()) };
    let plain = number.trim_start_matches(['-', '+']);
    if plain.contains(['e', 'E']) {
        // Its digits are counted by the database.
        return Ok(());
    }
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let whole = whole.trim_start_matches('0').len();
    let fraction = fraction.trim_end_matches('0').len();
    if whole as u32 > digits.saturating_sub(scale) || fraction as u32 > scale {
        return Err(format!("has more than {digits} digits, or more than {scale} after the point"));
    }
    Ok(())
}

fn is_midnight(rest: &str) -> bool {
    rest.chars().all(|c| matches!(c, 'T' | ' ' | '0' | ':' | '.' | 'Z' | '+'))
}

/// Reads a date with a time; without a zone, it is taken for one of UTC.
fn instant(text: &str) -> Option<NaiveDateTime> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc).naive_utc());
    }
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
    let local = local.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let zoned = || zoned.iter().find_map(|format| DateTime::parse_from_str(text, format).ok());
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    local.or_else(|| zoned().map(|at| at.naive_utc())).or_else(date)
}

/// As JavaScript writes times, with more digits where there are more.
fn written(at: NaiveDateTime, zone: bool) -> Value {
    let micros = at.and_utc().timestamp_subsec_micros();
    let format = if micros.is_multiple_of(1000) { SecondsFormat::Millis } else { SecondsFormat::Micros };
    let text = at.and_utc().to_rfc3339_opts(format, true);
    if zone { text.into() } else { text.trim_end_matches('Z').into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_in_every_form_and_written_in_one() {
        for text in [
            "2026-12-01T08:30:00.5Z",
            "2026-12-01T09:30:00.500+01:00",
            "2026-12-01 08:30:00.5",
            "2026-12-01 08:30:00.5+00",
            "2026-12-01T08:30:00.500000",
        ] {
            assert_eq!(written(instant(text).unwrap(), true), "2026-12-01T08:30:00.500Z", "{text}");
        }
        assert_eq!(written(instant("2026-12-01").unwrap(), false), "2026-12-01T00:00:00.000");
        assert_eq!(written(instant("2026-12-01T08:30:00.123456").unwrap(), false), "2026-12-01T08:30:00.123456");
        assert!(instant("yesterday").is_none() && instant("").is_none());
    }

    #[test]
    fn a_decimal_is_digits_with_at_most_one_point() {
        for good in ["1", "-1.5", "0.10", "1e5", ".5", "5."] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", ".", "1.2.3", "NaN", "1e", "1 ", "0x1", "1e99999"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }

    #[test]
    fn a_number_beyond_its_column_is_refused_and_none_is_cut() {
        let numeric = |value: Value| bound(&Kind::Numeric(Some((5, 2))), Dialect::Postgres, &value);
        assert_eq!(numeric(json!("123.45")), Ok(Bound::Text("123.45".into())));
        assert_eq!(numeric(json!(1.10)), Ok(Bound::Text("1.1".into())));
        assert!(numeric(json!("1234")).is_err() && numeric(json!("1.234")).is_err() && numeric(json!("x")).is_err());
        let small = |value: Value| bound(&Kind::Integer(-128, 127), Dialect::MySql, &value);
        assert_eq!(small(json!(-128.0)), Ok(Bound::Integer(-128)));
        assert!(small(json!(128)).is_err() && small(json!(1.5)).is_err() && small(json!("1")).is_err());
    }

    #[test]
    fn items_of_an_array_are_quoted() {
        let value = json!(["a\"b", "c\\d", null, "{}", ["x"]]);
        let literal = array(&Kind::Text(None), Dialect::Postgres, &value).unwrap();
        assert_eq!(literal, r#"{"a\"b","c\\d",NULL,"{}",{"x"}}"#);
    }
}
