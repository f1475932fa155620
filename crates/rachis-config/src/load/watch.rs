//! A configuration that is read again when its files change, or when the process is told to (SIGHUP).

use crate::{Config, ConfigError, ENV, EnvUse, Loader};
use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::PathBuf,
    time::Duration,
};

/// How often files are looked at. Their contents are compared, since a mounted secret changes by a link elsewhere.
const LOOK: Duration = Duration::from_secs(2);
/// How long files must stay the same before they are read, since they may be written in several steps.
const SETTLED: Duration = Duration::from_millis(200);

/// Waits for changes of a configuration; begun by [`Loader::watch`].
///
/// ```no_run
/// use rachis::{App, Config, Node};
///
/// # async fn run() -> rachis::Result<()> {
/// let loader = Config::loader();
/// let mut watch = loader.clone().watch();
/// let node = Node::builder(loader.load()?).app(App::new()).start().await?;
/// loop {
///     match watch.next().await {
///         Ok(config) => println!("{:?}", node.reload(config)?),
///         Err(error) => eprintln!("not taken: {error}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    loader: Loader,
    /// Files that the configuration names, and that belong to it.
    named: Vec<PathBuf>,
    stamp: u64,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Watch {
    pub(crate) fn new(loader: Loader) -> Self {
        // What cannot be read yet names no files.
        let named = loader.clone().load().map(|config| named(&config)).unwrap_or_default();
        let mut watch = Watch {
            named,
            stamp: 0,
            // Where signals cannot be heard, files are watched all the same.
            #[cfg(unix)]
            hangup: None,
            loader,
        };
        watch.stamp = watch.look();
        watch
    }

    /// Waits until a file of the configuration has changed (`distribution.toml`, those that variables such as
    /// `REDIS_PASSWORD_FILE` name, certificates) or SIGHUP has come, and reads all layers again. Files are looked at every
    /// two seconds; their contents count, not their times. The signal counts from the first call on.
    ///
    /// # Errors
    /// What is wrong with the new configuration; the next change may mend it.
    pub async fn next(&mut self) -> Result<Config, ConfigError> {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = looks.tick() => if self.look() == self.stamp { continue },
                () = self.hangup() => {}
            }
            self.settle().await;
            let config = self.loader.clone().load();
            if let Ok(config) = &config {
                self.named = named(config);
                self.stamp = self.look();
            }
            return config;
        }
    }

    async fn settle(&mut self) {
        loop {
            self.stamp = self.look();
            tokio::time::sleep(SETTLED).await;
            if self.look() == self.stamp {
                return;
            }
        }
    }

    /// What is in the files now, in short.
    fn look(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in self.loader.files().iter().chain(&self.named) {
            file.hash(&mut hasher);
            fs::read(file).ok().hash(&mut hasher);
        }
        hasher.finish()
    }

    #[cfg(unix)]
    async fn hangup(&mut self) {
        use tokio::signal::unix::{SignalKind, signal};
        if self.hangup.is_none() {
            self.hangup = signal(SignalKind::hangup()).ok();
        }
        match &mut self.hangup {
            Some(hangup) => drop(hangup.recv().await),
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    async fn hangup(&mut self) {
        std::future::pending().await
    }
}

fn named(config: &Config) -> Vec<PathBuf> {
    let redis = &config.redis;
    [&redis.ca_file, &redis.cert_file, &redis.key_file].into_iter().flatten().cloned().collect()
}

impl Loader {
    /// Reads it again whenever it changes.
    pub fn watch(self) -> Watch {
        Watch::new(self)
    }

    /// The files that are read, whether they are there or not.
    fn files(&self) -> Vec<PathBuf> {
        let secrets = ENV.iter().filter(|row| row.usage == EnvUse::Secret);
        let secrets = secrets.filter_map(|row| self.variable(&format!("{}_FILE", row.name)).map(PathBuf::from));
        std::iter::once(self.source().path).chain(secrets).collect()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::tests::file;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn a_file_that_changes_is_read_again_and_a_mistake_in_it_is_told_once() {
        let (_folder, path) = file("app = 'a'");
        let mut watch = Config::loader().file(&path).env([("KEY", "")]).watch();
        fs::write(&path, "app = 'b'").unwrap();
        assert_eq!(watch.next().await.unwrap().app, "b");
        fs::write(&path, "app = 5").unwrap();
        assert!(watch.next().await.unwrap_err().to_string().contains("`app` is 5"));
        let nothing = tokio::time::timeout(LOOK + LOOK / 2, watch.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        fs::write(&path, "app = 'c'").unwrap();
        assert_eq!(watch.next().await.unwrap().app, "c");
    }

    #[tokio::test]
    async fn a_secret_behind_a_link_that_is_swapped_is_read_again() {
        // As Kubernetes mounts secrets: the file is a link through `..data`, which is swapped whole.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("password"), format!("hush-{version}")).unwrap();
        }
        symlink("1", at("..data")).unwrap();
        symlink("..data/password", at("password")).unwrap();
        let mut watch =
            Config::loader().file_if_there("/nowhere").env([("REDIS_PASSWORD_FILE", at("password"))]).watch();
        symlink("2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert_eq!(watch.next().await.unwrap().redis.password.unwrap().expose(), "hush-2");
    }
}
