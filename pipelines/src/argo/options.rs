//! What differs from one cluster to the next, and the rules it must keep before anything is rendered from it.

use models::{ModelName, TenantName};

/// What differs from one cluster to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderOptions {
    /// Namespace of both objects.
    pub namespace: String,
    /// Image of the steps, by digest or by a tag other than `latest`.
    pub image: String,
    /// Store of the registries, with a folder for each tenant.
    pub store_url: String,
    /// Interactions: a file, a folder or a prefix.
    pub interactions_url: String,
    /// The catalogue, where there is one beside the interactions.
    pub items_url: Option<String>,
    /// Tenant of the nightly run, and of any run that names none.
    pub tenant: TenantName,
    /// Model of the nightly run.
    pub model: ModelName,
    /// Five cron fields, in UTC.
    pub schedule: String,
    /// What the evaluation must reach, in `[0, 1]`.
    pub min_eval_score: f64,
    /// Account of the step pods; the executor needs its token.
    pub service_account: String,
    /// Region of the cluster: the one that writes.
    pub region: String,
    /// Kueue's local queue, where its plain-pod integration is on.
    pub queue: Option<String>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            namespace: "bookstore-platform-ml".into(),
            image: concat!("registry.bookstore-platform.example.com/bookloop:", env!("CARGO_PKG_VERSION")).into(),
            store_url: "s3://bookstore-platform-models".into(),
            interactions_url: "s3://bookstore-platform-events/interactions/".into(),
            items_url: Some("s3://bookstore-platform-events/items/".into()),
            tenant: "shared".parse().expect("six lower-case letters are a tenant name"),
            model: "recommender".parse().expect("eleven lower-case letters are a model name"),
            schedule: "0 2 * * *".into(),
            min_eval_score: 0.0,
            service_account: "recommender-train".into(),
            region: "us-east".into(),
            queue: None,
        }
    }
}

/// The options cannot be rendered; every problem at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid render options: {}", problems.join("; "))]
pub struct InvalidOptions {
    /// One sentence each.
    pub problems: Vec<String>,
}

impl RenderOptions {
    /// What cannot be rendered, one sentence each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (what, name) in [("namespace", &self.namespace), ("service account", &self.service_account)] {
            if !is_label(name) {
                problems.push(format!("{what} {name:?}: expected at most 63 of a-z, 0-9 and -"));
            }
        }
        if !is_pinned(&self.image) {
            problems.push(format!("image {:?}: expected a digest or a tag other than latest", self.image));
        }
        let items = self.items_url.iter().map(|url| ("items", url));
        for (what, url) in
            [("store", &self.store_url), ("interactions", &self.interactions_url)].into_iter().chain(items)
        {
            if url::Url::parse(url).is_err() || url.contains("{{") {
                problems.push(format!("{what} {url:?}: expected a URL, as in s3://bucket/folder"));
            }
        }
        if self.schedule.split(' ').filter(|field| !field.is_empty()).count() != 5 {
            problems.push(format!("schedule {:?}: expected five cron fields", self.schedule));
        }
        if !(0.0..=1.0).contains(&self.min_eval_score) {
            problems.push(format!("least evaluation score {}: expected a number in [0, 1]", self.min_eval_score));
        }
        for (what, value) in [("region", Some(&self.region)), ("queue", self.queue.as_ref())] {
            if value.is_some_and(|value| !is_label(value)) {
                problems.push(format!("{what} {value:?}: expected at most 63 of a-z, 0-9 and -"));
            }
        }
        problems
    }
}

/// Whether the text can be a namespace, an account or a label's value: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63.
pub(super) fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| plain(b) || b == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
}

/// Whether an image reference names bytes (a digest) or at least a version (a tag other than `latest`).
pub(super) fn is_pinned(image: &str) -> bool {
    if image.is_empty() || image.contains(char::is_whitespace) {
        return false;
    }
    if let Some((_, digest)) = image.split_once("@sha256:") {
        return digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    }
    // A colon before the last slash is a port.
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_some_and(|(name, tag)| !name.is_empty() && !tag.is_empty() && tag != "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let options = RenderOptions {
            image: "bookloop:latest".into(),
            schedule: "0 2 * *".into(),
            min_eval_score: f64::NAN,
            store_url: "models".into(),
            queue: Some("Tenant ML".into()),
            ..RenderOptions::default()
        };
        assert_eq!(options.problems().len(), 5);
    }

    #[test]
    fn an_image_is_pinned_by_digest_or_tag() {
        let digest = format!("host:5000/bookloop@sha256:{}", "a".repeat(64));
        for good in ["bookloop:0.1.0", "host:5000/team/bookloop:1", &digest] {
            assert!(is_pinned(good), "{good}");
        }
        for bad in ["", "bookloop", "bookloop:latest", "host:5000/bookloop", "bookloop@sha256:12", "a b:1"] {
            assert!(!is_pinned(bad), "{bad}");
        }
    }
}
