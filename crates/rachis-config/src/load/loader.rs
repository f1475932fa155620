//! One layer over the other. Each has to hold on its own over those below it, so that an error names the layer that brought
//! it.

use crate::{Config, ConfigError, Origins, load::env, values::origin::Source};
use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use serde::Serialize;
use std::{ffi::OsString, fs, io, path::PathBuf};

const DEFAULTS: &str = include_str!("../../default.toml");
const FILE: &str = "distribution.toml";
/// Names another file.
const FILE_VARIABLE: &str = "DISTRIBUTION_CONFIG";

/// Builds a [`Config`] from its layers; begun by [`Config::loader`].
///
/// ```
/// use rachis::Config;
/// use serde_json::json;
///
/// let config = Config::loader().env([("PORT", "8080")]).overrides(json!({ "gateway": { "prefix": "/api" } })).load()?;
/// assert_eq!((config.gateway.listen.as_str(), config.gateway.prefix.as_str()), ("127.0.0.1:8080", "/api"));
/// # Ok::<_, rachis::config::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is loaded before .load()"]
pub struct Loader {
    /// The file that code asked for.
    file: Option<File>,
    /// `None`: that of this process.
    env: Option<Vec<(OsString, OsString)>>,
    overrides: Vec<(Source, Result<Value, Error>)>,
}

/// A file of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Whether it was asked for, so that it has to be there.
    required: bool,
}

impl Loader {
    pub(crate) fn new() -> Self {
        Loader { file: None, env: None, overrides: Vec::new() }
    }

    /// Reads this file instead of the one that the variable `DISTRIBUTION_CONFIG` names, or `distribution.toml` in the
    /// current directory. It has to exist.
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        Loader { file: Some(File { path: path.into(), required: true }), ..self }
    }

    /// Reads this file if it is there.
    #[cfg(test)]
    pub(crate) fn file_if_there(self, path: impl Into<PathBuf>) -> Self {
        Loader { file: Some(File { path: path.into(), required: false }), ..self }
    }

    /// The file that is read.
    pub(crate) fn source(&self) -> File {
        if let Some(file) = &self.file {
            return file.clone();
        }
        match self.variable(FILE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => File { path: path.into(), required: true },
            None => File { path: FILE.into(), required: false },
        }
    }

    /// The value of a variable of the environment that is read.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        match &self.env {
            Some(env) => env.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()),
            None => std::env::var_os(name),
        }
    }

    /// Takes these variables for the environment instead of those of this process.
    pub fn env<N: Into<OsString>, V: Into<OsString>>(self, variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Loader { env: Some(variables.collect()), ..self }
    }

    /// Puts `values` above every other layer, as a command line does: anything that serializes to a map shaped like the
    /// configuration. What is `None` does not override, so a struct of options will do. Later values win.
    pub fn overrides(mut self, values: impl Serialize) -> Self {
        self.overrides.push((Source::CommandLine, Value::serialize(values)));
        self
    }

    /// Does what [`overrides`](Loader::overrides) does for values that come from elsewhere than a command line: errors and
    /// [`Origins`] call their source `name`.
    ///
    /// ```
    /// use rachis::Config;
    /// use serde_json::json;
    ///
    /// let error = Config::loader().overrides_of("options of the plugin", json!({ "timeout": "soon" })).load().unwrap_err();
    /// assert!(error.to_string().contains("options of the plugin"), "{error}");
    /// ```
    pub fn overrides_of(mut self, name: impl Into<String>, values: impl Serialize) -> Self {
        self.overrides.push((Source::Program(name.into()), Value::serialize(values)));
        self
    }

    /// Reads all layers and checks the outcome.
    pub fn load(self) -> Result<Config, ConfigError> {
        self.explain().map(|(config, _)| config)
    }

    /// Does what [`load`](Loader::load) does, and says where each value comes from.
    pub fn explain(self) -> Result<(Config, Origins), ConfigError> {
        let mut layers = Layers::defaults();
        let file = self.source();
        if let Some(text) = file.read()? {
            layers.add_toml(&file.path.display().to_string(), &text)?;
        }
        let variables = self.env.unwrap_or_else(|| std::env::vars_os().collect());
        env::add(&mut layers, variables)?;
        for (source, values) in self.overrides {
            layers.add_overrides(&source, values)?;
        }
        layers.finish()
    }
}

impl File {
    fn read(&self) -> Result<Option<String>, ConfigError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.required => Ok(None),
            Err(error) => {
                let message = format!("cannot be read ({error}): check the path and its permissions");
                Err(ConfigError::new(message).written_in(self.path.display().to_string()))
            }
        }
    }
}

/// Without this, the derived one would print secrets.
impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("file", &self.file).finish_non_exhaustive()
    }
}

pub(crate) fn from_toml(text: &str) -> Result<Config, ConfigError> {
    let mut layers = Layers::defaults();
    layers.add_toml("TOML text", text)?;
    layers.finish().map(|(config, _)| config)
}

pub(crate) fn defaults() -> Config {
    // The text is part of the program, and a test loads it: it cannot fail where the tests passed.
    #[allow(clippy::expect_used)]
    Layers::defaults().figment.extract().expect("default.toml holds every key")
}

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
    fn defaults() -> Self {
        let values = parse("default.toml", DEFAULTS).unwrap_or_default();
        let layer = Layer { origin: Source::Defaults.name(), values };
        Layers { figment: Figment::from(layer), origins: Origins::default(), warnings: Vec::new() }
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

    fn add_toml(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let values = parse(origin, text)?;
        self.add(&Source::toml(origin, text), values)
    }

    fn add_overrides(&mut self, source: &Source, values: Result<Value, Error>) -> Result<(), ConfigError> {
        let values = values.map_err(|error| ConfigError::explain(&source.name(), &error))?;
        match given(values) {
            Some(Value::Dict(_, values)) => self.add(source, values),
            None => Ok(()),
            Some(_) => Err(ConfigError::new("expected a map of keys and values").written_in(source.name())),
        }
    }

    fn finish(self) -> Result<(Config, Origins), ConfigError> {
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
