//! The sequential registry of one model that the log is compared with: versions are a count, aliases are a map.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where each alias points.
pub type Versions = BTreeMap<String, u32>;

/// What a client wants of the one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// One more version.
    Register,
    /// A version may become `production`.
    Approve {
        /// Which.
        version: u32,
    },
    /// An alias moves, if it is where it is believed to be.
    Set {
        /// Which alias.
        alias: String,
        /// Where it is believed to be.
        expect: Option<u32>,
        /// Where it goes.
        to: u32,
    },
    /// `production` moves, and `previous` to where it was.
    Promote {
        /// Where it goes.
        version: u32,
        /// Where it is believed to be; `None`: anywhere.
        expect: Option<u32>,
    },
    /// `production` and `previous` change places.
    RollBack,
    /// An entry that changes neither.
    Note,
    /// Ends the right to write of every handle opened before.
    Fence,
}

/// The registry after each entry.
#[derive(Debug)]
pub struct Model {
    /// The key of entry 1, 2 and so on.
    pub keys: Vec<String>,
    by_key: BTreeMap<String, u64>,
    /// After entry 0, 1 and so on.
    aliases: Vec<Versions>,
    versions: Vec<u32>,
    fences: Vec<u64>,
    /// The entry that approved a version first.
    approved: BTreeMap<u32, u64>,
}

impl Model {
    /// Folds stored bytes; an error is a log that no sequence of whole commits can have written.
    pub fn fold<B: AsRef<[u8]>>(genesis: &str, log: &[B]) -> Result<Self, String> {
        let mut model = Self {
            keys: Vec::new(),
            by_key: BTreeMap::new(),
            aliases: vec![Versions::new()],
            versions: vec![0],
            fences: vec![0],
            approved: BTreeMap::new(),
        };
        let mut link = genesis.to_owned();
        for (id, bytes) in (1_u64..).zip(log) {
            model.follow(id, &link, bytes.as_ref()).map_err(|problem| format!("entry {id}: {problem}"))?;
            link = models::digest::sha256(bytes.as_ref());
        }
        Ok(model)
    }

    fn follow(&mut self, id: u64, link: &str, bytes: &[u8]) -> Result<(), String> {
        let entry: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let body = &entry["body"];
        if body["id"] != id || body["prev_sha256"] != link {
            return Err(format!("expected id {id} after {link}, found {} after {}", body["id"], body["prev_sha256"]));
        }
        let key = body["idempotency_key"].as_str().ok_or("an entry without a key")?;
        if let Some(first) = self.by_key.insert(key.into(), id) {
            return Err(format!("{key} is entry {first} already: doubled"));
        }
        let last = self.keys.len();
        let (mut aliases, mut versions) = (self.aliases[last].clone(), self.versions[last]);
        let mut fence = self.fences[last];
        if body["epoch"] != fence {
            return Err(format!("written at epoch {} in epoch {fence}", body["epoch"]));
        }
        for op in body["ops"].as_array().ok_or("an entry without ops")? {
            let number = |field: &str| op[field].as_u64().map(|number| number as u32);
            match op["op"].as_str().unwrap_or_default() {
                "register" if number("version") == Some(versions + 1) => versions += 1,
                "approve" if number("version").is_some_and(|version| version <= versions) => {
                    self.approved.entry(number("version").unwrap_or_default()).or_insert(id);
                }
                "alias_set" => {
                    let alias = op["alias"].as_str().unwrap_or_default();
                    let to = number("to").filter(|to| (1..=versions).contains(to)).ok_or("no such version")?;
                    if number("expect") != aliases.get(alias).copied() {
                        return Err(format!("{op}, and {alias} was at {:?}", aliases.get(alias)));
                    }
                    if alias == "production" && !self.approved.contains_key(&to) {
                        return Err(format!("{op}, which is not approved"));
                    }
                    aliases.insert(alias.into(), to);
                }
                "tag" => {}
                "fence" if op["epoch"].as_u64().is_some_and(|epoch| epoch > fence) => {
                    fence = op["epoch"].as_u64().unwrap_or_default();
                }
                _ => return Err(format!("{op} after version {versions} and fence {fence}")),
            }
        }
        self.keys.push(key.into());
        self.aliases.push(aliases);
        self.versions.push(versions);
        self.fences.push(fence);
        Ok(())
    }

    /// The number of the last entry.
    pub fn last_id(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The entry under a key.
    pub fn entry_of(&self, key: &str) -> Option<u64> {
        self.by_key.get(key).copied()
    }

    /// The aliases after entry `id`, which must exist.
    pub fn aliases_at(&self, id: u64) -> &Versions {
        &self.aliases[id as usize]
    }

    /// How many versions there are after entry `id`, which must exist.
    pub fn versions_at(&self, id: u64) -> u32 {
        self.versions[id as usize]
    }

    /// The aliases that a wish leads to, or why it may not be granted, after entry `id`.
    pub fn allows(&self, id: u64, wish: &Wish) -> Result<Versions, String> {
        let mut aliases = self.aliases_at(id).clone();
        let exists = |version: u32| (1..=self.versions_at(id)).contains(&version);
        let approved = |version: u32| self.approved.get(&version).is_some_and(|at| *at <= id);
        let at = |alias: &str| self.aliases_at(id).get(alias).copied();
        let fit = match wish {
            Wish::Register | Wish::Note | Wish::Fence => true,
            Wish::Approve { version } => exists(*version),
            Wish::Set { alias, expect, to } => {
                aliases.insert(alias.clone(), *to);
                at(alias) == *expect && exists(*to) && (alias != "production" || approved(*to))
            }
            Wish::Promote { version, expect } => {
                let old = at("production").filter(|old| old != version);
                aliases.extend(old.map(|old| ("previous".into(), old)));
                aliases.insert("production".into(), *version);
                exists(*version) && approved(*version) && (expect.is_none() || *expect == at("production"))
            }
            Wish::RollBack => {
                let both = at("production").zip(at("previous"));
                if let Some((production, previous)) = both {
                    aliases.extend([("production".into(), previous), ("previous".into(), production)]);
                }
                both.is_some()
            }
        };
        if fit {
            Ok(aliases)
        } else {
            Err(format!("{wish:?} is not allowed after entry {id}: {:?}", self.aliases_at(id)))
        }
    }

    /// Whether entry `id` does what was wished for, all of it and nothing else.
    pub fn granted(&self, id: u64, wish: &Wish) -> Result<(), String> {
        let aliases = self.allows(id - 1, wish)?;
        let grown = self.versions_at(id) - self.versions_at(id - 1);
        let fenced = self.fences[id as usize] > self.fences[id as usize - 1];
        let approved = |version: &u32| self.approved.get(version).is_some_and(|at| *at <= id);
        let wanted = match wish {
            Wish::Register => (1, false, true),
            Wish::Fence => (0, true, true),
            Wish::Approve { version } => (0, false, approved(version)),
            Wish::Set { .. } | Wish::Promote { .. } | Wish::RollBack | Wish::Note => (0, false, true),
        };
        if wanted == (grown, fenced, true) && aliases == *self.aliases_at(id) {
            return Ok(());
        }
        Err(format!("{wish:?} expected {aliases:?}, found {:?}", self.aliases_at(id)))
    }
}
