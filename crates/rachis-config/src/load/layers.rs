//! One layer over the other. Each has to hold on its own over those below it, so that an error names the layer that brought
//! it.

use crate::{Config, ConfigError, Origins, values::origin::Source};
use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

/// `config/default.toml`: every key, with its meaning and its default.
pub const DEFAULTS: &str = include_str!("../../default.toml");

/// The layers so far. Whatever is in them has been read as a [`Config`] without error.
#[derive(Clone)]
pub(crate) struct Layers {
    figment: Figment,
    origins: Origins,
    pub(crate) warnings: Vec<String>,
}

struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

impl Layers {
    pub(super) fn defaults() -> Self {
        let values = parse("default.toml", DEFAULTS).unwrap_or_default();
        let layer = Layer { origin: Source::Defaults.name(), values };
        Layers { figment: Figment::from(layer), origins: Origins::default(), warnings: Vec::new() }
    }

    /// Returns the configuration of the defaults alone.
    pub(super) fn into_defaults(self) -> Config {
        // The text is part of the program, and a test loads it: it cannot fail where the tests passed.
        #[allow(clippy::expect_used)]
        self.figment.extract().expect("default.toml holds every key")
    }

    /// Puts `values` on top, unless a key is unknown or has a value of the wrong type.
    pub(crate) fn add(&mut self, source: &Source, values: Dict) -> Result<(), ConfigError> {
        let mut origins = self.origins.clone();
        origins.note(source, &values);
        let figment = self.figment.clone().merge(Layer { origin: source.name(), values });
        figment.extract::<Config>().map_err(|error| ConfigError::explain(&source.name(), &error))?;
        self.origins = origins;
        self.figment = figment;
        Ok(())
    }

    /// The text at `key`, or nothing if it is of another type.
    pub(crate) fn text(&self, key: &str) -> String {
        let value = self.figment.find_value(key).ok();
        value.and_then(|value| value.into_string()).unwrap_or_default()
    }

    pub(super) fn add_toml(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let values = parse(origin, text)?;
        self.add(&Source::toml(origin, text), values)
    }

    pub(super) fn add_overrides(&mut self, source: &Source, values: Result<Value, Error>) -> Result<(), ConfigError> {
        let values = values.map_err(|error| ConfigError::explain(&source.name(), &error))?;
        match given(values) {
            Some(Value::Dict(_, values)) => self.add(source, values),
            None => Ok(()),
            Some(_) => Err(ConfigError::new("expected a map of keys and values").written_in(source.name())),
        }
    }

    pub(super) fn finish(self) -> Result<(Config, Origins), ConfigError> {
        let explain = |error| ConfigError::explain("configuration", &error);
        let mut config: Config = self.figment.extract().map_err(explain)?;
        config.warnings = self.warnings;
        config.validate().map_err(|error| {
            let origin = error.key().and_then(|key| self.figment.find_metadata(key));
            match origin.map(|origin| origin.name.to_string()) {
                Some(origin) => error.written_in(origin),
                None => error,
            }
        })?;
        Ok((config, self.origins))
    }
}

fn parse(origin: &str, text: &str) -> Result<Dict, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        // Not the error's own Display: it quotes the line, which may hold a password.
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let message = error.message().lines().next().unwrap_or_default();
        ConfigError::new(format!("is not valid TOML at line {line}: {message}")).written_in(origin)
    })?;
    let unreadable = |error: Error| ConfigError::explain(origin, &error);
    let value = Value::serialize(table).map_err(unreadable)?;
    Ok(value.into_dict().unwrap_or_default())
}

/// `value` without what is `None`.
fn given(value: Value) -> Option<Value> {
    match value {
        Value::Empty(..) => None,
        Value::Dict(tag, dict) => {
            let given = dict.into_iter().filter_map(|(key, value)| Some((key, given(value)?)));
            Some(Value::Dict(tag, given.collect()))
        }
        value => Some(value),
    }
}
