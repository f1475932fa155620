//! What the lifecycle channel brings.

use crate::redis::registry::RegistryChange;

/// What the lifecycle channel brings.
pub(crate) enum Lifecycle {
    /// Changes in their order: those that were told together.
    News(Vec<RegistryChange>),
    /// Messages may have been missed.
    Gap,
    /// What is believed is out of date, though the registry still has the same version.
    Stale,
}
