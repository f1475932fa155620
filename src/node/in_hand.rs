//! The requests that this replica works on, so that none is begun twice.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Entry ids of requests from their start until Redis has been told that they are settled. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InHand(Arc<Mutex<HashSet<Arc<str>>>>);

/// One request in hand, until this is dropped.
pub(crate) struct Held {
    all: InHand,
    entry: Arc<str>,
}

impl InHand {
    /// Takes a request in hand; `None` when it is already.
    pub(crate) fn take(&self, entry: &str) -> Option<Held> {
        let entry: Arc<str> = entry.into();
        let new = self.lock().insert(entry.clone());
        new.then(|| Held { all: self.clone(), entry })
    }

    pub(crate) fn contains(&self, entry: &str) -> bool {
        self.lock().contains(entry)
    }

    /// All that is in hand now.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().iter().map(|entry| entry.to_string()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(crate) fn entry(&self) -> &Arc<str> {
        &self.entry
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_one_hand_at_a_time() {
        let all = InHand::default();
        let held = all.take("1-0").unwrap();
        assert!(all.take("1-0").is_none() && all.contains("1-0"));
        assert_eq!(&**held.entry(), "1-0");
        drop(held);
        assert!(!all.contains("1-0") && all.take("1-0").is_some());
    }
}
