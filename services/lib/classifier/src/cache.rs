//! Remembers scores of texts seen before, in bounded memory, without keeping any text.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use foldhash::quality::RandomState;
use quick_cache::unsync::Cache;

/// A text's identity: 128 bits of two hashes with secret seeds, so that a sender cannot make two
/// texts meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64, u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Makes [`Key`]s. Keys of different keyers do not compare.
#[derive(Debug, Clone, Default)]
pub struct Keyer(RandomState, RandomState);

impl Keyer {
    /// The key of a text.
    #[must_use]
    pub fn key(&self, text: &str) -> Key {
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(text.as_bytes());
            hasher.finish()
        };
        Key(hash(&self.0), hash(&self.1))
    }
}

/// Takes a key's hash as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys write one u64; anything else only needs to be deterministic.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map by [`Key`].
pub type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<AsIs>>;

/// A bounded map from texts to scores. Entries used often stay longest.
pub struct ScoreCache<V> {
    entries: Option<Cache<Key, V, quick_cache::UnitWeighter, BuildHasherDefault<AsIs>>>,
}

impl<V: Copy> ScoreCache<V> {
    /// A cache of at most `capacity` texts; 0 remembers nothing.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let entries = (capacity > 0).then(|| {
            Cache::with(
                capacity,
                capacity as u64,
                quick_cache::UnitWeighter,
                BuildHasherDefault::default(),
                quick_cache::unsync::DefaultLifecycle::default(),
            )
        });
        Self { entries }
    }

    /// What is remembered about a text.
    pub fn get(&self, key: Key) -> Option<V> {
        self.entries.as_ref()?.get(&key).copied()
    }

    /// Remembers a text's scores.
    pub fn insert(&mut self, key: Key, value: V) {
        if let Some(entries) = &mut self.entries {
            entries.insert(key, value);
        }
    }

    /// How many texts are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, Cache::len)
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_again_and_another_is_not() {
        let (keyer, mut cache) = (Keyer::default(), ScoreCache::new(8));
        cache.insert(keyer.key("how much is it"), 1);
        assert_eq!(cache.get(keyer.key("how much is it")), Some(1));
        assert_eq!(cache.get(keyer.key("how much is it?")), None);
        assert_eq!(cache.get(keyer.key("")), None);
    }

    #[test]
    fn a_full_cache_forgets_instead_of_growing() {
        let (keyer, mut cache) = (Keyer::default(), ScoreCache::new(100));
        for number in 0..10_000 {
            cache.insert(keyer.key(&number.to_string()), number);
        }
        assert!(cache.len() <= 100);
        assert!(!cache.is_empty());
    }

    #[test]
    fn a_cache_of_no_capacity_remembers_nothing() {
        let (keyer, mut cache) = (Keyer::default(), ScoreCache::new(0));
        cache.insert(keyer.key("x"), 1);
        assert_eq!(cache.get(keyer.key("x")), None);
    }

    #[test]
    fn keys_of_many_similar_texts_are_all_different() {
        let keyer = Keyer::default();
        let mut seen = KeyMap::default();
        for number in 0..20_000 {
            assert!(
                seen.insert(keyer.key(&format!("text {number}")), ())
                    .is_none()
            );
        }
    }
}
