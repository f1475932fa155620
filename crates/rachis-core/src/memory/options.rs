//! What a memory service allows, in general and for one call.

use crate::{Error, Method, Paginate, Params, Result};
use serde_json::Value;

/// Which methods may act on several records at once: `true`, `false`, or a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multi {
    // Empty: none.
    pub(super) methods: Vec<Method>,
}

impl Multi {
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(all) => Some(Multi::from(*all)),
            Value::Array(names) => {
                let methods = names.iter().map(|name| name.as_str().map(Method::from)).collect::<Option<_>>()?;
                Some(Multi { methods })
            }
            _ => None,
        }
    }
}

impl From<bool> for Multi {
    fn from(all: bool) -> Self {
        let methods = if all { vec![Method::Create, Method::Patch, Method::Remove] } else { Vec::new() };
        Multi { methods }
    }
}

impl<const N: usize> From<[Method; N]> for Multi {
    fn from(methods: [Method; N]) -> Self {
        Multi { methods: methods.into() }
    }
}

/// What a store allows, and what a hook may change for one call by `params.extra`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which methods may act on several records.
    pub multi: Multi,
    /// How results of `find` are cut into pages; `None` is not at all.
    pub paginate: Option<Paginate>,
}

impl Options {
    /// Looks whether `method` may act on several records in this call.
    ///
    /// # Errors
    /// `MethodNotAllowed` if it may not, `BadRequest` for nonsense in `params`.
    pub fn check_multi(&self, method: Method, params: &Params) -> Result<()> {
        let here = match adapter(params, "multi") {
            Some(value) => Multi::from_json(value).ok_or_else(|| invalid("adapter.multi", value))?,
            None => self.multi.clone(),
        };
        if here.methods.contains(&method) {
            return Ok(());
        }
        Err(Error::method_not_allowed(format!("Can not {method} multiple entries")))
    }

    /// How this call is paginated: `params.adapter` wins over `params.paginate`, and both over the service.
    ///
    /// # Errors
    /// `BadRequest` for nonsense in `params`.
    pub fn paginate(&self, params: &Params) -> Result<Option<Paginate>> {
        match adapter(params, "paginate").or_else(|| params.extra.get("paginate")) {
            None => Ok(self.paginate),
            Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(value) => Paginate::from_json(value).map(Some).ok_or_else(|| invalid("paginate", value)),
        }
    }
}

fn adapter<'a>(params: &'a Params, name: &str) -> Option<&'a Value> {
    params.extra.get("adapter")?.get(name)
}

fn invalid(name: &str, value: &Value) -> Error {
    Error::bad_request(format!("params.{name} cannot be {value}"))
}
