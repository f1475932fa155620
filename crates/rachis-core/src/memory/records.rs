//! Records in the order of their creation; readers take snapshots, so they do not hold up writers.

use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// One record.
pub(super) type Record = Map<String, Value>;

/// How many records are copied, by reference, when one of them changes while there is a snapshot.
const CHUNK: u64 = 64;

type Chunk = BTreeMap<u64, Arc<Record>>;

/// Records by the number of their creation. A clone is one pointer; a change of a record that a clone shares copies the
/// pointers of one chunk, and one for each chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    chunks: Arc<BTreeMap<u64, Arc<Chunk>>>,
    len: usize,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: u64) -> Option<&Arc<Record>> {
        self.chunks.get(&(at / CHUNK))?.get(&at)
    }

    /// The record, to be changed.
    pub(super) fn get_mut(&mut self, at: u64) -> Option<&mut Record> {
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(&(at / CHUNK))?;
        Arc::make_mut(chunk).get_mut(&at).map(Arc::make_mut)
    }

    pub(super) fn insert(&mut self, at: u64, record: Record) {
        let chunk = Arc::make_mut(&mut self.chunks).entry(at / CHUNK).or_default();
        if Arc::make_mut(chunk).insert(at, Arc::new(record)).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, at: u64) -> Option<Arc<Record>> {
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = chunks.get_mut(&(at / CHUNK))?;
        let gone = Arc::make_mut(chunk).remove(&at)?;
        if chunk.is_empty() {
            chunks.remove(&(at / CHUNK));
        }
        self.len -= 1;
        Some(gone)
    }

    /// All of them, each with its number, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Record>)> {
        self.chunks.values().flat_map(|chunk| chunk.iter().map(|(at, record)| (*at, record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(n: u64) -> Record {
        Record::from_iter([("n".to_owned(), json!(n))])
    }

    fn numbers(records: &Records) -> Vec<u64> {
        records.iter().map(|(at, record)| record["n"].as_u64().filter(|n| *n == at).unwrap()).collect()
    }

    #[test]
    fn a_clone_stays_as_it_was_when_the_original_changes() {
        let mut records = Records::default();
        (0..200).for_each(|n| records.insert(n, record(n)));
        let before = records.clone();
        records.insert(200, record(200));
        assert!(records.remove(0).is_some() && records.remove(0).is_none());
        (64..128).for_each(|at| drop(records.remove(at)));
        records.get_mut(5).unwrap().insert("n".into(), json!("changed"));
        assert_eq!(before.len(), 200);
        assert_eq!(numbers(&before), (0..200).collect::<Vec<_>>());
        assert_eq!((records.len(), &records.get(5).unwrap()["n"]), (136, &json!("changed")));
        assert!(records.get(64).is_none() && records.get_mut(1000).is_none());
        assert_eq!(records.iter().count(), 136);
    }

    #[test]
    fn a_change_copies_one_chunk_and_leaves_the_others_shared() {
        let mut records = Records::default();
        (0..640).for_each(|n| records.insert(n, record(n)));
        let before = records.clone();
        records.get_mut(100).unwrap().clear();
        let shared = before.iter().zip(records.iter()).filter(|((_, a), (_, b))| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 639);
        let same = before.chunks.values().zip(records.chunks.values()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(same, 9);
    }
}
