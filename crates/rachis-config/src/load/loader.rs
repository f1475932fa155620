//! Which layers a configuration is made of: the defaults, a file, the environment, what code says.

use crate::{
    Config, ConfigError, Origins,
    load::{env, layers::Layers},
    values::origin::Source,
};
use figment::{Error, value::Value};
use serde::Serialize;
use std::{ffi::OsString, fs, io, path::PathBuf};

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
    Layers::defaults().into_defaults()
}
