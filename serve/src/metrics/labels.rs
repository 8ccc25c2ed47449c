//! The labels of each family, apart so that the order in which they are written is seen at a glance.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

/// Whose model. `none` for requests that reached none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Of {
    pub(super) tenant: Arc<str>,
    pub(super) model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) version: String,
    pub(super) arm: &'static str,
    pub(super) protocol: &'static str,
    pub(super) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ArmLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) version: String,
    pub(super) arm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FallbackLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) version: String,
    pub(super) arm: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct InfoLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ShedLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct JoinedLabels {
    #[prometheus(flatten)]
    pub(super) of: Of,
    pub(super) joined: &'static str,
}
