//! The parts put up, and the days lived through.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use drift::{Among, Feature, Policy, Rule, WindowSpec};
use jiff::Timestamp;
use models::{
    Alias, ModelName, Registry, Store, TenantName, Version,
    event::Topic,
    manifest::{Trigger as Cause, TriggerKind},
    registry::{Intent, Op},
    store::key,
    stream::{
        Producer,
        files::{FileConsumer, FileProducer},
    },
};
use serve::{Clock, ModelSource, Running, Server};

use super::{
    DriftTimes, Options, Outcome, canary,
    chronicler::Chronicler,
    measure::Worth,
    shop::{self, HISTORY_DAYS, LIVE_DAYS},
};
use crate::{
    exit,
    ingest::ingest,
    local::Local,
    night::{Night, memory_at_hand},
    ramp::Ramp,
    report::MomentKind,
    simulate::{Day, DriveReport, Driver, DriverOptions, Pace, Readers, write_history},
    trigger::Trigger,
    watch::{Settings, Watch},
};

/// Requests in flight at once.
const CONCURRENCY: usize = 8;
/// Days that go on after the retrained version took over.
const DAYS_AFTER: u32 = 3;
/// Who decides in a rehearsal.
pub(super) const ACTOR: &str = "demo";
/// Marks a folder as ours to clear.
const MARKER: &str = ".bookloop-demo";

/// Everything that runs during a rehearsal.
pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) model: ModelName,
    tenant: TenantName,
    readers: Box<dyn Readers>,
    root: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) interactions: Vec<String>,
    pub(super) items: String,
    clock: Arc<AtomicI64>,
    pub(super) ramp: Ramp,
    pub(super) running: Running,
    driver: Driver,
    orders: FileConsumer,
    watch: Watch,
    pub(super) driven: DriveReport,
    pub(super) first_version: Version,
    pub(super) retrained: Option<Version>,
    pub(super) canary_steps: Vec<u32>,
    drift: Option<DriftTimes>,
}

impl Stage {
    /// History written, first night trained, approved and in production, predictor and detector up.
    pub(super) async fn set(options: &Options, chronicler: &mut Chronicler<'_>) -> anyhow::Result<Self> {
        let folder = cleared(&options.out)?;
        let tenant: TenantName = "acme-books".parse()?;
        let model: ModelName = "recommender".parse()?;
        let opening = shop::live_day(0);
        let mut readers = shop::readers(options)?;
        let written = write_history(&mut *readers, HISTORY_DAYS, &folder.join("data"))?;
        let what =
            format!("{HISTORY_DAYS} days of history: {} purchases, {} books", written.rows, readers.catalogue().len());
        chronicler.tell(opening, MomentKind::Data, what);

        let root = Store::open(&format!("file://{}", folder.join("store").display()))?.tenant(&tenant);
        let registry = Arc::new(Registry::open(root.clone()).await?);
        let items = written.items.display().to_string();
        let history = written.interactions.display().to_string();
        let sold = format!("{}/{}", root.url(), key::INTERACTIONS);
        let night = Night {
            root: root.clone(),
            model: model.clone(),
            run: "nightly-first".to_owned(),
            interactions: vec![history.clone()],
            items: Some(items.clone()),
            min_rating: None,
            max_bad_share: 0.01,
            recipes: Vec::new(),
            test_share: 0.2,
            at: 10,
            memory: memory_at_hand(),
            min_eval_score: 0.0,
            seed: options.seed,
            trigger: Cause { kind: TriggerKind::Nightly, id: "nightly-first".to_owned() },
            code_revision: crate::REVISION.to_owned(),
            now: opening,
        };
        night.all(&registry, &|_| {}).await?;
        let first_version = night.version().await?;
        chronicler.trained(&night, opening, first_version).await?;
        promote(&registry, &model, first_version, "the first model, and it beats the most popular books", opening)
            .await?;
        chronicler.tell(opening, MomentKind::Promotion, format!("version {first_version} approved and in production"));

        let clock = Arc::new(AtomicI64::new(opening.as_millisecond()));
        let running = start_predictor(&tenant, &model, &registry, &root, &clock).await?;
        chronicler.tell(opening, MomentKind::Serving, format!("predictor answers on http://{}", running.address()));
        let shop: Arc<dyn Producer> = Arc::new(FileProducer::new(root.clone(), "shop")?);
        let driver = Driver::new(
            DriverOptions {
                base_url: format!("http://{}", running.address()),
                tenant: tenant.clone(),
                model: model.clone(),
                concurrency: CONCURRENCY,
                timeout: Duration::from_secs(5),
            },
            Some(shop),
        )?;
        let interactions = vec![history, sold];
        let retrain = Night { interactions: interactions.clone(), ..night };
        let trigger = Arc::new(Trigger::new(
            Arc::clone(&registry),
            Arc::new(Local::new(Arc::clone(&registry), retrain, Arc::new(|_| {}))),
        ));
        let topics = [Topic::Predictions, Topic::Outcomes];
        let watch = Watch::start(
            Settings {
                tenant: tenant.clone(),
                model: model.clone(),
                policy: policy(),
                windows: WindowSpec { length_secs: 24 * 3600, lateness_secs: 600 },
            },
            root.clone(),
            Arc::clone(&registry),
            Box::new(FileConsumer::open(root.clone(), "bookloop-drift", &topics).await?),
            Arc::new(FileProducer::new(root.clone(), "drift")?),
            trigger,
            opening,
        )
        .await?;
        let orders = FileConsumer::open(root.clone(), "bookloop-dataset", &[Topic::Orders]).await?;
        Ok(Self {
            options: options.clone(),
            ramp: Ramp::new(Arc::clone(&registry), model.clone(), ACTOR),
            model,
            tenant,
            readers,
            root,
            registry,
            interactions,
            items,
            clock,
            running,
            driver,
            orders,
            watch,
            driven: DriveReport::default(),
            first_version,
            retrained: None,
            canary_steps: Vec::new(),
            drift: None,
        })
    }

    /// Lives through the days until the loop has come round and settled, or for as long as was planned.
    pub(super) async fn live(&mut self, chronicler: &mut Chronicler<'_>) -> anyhow::Result<()> {
        let mut days_after = 0;
        for number in 0..LIVE_DAYS {
            if self.options.shift && number == shop::SHIFT_DAY {
                let what = match self.options.data {
                    Some(_) => "most readers turn to other books; nobody tells the loop",
                    None => "readers turn to other genres, and new books appear; nobody tells the loop",
                };
                chronicler.tell(shop::live_day(number), MomentKind::World, what.to_owned());
            }
            let Some(day) = self.readers.next_day() else { break };
            self.live_day(&day, chronicler).await?;
            chronicler.day(number + 1, LIVE_DAYS);
            if self.production()? != self.first_version {
                days_after += 1;
            }
            if days_after > DAYS_AFTER {
                break;
            }
        }
        self.running.flush_events().await;
        ingest(&self.root, &self.tenant, &mut self.orders).await?;
        Ok(())
    }

    async fn live_day(&mut self, day: &Day, chronicler: &mut Chronicler<'_>) -> anyhow::Result<()> {
        let mut driven = DriveReport::default();
        let mut judged = false;
        for tick in day.ticks() {
            self.clock.store(tick.start.as_millisecond(), Ordering::SeqCst);
            driven.merge(self.driver.drive(&tick, &*self.readers, Pace::AsFast).await?);
            // Yesterday is over once today's first hours are on the stream.
            let into_day = tick.start.duration_since(day.start).as_hours();
            if !judged && into_day >= 1 {
                judged = true;
                self.judge_yesterday(tick.start, chronicler).await?;
            }
        }
        chronicler.traffic(day.start, &driven);
        self.driven.merge(driven);
        let evening = day.start + jiff::SignedDuration::from_mins(24 * 60 - 1);
        self.step_canary(evening, chronicler).await
    }

    /// What a cluster does in the small hours: sales become training data, the detector looks at yesterday, a
    /// confirmed change is retrained for, and what came of it goes on trial.
    async fn judge_yesterday(&mut self, now: Timestamp, chronicler: &mut Chronicler<'_>) -> anyhow::Result<()> {
        self.running.flush_events().await;
        ingest(&self.root, &self.tenant, &mut self.orders).await?;
        for judgement in self.watch.step(now, Duration::ZERO).await? {
            let verdict = &judgement.verdict;
            chronicler.verdict(verdict);
            if judgement.workflow.is_some() {
                let episode = verdict.episode.as_ref();
                self.drift = episode.map(|episode| DriftTimes {
                    onset: episode.onset,
                    suspected: episode.suspected,
                    confirmed: episode.confirmed,
                });
                let staged = self.registry.refresh().await?.model(&self.model)?.aliases.get(&Alias::staging()).copied();
                self.retrained = staged.filter(|version| *version != self.first_version);
                if let Some(version) = self.retrained {
                    chronicler.retrained(&self.registry, &self.model, now, version).await?;
                    self.begin_canary(now, version, chronicler).await?;
                }
            }
        }
        Ok(())
    }

    /// The version in production, by the last folded state.
    pub(super) fn production(&self) -> anyhow::Result<Version> {
        let state = self.registry.state();
        let production = state.model(&self.model)?.aliases.get(&Alias::production()).copied();
        production.ok_or_else(|| exit::coded(exit::BUG, "production vanished during the rehearsal"))
    }

    pub(super) fn outcome(&self, worth: Option<&Worth>, wall_seconds: f64, report: PathBuf) -> Outcome {
        Outcome {
            seed: self.options.seed,
            requests: self.driven.requests,
            failed: self.driven.failed,
            versions: self.driven.versions().len(),
            drift: self.drift,
            retrain_version: self.retrained.map(Version::get),
            canary_steps: self.canary_steps.clone(),
            production_version: self.production().map_or(0, Version::get),
            ndcg_before: worth.map(|worth| worth.before.mean),
            ndcg_before_se: worth.and_then(|worth| worth.before.se),
            ndcg_after: worth.map(|worth| worth.after.mean),
            ndcg_after_se: worth.and_then(|worth| worth.after.se),
            ndcg_difference: worth.and_then(|worth| worth.difference),
            ndcg_readers: worth.map(|worth| worth.readers),
            wall_seconds,
            report,
        }
    }

    /// Drains the predictor.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let totals = self.running.shutdown().await;
        if totals.events.dropped() > 0 {
            tracing::warn!(dropped = totals.events.dropped(), "records were dropped");
        }
        Ok(())
    }
}

/// Records the approval and moves `production`.
pub(super) async fn promote(
    registry: &Registry,
    model: &ModelName,
    version: Version,
    reason: &str,
    at: Timestamp,
) -> anyhow::Result<()> {
    let intent = Intent::new(ACTOR, reason, at);
    let approve = Op::Approve { name: model.clone(), version };
    registry.commit(&intent, |_| Ok(vec![approve.clone()])).await?;
    registry.promote(model, version, None, &intent).await?;
    Ok(())
}

async fn start_predictor(
    tenant: &TenantName,
    model: &ModelName,
    registry: &Arc<Registry>,
    root: &Store,
    clock: &Arc<AtomicI64>,
) -> anyhow::Result<Running> {
    let shown = Arc::clone(clock);
    let mut options = serve::Options::new(tenant.clone(), model.clone());
    options.clock = Clock::new(move || {
        Timestamp::from_millisecond(shown.load(Ordering::SeqCst)).expect("the rehearsal stays within the calendar")
    });
    options.drain.delay = Duration::ZERO;
    options.policy = canary::policy();
    // Time stands still within an hour of the rehearsal, and clicks carry their own.
    options.click_window = jiff::SignedDuration::from_hours(1);
    let events: Arc<dyn Producer> = Arc::new(FileProducer::new(root.clone(), "predictor")?);
    let source = ModelSource::Registry(Arc::clone(registry));
    let running = Server::start(options, source, events)
        .await
        .map_err(|error| exit::coded(exit::UNAVAILABLE, error.to_string()))?;
    if !running.ready(Duration::from_secs(30)).await {
        return Err(exit::coded(exit::UNAVAILABLE, "the predictor did not become ready within 30 s"));
    }
    Ok(running)
}

/// Windows of a day, of which there are few: a day needs fewer readers, and five days settle.
///
/// No nights pass between the first model and the retrain, so the share of readers it does not know grows by design, by
/// the shop's turnover of 0.2 % a day; only a growth well beyond that matters here.
fn policy() -> Policy {
    Policy {
        min_readers: 200,
        settle_windows: 5,
        rules: [(Feature::ReaderUnknownShare, Rule { delta: 0.1, triggers: true })].into(),
        confirmed_large: Among { hits: 3, of: 4 },
        confirmed_lasting: Among { hits: 5, of: 7 },
        cool_down_secs: 24 * 3600,
        ..Policy::default()
    }
}

/// The output folder, with what an earlier rehearsal left in it removed. A folder that is not ours is left alone.
fn cleared(out: &Path) -> anyhow::Result<PathBuf> {
    let failed = |error: std::io::Error| exit::coded(exit::UNAVAILABLE, format!("{}: {error}", out.display()));
    std::fs::create_dir_all(out).map_err(failed)?;
    let marker = out.join(MARKER);
    let empty = std::fs::read_dir(out).map_err(failed)?.next().is_none();
    if !empty && !marker.exists() {
        let message = format!("{}: not empty and not from an earlier demo; choose another --out", out.display());
        return Err(exit::coded(exit::BAD_INPUT, message));
    }
    for part in ["data", "store"] {
        match std::fs::remove_dir_all(out.join(part)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    std::fs::write(marker, "").map_err(failed)?;
    out.canonicalize().map_err(failed)
}
