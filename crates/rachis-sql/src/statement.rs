//! The text of a statement and the values bound to it.

use std::fmt::Write;

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, 10.7 and newer.
    MySql,
    /// SQLite.
    Sqlite,
}

/// A value as it is bound to a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bound {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond the `i64`s: only MariaDB has such columns.
    Unsigned(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A part of a statement that the catalog of the database names: a table, a column, a type. Only the catalog makes them, so
/// that nothing a client sends can become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// The quoted form of an identifier.
    pub(crate) fn quoted(dialect: Dialect, identifier: &str) -> Name {
        let quote = if dialect == Dialect::MySql { '`' } else { '"' };
        let mut quoted = String::with_capacity(identifier.len() + 2);
        quoted.push(quote);
        for character in identifier.chars() {
            if character == quote {
                quoted.push(quote);
            }
            quoted.push(character);
        }
        quoted.push(quote);
        Name(quoted)
    }

    /// A name within another: a table of a schema.
    pub(crate) fn within(self, outer: Name) -> Name {
        Name(format!("{}.{}", outer.0, self.0))
    }

    /// The type of the elements of an array of this type.
    pub(crate) fn element(&self) -> Name {
        Name(self.0.trim_end_matches("[]").to_owned())
    }

    /// An expression that the catalog itself wrote: the name of a type, the default of a column.
    pub(crate) fn verbatim(text: String) -> Name {
        Name(text)
    }
}

/// A statement while it is written. Its text takes constants, names of the catalog and placeholders, and nothing else: what
/// a client sends is bound.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) dialect: Dialect,
    text: String,
    values: Vec<Bound>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: &'static str) -> Self {
        Statement { dialect, text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(crate) fn name(&mut self, name: &Name) -> &mut Self {
        self.text.push_str(&name.0);
        self
    }

    /// A number of this program's own, such as a position.
    pub(crate) fn number(&mut self, number: usize) -> &mut Self {
        let _ = write!(self.text, "{number}");
        self
    }

    /// A placeholder and what stands for it.
    pub(crate) fn bind(&mut self, value: Bound) -> &mut Self {
        self.values.push(value);
        match self.dialect {
            Dialect::Postgres => {
                let _ = write!(self.text, "${}", self.values.len());
            }
            Dialect::MySql | Dialect::Sqlite => self.text.push('?'),
        }
        self
    }

    /// Writes the items one by one, with `between` between them.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        between: &'static str,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.push(between);
            }
            write(self, item);
        }
        self
    }

    /// Writes conditions in parentheses, halves within halves: SQLite takes no expression that is a thousand levels deep, as a
    /// plain row of a thousand would be.
    pub(crate) fn balanced<T>(
        &mut self,
        items: &[T],
        between: &'static str,
        write: &mut dyn FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.push("(");
        match items {
            [] => {}
            [item] => write(self, item),
            items => {
                let (first, second) = items.split_at(items.len() / 2);
                self.balanced(first, between, write).push(between).balanced(second, between, write);
            }
        }
        self.push(")")
    }

    pub(crate) fn into_parts(self) -> (String, Vec<Bound>) {
        (self.text, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_is_doubled() {
        assert_eq!(Name::quoted(Dialect::Postgres, r#"a"b`"#).0, r#""a""b`""#);
        assert_eq!(Name::quoted(Dialect::MySql, r#"a"b`"#).0, r#"`a"b```"#);
    }

    #[test]
    fn placeholders_are_counted_where_the_database_counts_them() {
        let mut statement = Statement::new(Dialect::Postgres, "SELECT ");
        statement.list([1, 2], ", ", |statement, n| {
            statement.bind(Bound::Integer(n));
        });
        assert_eq!(statement.into_parts().0, "SELECT $1, $2");
    }
}
