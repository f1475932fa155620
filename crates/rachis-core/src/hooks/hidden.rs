//! Fields that clients do not see, and therefore can not ask for either.
//!
//! A condition, an order or a choice of records by a field tells its value, bit by bit, to a client that repeats
//! the question. So a query of a client that names a hidden field is refused before anything runs.

use crate::{Error, Query, Result};
use serde_json::{Map, Value};

/// The hidden fields of one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    path: Vec<String>,
}

/// What a part of a query means.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Keys are fields; texts are values to compare with.
    Condition,
    /// Keys and texts are fields to sort by.
    Sort,
    /// Keys and texts are fields to return.
    Select,
    /// An operator of a store's own: keys are fields, and texts that begin with `$` refer to some.
    Foreign,
}

impl Part {
    fn of_operator(self, operator: &str) -> Part {
        match operator {
            "$sort" => Part::Sort,
            "$select" => Part::Select,
            "$or" | "$and" | "$nor" | "$not" | "$elemMatch" | "$all" | "$in" | "$nin" | "$lt" | "$lte" | "$gt"
            | "$gte" | "$ne" | "$eq" | "$limit" | "$skip" => self,
            _ => Part::Foreign,
        }
    }
}

impl Hidden {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let field = |name: &String| Field { name: name.clone(), path: segments(name) };
        Hidden { fields: names.into_iter().map(field).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Looks through a query of a client.
    ///
    /// # Errors
    /// `BadRequest` if it names a hidden field, one inside of it, or, but for `$select`, one that contains it.
    pub(crate) fn check(&self, query: &Query) -> Result<()> {
        self.check_map(query, &mut Vec::new(), Part::Condition)
    }

    fn check_value(&self, value: &Value, at: &mut Vec<String>, part: Part) -> Result<()> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.check_value(item, at, part)),
            Value::Object(map) => self.check_map(map, at, part),
            Value::String(text) => self.check_text(text, at, part),
            _ => Ok(()),
        }
    }

    fn check_map(&self, map: &Map<String, Value>, at: &mut Vec<String>, part: Part) -> Result<()> {
        map.iter().try_for_each(|(key, value)| {
            if key.starts_with('$') {
                return self.check_value(value, at, part.of_operator(key));
            }
            let outer = at.len();
            at.extend(segments(key));
            self.check_path(at, part)?;
            self.check_value(value, at, part)?;
            at.truncate(outer);
            Ok(())
        })
    }

    fn check_text(&self, text: &str, at: &[String], part: Part) -> Result<()> {
        match part {
            Part::Condition => Ok(()),
            // One name, or several as some stores take them: `name,-age`, `name age`, `age:desc`.
            Part::Sort | Part::Select => {
                let several = text.split([',', ' ', ':', ';']).chain([text]);
                several.map(|name| [at, &segments(name)].concat()).try_for_each(|path| self.check_path(&path, part))
            }
            Part::Foreign => {
                let Some(reference) = text.strip_prefix('$') else { return Ok(()) };
                // `$$ROOT.name` is the field `name`.
                let inner = reference.strip_prefix('$').and_then(|variable| variable.split_once('.'));
                self.check_path(&segments(inner.map_or(reference, |(_, name)| name)), part)
            }
        }
    }

    fn check_path(&self, path: &[String], part: Part) -> Result<()> {
        let meets = |field: &&Field| {
            path.starts_with(&field.path) || (part != Part::Select && !path.is_empty() && field.path.starts_with(path))
        };
        match self.fields.iter().find(meets) {
            None => Ok(()),
            Some(field) => Err(Error::bad_request(format!(
                "The field '{}' is hidden from clients, so it can not be used in their queries",
                field.name
            ))),
        }
    }
}

/// The parts of a field's path, in one spelling: stores differ in what they make of upper case, underscores, quotes and
/// brackets. Indices of lists are left out, since a hidden field is hidden in all elements.
fn segments(path: &str) -> Vec<String> {
    let word = |segment: &str| segment.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let words = path.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').map(word);
    let words = words.filter(|word: &String| !word.is_empty());
    let is_index = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let segments: Vec<String> =
        words.enumerate().filter(|(place, word)| *place == 0 || !is_index(word)).map(|(_, word)| word).collect();
    // A name without letters is only ever itself.
    if segments.is_empty() && !path.is_empty() { vec![path.to_owned()] } else { segments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(query: Value) -> Result<()> {
        let hidden = ["password", "login.pin", "keys.secret_key"].map(str::to_owned);
        Hidden::new(&hidden).check(&query.into())
    }

    #[test]
    fn a_hidden_field_is_refused_under_whatever_operator_and_nesting() {
        for query in [
            json!({ "password": "x" }),
            json!({ "password": null }),
            json!({ "password": { "$gte": "x" } }),
            json!({ "password": { "$in": ["x"] } }),
            json!({ "email": "a", "$or": [{ "name": "b" }, { "password": { "$lt": "x" } }] }),
            json!({ "$and": [{ "$or": [{ "$and": [{ "password": { "$ne": "x" } }] }] }] }),
            json!({ "$nor": [{ "password": "x" }] }),
            json!({ "$not": { "password": "x" } }),
            json!({ "$sort": { "name": 1, "password": -1 } }),
            json!({ "$sort": ["-password"] }),
            json!({ "$sort": [["password", "asc"]] }),
            json!({ "$sort": "name,password:desc" }),
            json!({ "$select": ["name", "password"] }),
            json!({ "$select": "password" }),
            json!({ "$select": { "password": 1 } }),
            json!({ "$expr": { "$gte": ["$password", "x"] } }),
            json!({ "$expr": { "$gte": ["$$ROOT.password", "x"] } }),
            json!({ "$group": { "password": 1 } }),
        ] {
            let error = check(query.clone()).unwrap_err();
            assert_eq!(error.code(), 400, "{query}");
            assert_eq!(
                error.message(),
                "The field 'password' is hidden from clients, so it can not be used in their queries",
                "{query}"
            );
        }
    }

    #[test]
    fn a_path_into_around_or_beside_a_hidden_field_is_refused_in_any_spelling() {
        for field in [
            "password.x",
            "password.0",
            "password[0]",
            "Password",
            "PASS_WORD",
            "\"password\"",
            " password",
            ".password.",
            "login",
            "login.pin",
            "login.pin.x",
            "login.0.pin",
            "Login.PIN",
            "keys.0.secretKey",
            "keys.secret-key",
        ] {
            for query in
                [json!({ field: "x" }), json!({ "$or": [{ field: { "$gt": "x" } }] }), json!({ "$sort": { field: 1 } })]
            {
                assert_eq!(check(query.clone()).unwrap_err().code(), 400, "{query}");
            }
        }
        for query in [
            json!({ "login": { "pin": "1" } }),
            json!({ "keys": { "$elemMatch": { "secret_key": { "$gt": "a" } } } }),
            json!({ "$select": ["login.pin"] }),
        ] {
            assert_eq!(check(query.clone()).unwrap_err().code(), 400, "{query}");
        }
    }

    #[test]
    fn all_else_may_be_asked_for() {
        for query in [
            json!({}),
            json!({ "email": "password", "$limit": 5, "$skip": "1" }),
            json!({ "email": { "$in": ["password", "$password"] } }),
            json!({ "login.name": "x", "passwords": 1, "my_password": 1, "settings.password": 1 }),
            json!({ "settings": { "password": 1 } }),
            json!({ "$select": ["login", "name"], "$sort": { "login.name": 1, "name": -1 } }),
            json!({ "$search": "password" }),
            json!({ "0": 1, "": 1 }),
        ] {
            assert_eq!(check(query.clone()), Ok(()), "{query}");
        }
    }

    #[test]
    fn a_name_without_letters_hides_nothing_else() {
        let hidden = Hidden::new(&["_".to_owned()]);
        assert_eq!(hidden.check(&json!({ "name": 1, "$sort": { "x": 1 } }).into()), Ok(()));
        assert!(hidden.check(&json!({ "_": 1 }).into()).is_err());
    }
}
