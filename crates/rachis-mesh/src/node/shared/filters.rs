//! What code adds to the filters of the configuration.

use crate::node::shared::info::ServiceInfo;
use std::{fmt, sync::Arc};

/// Judges a service.
pub(crate) type Predicate = Arc<dyn Fn(&ServiceInfo) -> bool + Send + Sync>;
/// Names a remote service as it shall be known here.
pub(crate) type Rename = Arc<dyn Fn(&ServiceInfo) -> String + Send + Sync>;

/// The predicates of a [`NodeBuilder`](crate::NodeBuilder).
#[derive(Clone, Default)]
pub(crate) struct Filters {
    pub(crate) services: Option<Predicate>,
    pub(crate) remote_services: Option<Predicate>,
    pub(crate) remote_service_path: Option<Rename>,
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filters")
            .field("services", &self.services.is_some())
            .field("remote_services", &self.remote_services.is_some())
            .field("remote_service_path", &self.remote_service_path.is_some())
            .finish()
    }
}
