//! One client of a history: reads, moves and notes in seeded order, repeats what was left in doubt under the same key,
//! and now and then dies in the middle of a call and returns with a new handle.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use models::{
    Alias, ModelName, Registry, Version,
    registry::{Entry, Error, FORMAT, Intent, Op, State},
    store::{self, Created},
};

use super::World;
use crate::{
    faulty::Dice,
    judge::{Answer, Deed, Wish},
};

/// How clients commit and read: as the registry does, or wrongly in one of the ways that the checker must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The registry's own.
    Ours,
    /// The registry's own, on a store that ignores the condition of a create once its probe is over.
    OverwritingStore,
    /// The first answer is believed: "exists" means another writer's, so the next number is tried.
    TrustsFirstAnswer,
    /// A timeout is taken for success.
    TakesDoubtForDone,
    /// Reads do not ask the store.
    StaleReads,
    /// What an alias was expected to be is looked up again when a race was lost.
    ForgetsExpectations,
}

/// Calls made for one wish before a client gives it up: some are patient.
const CALLS: [u64; 4] = [1, 3, 12, 12];

pub fn name() -> ModelName {
    "recommender".parse().unwrap()
}

fn version(number: u32) -> Version {
    Version::try_from(number).unwrap()
}

pub struct Client<'a> {
    world: &'a World,
    name: String,
    dice: Dice,
    registry: Option<Registry>,
}

impl<'a> Client<'a> {
    pub fn new(world: &'a World, name: &str, seed: u64) -> Self {
        Self { world, name: name.into(), dice: Dice::new(seed), registry: None }
    }

    /// Lives through `n` decisions.
    pub async fn live(mut self, n: u64) {
        for decision in 0..n {
            tokio::time::sleep(Duration::from_millis(self.dice.below(30))).await;
            if self.dice.chance(30) {
                self.read().await;
            } else {
                let wish = self.decide();
                self.wish(&format!("{}-{decision}", self.name), wish).await;
            }
        }
    }

    /// Something that makes sense by the last state this client knows; by the time it is tried it may not.
    fn decide(&mut self) -> Wish {
        let state = self.registry.as_ref().map(Registry::state);
        let model = state.as_ref().and_then(|state| state.models.get(&name()));
        let versions = model.map_or(1, |model| model.versions.len() as u64);
        let at = |alias: &str| model.and_then(|model| Some(model.aliases.get(&alias.parse::<Alias>().ok()?)?.get()));
        // At times one that does not exist yet.
        let version = 1 + self.dice.below(versions + u64::from(self.dice.clone().chance(10))) as u32;
        let simple = matches!(self.world.protocol, Protocol::TrustsFirstAnswer | Protocol::TakesDoubtForDone);
        match self.dice.below(20) {
            12..17 if simple => Wish::Note,
            0..4 => Wish::Register,
            4..6 => Wish::Approve { version },
            6..12 => {
                let alias = ["staging", "shadow"][self.dice.below(2) as usize];
                Wish::Set { alias: alias.into(), expect: at(alias), to: version }
            }
            12..15 => {
                let expect = at("production").filter(|_| self.dice.chance(70));
                Wish::Promote { version, expect }
            }
            15..17 => Wish::RollBack,
            17 if self.dice.chance(30) => Wish::Fence,
            _ => Wish::Note,
        }
    }

    pub async fn read(&mut self) {
        let world = self.world;
        let invoked = world.now();
        let Some(registry) = self.registry().await else { return };
        let state = match world.protocol {
            Protocol::StaleReads => registry.state(),
            _ => match registry.refresh().await {
                Ok(state) => state,
                Err(_) => return,
            },
        };
        let model = state.models.get(&name());
        let aliases = model.into_iter().flat_map(|model| &model.aliases);
        let deed = Deed::Read {
            last_id: state.last_id,
            versions: model.map_or(0, |model| model.versions.len() as u32),
            aliases: aliases.map(|(alias, to)| (alias.to_string(), to.get())).collect(),
        };
        world.note(invoked, deed);
    }

    /// Sees one wish through, as far as its patience goes.
    pub async fn wish(&mut self, key: &str, wish: Wish) {
        for _ in 0..CALLS[self.dice.below(4) as usize] {
            let invoked = self.world.now();
            let answer = self.call(key, &wish).await;
            self.world.note(invoked, Deed::Commit { key: key.into(), wish: wish.clone(), answer });
            match answer {
                Answer::Done { .. } | Answer::Refused => return,
                // A fenced handle stays fenced.
                Answer::Failed => self.registry = None,
                Answer::Doubt => tokio::time::sleep(Duration::from_millis(self.dice.below(40))).await,
            }
        }
    }

    async fn call(&mut self, key: &str, wish: &Wish) -> Answer {
        let world = self.world;
        let dies = self.dice.chance(15).then(|| Duration::from_millis(self.dice.below(60)));
        let Some(registry) = self.registry().await else { return Answer::Failed };
        let committing = commit(world, registry, key, wish);
        let Some(dies) = dies else { return judge(&committing.await) };
        if let Ok(answer) = tokio::time::timeout(dies, committing).await {
            return judge(&answer);
        }
        world.died();
        self.registry = None;
        Answer::Doubt
    }

    /// The open registry, opened if need be. It draws what it needs from this client's dice.
    async fn registry(&mut self) -> Option<&Registry> {
        if self.registry.is_none() {
            let opened = Registry::open(self.world.store.clone()).await;
            self.registry = opened.ok().map(|registry| registry.drawing(self.dice.next()));
        }
        self.registry.as_ref()
    }
}

fn judge(answer: &Result<u64, Error>) -> Answer {
    match answer {
        Ok(id) => Answer::Done { id: *id },
        Err(Error::Conflict { .. } | Error::Refused(_) | Error::NotFound(_)) => Answer::Refused,
        Err(Error::Store(_)) => Answer::Doubt,
        Err(_) => Answer::Failed,
    }
}

/// The ops of the wishes that are one op.
fn plan(wish: &Wish, digest: &str, state: &State) -> Vec<Op> {
    let model = state.models.get(&name());
    vec![match wish {
        Wish::Register => Op::Register {
            name: name(),
            version: model.map_or(Version::FIRST, models::registry::ModelState::next_version),
            manifest_sha256: digest.into(),
            signature_sha256: None,
        },
        Wish::Approve { version: number } => Op::Approve { name: name(), version: version(*number) },
        Wish::Set { alias, expect, to } => {
            Op::AliasSet { name: name(), alias: alias.parse().unwrap(), expect: expect.map(version), to: version(*to) }
        }
        Wish::Fence => Op::Fence { epoch: state.epoch + 1 },
        Wish::Note => Op::Tag { name: name(), version: Version::FIRST, key: "note".into(), value: Some("seen".into()) },
        Wish::Promote { .. } | Wish::RollBack => unreachable!("these take more than one op"),
    }]
}

async fn commit(world: &World, registry: &Registry, key: &str, wish: &Wish) -> Result<u64, Error> {
    let intent = Intent::new("ana", "a history", Timestamp::UNIX_EPOCH).once(key);
    let digest = &world.manifest_sha256;
    let receipt = match (world.protocol, wish) {
        (Protocol::TrustsFirstAnswer | Protocol::TakesDoubtForDone, _) => {
            return trusting_commit(world, registry, &intent, wish).await;
        }
        (Protocol::ForgetsExpectations, Wish::Set { alias, to, .. }) => {
            let alias: Alias = alias.parse().unwrap();
            let forgetful = |state: &State| {
                let expect = state.models.get(&name()).and_then(|model| model.aliases.get(&alias)).copied();
                Ok(vec![Op::AliasSet { name: name(), alias: alias.clone(), expect, to: version(*to) }])
            };
            registry.commit(&intent, forgetful).await?
        }
        (_, Wish::Promote { version: number, expect }) => {
            registry.promote(&name(), version(*number), expect.map(version), &intent).await?
        }
        (_, Wish::RollBack) => registry.roll_back(&name(), &intent).await?,
        (_, wish) => registry.commit(&intent, |state| Ok(plan(wish, digest, state))).await?,
    };
    Ok(receipt.entry.id)
}

/// A writer that reads nothing back.
async fn trusting_commit(world: &World, registry: &Registry, intent: &Intent, wish: &Wish) -> Result<u64, Error> {
    for attempt in 0.. {
        let state: Arc<State> = registry.refresh().await?;
        let entry = Entry {
            format: FORMAT,
            id: state.last_id + 1,
            prev_sha256: state.last_sha256.clone(),
            writer: "wrong".into(),
            epoch: state.epoch,
            nonce: format!("{attempt}"),
            at: intent.at,
            actor: intent.actor.clone(),
            reason: intent.reason.clone(),
            approval: None,
            idempotency_key: intent.idempotency_key.clone(),
            numbers: None,
            ops: plan(wish, &world.manifest_sha256, &state),
        };
        state.accepts(&entry)?;
        let created = world.store.create(&store::key::log(entry.id), entry.encode()).await;
        match (created, world.protocol) {
            (Ok(Created::New), _) | (Err(_), Protocol::TakesDoubtForDone) => return Ok(entry.id),
            (Ok(Created::Exists), _) => {}
            (Err(error), _) => return Err(error.into()),
        }
    }
    unreachable!("it goes on until it is answered")
}
