//! What a document is told of one service.

use rachis_core::{Descriptor, Method, schema::Schemas};

/// A service that a document describes.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its face.
    pub descriptor: Descriptor,
    /// What its methods take and return; `None` describes it as one that takes anything.
    pub schemas: Option<Schemas>,
    /// The methods that take a token.
    pub guarded: Vec<Method>,
    /// What its readers should know beside its description.
    pub note: Option<String>,
}
