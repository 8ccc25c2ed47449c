//! The fold over windows: profile in, verdict out, state kept by whoever calls.
//!
//! Two rules keep it honest. Live windows never become the reference once it has settled, or slow drift would be
//! absorbed; and only another version taking over clears what is remembered.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use models::{ModelName, Version};
use serde::{Deserialize, Serialize};

use crate::{
    assess::{Assessment, Reading, Reference, assess},
    feature::Feature,
    persistence::{Episode, Severity, Sign, Track, next_episode},
    policy::{InvalidPolicy, Policy},
    profile::{TrainingProfile, hex},
    settled::Settling,
    verdict::{Action, FeatureVerdict, Standing, Suppression, Verdict},
    window::WindowProfile,
};

/// What the world outside says about starting a retrain now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionFacts {
    /// The retrain that is running, if any, whoever started it.
    pub retrain_in_flight: Option<String>,
    /// Whether the service's error budget forbids changes.
    pub budget_frozen: bool,
    /// The time by which cool-down and weekly budget are counted.
    pub now: Timestamp,
}

/// Everything remembered between windows. Plain data: store it after every window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorState {
    model: ModelName,
    version: Version,
    took_over: Timestamp,
    reference: TrainingProfile,
    settling: Settling,
    tracks: BTreeMap<Feature, Track>,
    episode: Option<Episode>,
    episodes: u32,
    triggers: Vec<Timestamp>,
    clean_windows_due: u32,
    judged_to: Option<Timestamp>,
}

/// Watches one version of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    policy: Policy,
    state: DetectorState,
}

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Detector {
    /// Starts to watch a version that took over at `at`, with its training data as reference.
    pub fn new(
        policy: Policy,
        model: ModelName,
        reference: TrainingProfile,
        version: Version,
        at: Timestamp,
    ) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        let state = DetectorState {
            model,
            version,
            took_over: at,
            reference,
            settling: Settling::default(),
            tracks: BTreeMap::new(),
            episode: None,
            episodes: 0,
            triggers: Vec::new(),
            clean_windows_due: 0,
            judged_to: None,
        };
        Ok(Self { policy, state })
    }

    /// Goes on from stored state.
    pub fn resume(policy: Policy, state: DetectorState) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        Ok(Self { policy, state })
    }

    /// What to store.
    pub fn state(&self) -> &DetectorState {
        &self.state
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The version watched.
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// The change under way, if any.
    pub fn episode(&self) -> Option<&Episode> {
        self.state.episode.as_ref()
    }

    /// Another version became production at `at`: its training data is the new reference, and everything remembered
    /// about the old one goes, except the triggers already spent and an open data incident.
    pub fn reset(&mut self, reference: TrainingProfile, version: Version, at: Timestamp) {
        let state = &mut self.state;
        state.reference = reference;
        state.version = version;
        state.took_over = at;
        state.settling = Settling::default();
        state.tracks.clear();
        state.episode = None;
        state.episodes = 0;
    }

    /// Judges the next window.
    ///
    /// Windows come in ascending order; one that ends at or before the last judged one is not judged again, nor is one
    /// that began before the watched version took over. The caller stores [`Detector::state`] after acting: asked
    /// again with the old state, the same window gives the same verdict and the same trigger.
    pub fn observe(&mut self, window: &WindowProfile, gate: &ActionFacts) -> Verdict {
        if let Some(reason) = self.not_judged(window) {
            return self.verdict(window, Standing::Insufficient, Action::Nothing, reason);
        }
        self.state.judged_to = Some(window.to);
        let incidents = self.policy.quality.incidents(&window.quality, window.requests);
        if !incidents.is_empty() {
            self.state.clean_windows_due = self.policy.clean_windows;
            let words: Vec<String> = incidents.iter().map(ToString::to_string).collect();
            let sentence =
                format!("{}: not judged; {} clean windows must pass", words.join(", "), self.policy.clean_windows);
            let action = Action::Suppressed(Suppression::DataIncident);
            return Verdict { incidents, ..self.verdict(window, Standing::Incident, action, sentence) };
        }
        self.state.clean_windows_due = self.state.clean_windows_due.saturating_sub(1);

        let assessment = self.assess(window);
        let features = self.remember(assessment);
        let severity = features.iter().map(decisive_severity).max().unwrap_or(Severity::Steady);
        self.follow_episode(window, &features, severity);
        let action = self.decide(severity, gate);
        if let Action::Retrain { .. } = action {
            self.state.triggers.push(gate.now);
            if let Some(episode) = &mut self.state.episode {
                episode.triggered = Some(gate.now);
            }
        }
        self.state.settling.offer(window, &self.policy);
        let sentence = self.sentence(&features, severity, &action);
        Verdict { features, ..self.verdict(window, Standing::Judged(severity), action, sentence) }
    }

    /// Why the window leaves no trace, if so.
    fn not_judged(&self, window: &WindowProfile) -> Option<String> {
        let state = &self.state;
        if state.judged_to.is_some_and(|judged_to| window.to <= judged_to) {
            Some("insufficient: this window was judged before".to_owned())
        } else if window.from < state.took_over {
            Some(format!("insufficient: the window began before version {} took over", state.version))
        } else if window.readers < self.policy.min_readers {
            Some(format!("insufficient: {} readers, {} are needed", window.readers, self.policy.min_readers))
        } else {
            None
        }
    }

    fn assess(&self, window: &WindowProfile) -> Assessment {
        let settling = self.state.settling.words(&self.policy);
        let settled = self.state.settling.settled();
        let reference = Reference {
            training: Some(&self.state.reference),
            stream: settled.map(|settled| &settled.profile),
            floors: settled.map(|settled| &settled.floors),
            without_stream: &settling,
        };
        assess(reference, window, &self.policy)
    }

    /// Adds the readings to each feature's track.
    fn remember(&mut self, assessment: Assessment) -> Vec<FeatureVerdict> {
        let (policy, tracks) = (&self.policy, &mut self.state.tracks);
        let judge = |reading: Reading| {
            let track = tracks.entry(reading.feature).or_default();
            if reading.p_adjusted.is_some() {
                track.push(reading.moved, reading.large);
            }
            FeatureVerdict { severity: track.severity(policy), run: track.words(policy), reading }
        };
        assessment.readings.into_iter().map(judge).collect()
    }

    fn follow_episode(&mut self, window: &WindowProfile, features: &[FeatureVerdict], severity: Severity) {
        let moved: Vec<Feature> = features
            .iter()
            .filter(|feature| feature.reading.moved && feature.reading.rule.triggers)
            .map(|feature| feature.reading.feature)
            .collect();
        let sign = Sign { from: window.from, to: window.to, severity, moved: &moved };
        self.state.episode = next_episode(self.state.episode.take(), self.state.episodes, &sign);
        if let Some(episode) = &self.state.episode {
            self.state.episodes = self.state.episodes.max(episode.number);
        }
    }

    /// The gate: each question in its order, the first no ends it.
    fn decide(&mut self, severity: Severity, gate: &ActionFacts) -> Action {
        if severity == Severity::Steady {
            return Action::Nothing;
        }
        if self.state.clean_windows_due > 0 {
            return Action::Suppressed(Suppression::DataIncident);
        }
        if severity < Severity::Confirmed {
            return Action::Suppressed(Suppression::Persistence);
        }
        if gate.budget_frozen {
            return Action::Suppressed(Suppression::BudgetFrozen);
        }
        if let Some(run) = &gate.retrain_in_flight {
            return Action::Suppressed(Suppression::InFlight { run: run.clone() });
        }
        if let Some(until) = self.cooling_until(gate.now) {
            return Action::Suppressed(Suppression::CoolDown { until });
        }
        self.state.triggers.retain(|trigger| gate.now.duration_since(*trigger) < WEEK);
        if self.state.triggers.len() >= self.policy.weekly_budget as usize {
            return Action::Suppressed(Suppression::WeeklyBudget);
        }
        Action::Retrain { trigger_id: self.name_trigger() }
    }

    fn cooling_until(&self, now: Timestamp) -> Option<Timestamp> {
        let last_change = self.state.triggers.iter().copied().chain([self.state.took_over]).max()?;
        let cool_down = SignedDuration::from_secs(i64::from(self.policy.cool_down_secs));
        let until = last_change.checked_add(cool_down).unwrap_or(Timestamp::MAX);
        (now < until).then_some(until)
    }

    /// Names the trigger of the current episode. One that already triggered, and whose cool-down has passed without a
    /// new version, goes on under the next number, so that its second request is not taken for the first.
    fn name_trigger(&mut self) -> String {
        let episode = self.state.episode.as_mut().expect("a confirmed window has an episode");
        if episode.triggered.is_some() {
            *episode = episode.continued();
            self.state.episodes = self.state.episodes.max(episode.number);
        }
        let identity = serde_json::json!({
            "model": self.state.model,
            "version": self.state.version,
            "reference": self.state.reference.digest(),
            "episode": episode.number,
        });
        let digest = <sha2::Sha256 as sha2::Digest>::digest(identity.to_string().as_bytes());
        hex(&digest[..16])
    }

    fn verdict(&self, window: &WindowProfile, standing: Standing, action: Action, sentence: String) -> Verdict {
        Verdict {
            model: self.state.model.clone(),
            version: self.state.version,
            reference: self.state.reference.digest(),
            from: window.from,
            to: window.to,
            requests: window.requests,
            readers: window.readers,
            standing,
            action,
            sentence,
            features: Vec::new(),
            incidents: Vec::new(),
            episode: self.state.episode.clone(),
        }
    }

    fn sentence(&self, features: &[FeatureVerdict], severity: Severity, action: &Action) -> String {
        let excess = |feature: &FeatureVerdict| {
            let reading = &feature.reading;
            (reading.test.effect - reading.test.floor) / reading.rule.delta.max(1e-9)
        };
        // The feature that has come furthest, of equals the one furthest above its floor, of equals the first listed.
        let leading = features
            .iter()
            .rev()
            .filter(|feature| feature.reading.rule.triggers)
            .max_by(|a, b| a.severity.cmp(&b.severity).then(excess(a).total_cmp(&excess(b))));
        match leading {
            Some(leading) if severity > Severity::Steady => {
                let others: Vec<&str> = features
                    .iter()
                    .map(|feature| &feature.reading)
                    .filter(|other| other.moved && other.rule.triggers && other.feature != leading.reading.feature)
                    .map(|other| other.feature.as_str())
                    .collect();
                let others = if others.is_empty() { String::new() } else { format!(" (also {})", others.join(", ")) };
                format!("{}, {}{others}: {action}", leading.reading.clause(), leading.run)
            }
            Some(_) | None => {
                let tested = features.iter().filter(|feature| feature.reading.p_adjusted.is_some()).count();
                let settling = match self.state.settling.settled() {
                    Some(_) => String::new(),
                    None => format!(" ({})", self.state.settling.words(&self.policy)),
                };
                format!("nothing moved in {tested} features{settling}: {action}")
            }
        }
    }
}

fn decisive_severity(feature: &FeatureVerdict) -> Severity {
    if feature.reading.rule.triggers { feature.severity } else { Severity::Steady }
}
