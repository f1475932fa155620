//! Logins, which may change while connections are open.

use parking_lot::{Mutex, MutexGuard};
use redis::{Cmd, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use tokio::sync::watch;

/// A login that overrides the one in a URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl Login {
    /// Returns the login in a URL.
    pub(crate) fn of(url: &str) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(Login { username: text(info.redis_settings().username()), password: text(info.redis_settings().password()) })
    }
}

/// The current login, for all new connections.
pub(crate) struct Logins {
    state: Mutex<State>,
    // Counts the changes.
    changes: watch::Sender<u64>,
}

struct State {
    current: Login,
    /// The previous login, since a server may not know the new one yet.
    previous: Option<Login>,
    /// Whether the next connection tries the previous login.
    tries_previous: bool,
}

impl Logins {
    pub(crate) fn new(login: Login) -> Self {
        let state = State { current: login, previous: None, tries_previous: false };
        Logins { state: Mutex::new(state), changes: watch::Sender::new(0) }
    }

    /// Replaces the login. Returns `false` if it is the same.
    pub(crate) fn change(&self, login: Login) -> bool {
        {
            let mut state = self.lock();
            if state.current == login {
                return false;
            }
            let previous = std::mem::replace(&mut state.current, login);
            state.previous = Some(previous);
            state.tries_previous = false;
        }
        self.changes.send_modify(|changes| *changes += 1);
        true
    }

    /// Returns a receiver of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Reports a refused login: the next connection tries the other one.
    pub(crate) fn refused(&self) {
        let mut state = self.lock();
        state.tries_previous = state.previous.is_some() && !state.tries_previous;
    }

    /// Returns `info` with the current login, where there is one.
    pub(crate) fn put_on(&self, info: ConnectionInfo) -> ConnectionInfo {
        let state = self.lock();
        let login = match &state.previous {
            Some(previous) if state.tries_previous => previous,
            _ => &state.current,
        };
        let settings = dressed(info.redis_settings().clone(), login);
        info.set_redis_settings(settings)
    }

    /// Returns the AUTH command of the current login, `None` without a password.
    pub(crate) fn command(&self, info: &ConnectionInfo) -> Option<Cmd> {
        let settings = dressed(info.redis_settings().clone(), &self.lock().current);
        let password = settings.password()?;
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = settings.username() {
            auth.arg(username);
        }
        auth.arg(password);
        Some(auth)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn dressed(mut settings: RedisConnectionInfo, login: &Login) -> RedisConnectionInfo {
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(logins: &Logins) -> Option<String> {
        let info = logins.put_on("redis://ann:first@h".into_connection_info().unwrap());
        info.redis_settings().password().map(str::to_owned)
    }

    #[test]
    fn a_server_that_does_not_know_the_new_login_yet_is_told_the_old_one_in_turn() {
        let login = |password: &str| Login { username: None, password: Some(password.into()) };
        let logins = Logins::new(Login::default());
        assert_eq!(password(&logins).as_deref(), Some("first"));
        logins.refused();
        assert_eq!(password(&logins).as_deref(), Some("first"));
        assert!(logins.change(login("second")) && !logins.change(login("second")));
        assert_eq!(password(&logins).as_deref(), Some("second"));
        logins.refused();
        assert_eq!(password(&logins).as_deref(), Some("first"));
        logins.refused();
        assert_eq!(password(&logins).as_deref(), Some("second"));
        assert!(logins.change(login("third")));
        assert_eq!(password(&logins).as_deref(), Some("third"));
        logins.refused();
        assert_eq!(password(&logins).as_deref(), Some("second"));
    }

    #[test]
    fn an_open_connection_is_told_the_new_login_with_the_user_of_the_url() {
        let logins = Logins::new(Login::default());
        let info = "redis://ann:first@h".into_connection_info().unwrap();
        logins.change(Login { username: None, password: Some("second".into()) });
        let words: Vec<_> = logins.command(&info).unwrap().get_packed_command();
        assert_eq!(words, b"*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$6\r\nsecond\r\n");
        let logins = Logins::new(Login::default());
        assert!(logins.command(&"redis://h".into_connection_info().unwrap()).is_none());
    }
}
