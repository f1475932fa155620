//! Which part of an app other nodes may see.

use crate::node::shared::{filters::Filters, info::ServiceInfo};
use rachis_config::Config;
use rachis_core::{Descriptor, host::Registered};
use std::{collections::BTreeMap, sync::Arc};

/// What this node publishes, by path. A service that would offer no method is left out.
pub(crate) fn published(
    services: &[Arc<Registered>],
    config: &Config,
    filters: &Filters,
    app: &str,
) -> BTreeMap<String, Arc<Descriptor>> {
    let visible = services.iter().filter_map(|registered| {
        let path = &registered.descriptor.path;
        if registered.publish.local_only || !config.services.allows(path) {
            return None;
        }
        let info = ServiceInfo::local(&registered.descriptor, &config.key, app);
        if filters.services.as_ref().is_some_and(|allows| !allows(&info)) {
            return None;
        }
        let descriptor = narrowed(registered, config);
        (!descriptor.methods.is_empty()).then(|| (path.clone(), Arc::new(descriptor)))
    });
    visible.collect()
}

/// The methods and events that the lists leave: those of the registration, else those of the configuration; and the
/// options that the configuration names, since all others may be the node's own business.
fn narrowed(registered: &Registered, config: &Config) -> Descriptor {
    let mut descriptor = Descriptor::clone(&registered.descriptor);
    let announced = registered.publish.options.as_ref().unwrap_or(&config.remote_service_options);
    descriptor.options.retain(|name, _| announced.contains(name));
    match &registered.publish.methods {
        Some(list) => descriptor.methods.retain(|method| list.contains(method)),
        None => {
            let filter = config.methods_of(&descriptor.path);
            descriptor.methods.retain(|method| filter.allows(method.name()));
        }
    }
    match &registered.publish.events {
        Some(list) => descriptor.events.retain(|event| list.contains(event)),
        None => {
            let filter = config.events_of(&descriptor.path);
            descriptor.events.retain(|event| filter.allows(event));
        }
    }
    registered.guarded.announce(&mut descriptor);
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;
    use rachis_core::{App, MemoryService, Registration};
    use serde_json::json;

    #[test]
    fn only_options_that_the_configuration_names_are_announced() {
        let todos = Registration::from(MemoryService::new()).option("scope", "public").option("dsn", "db://secret");
        let app = App::new().register("todos", todos);
        let announced = |config: &Config| {
            let published = published(&app.registered(), config, &Filters::default(), "app");
            serde_json::to_value(&published["todos"].options).unwrap()
        };
        let mut config = Config::default();
        assert_eq!(announced(&config), json!({}));
        config.remote_service_options = vec!["scope".into(), "unknown".into()];
        assert_eq!(announced(&config), json!({ "scope": "public" }));
    }

    #[test]
    fn a_registration_says_itself_which_of_its_options_are_announced() {
        let todos = Registration::from(MemoryService::new()).option("scope", "public").option("dsn", "db://secret");
        let app = App::new().register("todos", todos.distributed_options(["scope"]));
        let config = Config { remote_service_options: vec!["dsn".into()], ..Config::default() };
        let published = published(&app.registered(), &config, &Filters::default(), "app");
        assert_eq!(serde_json::to_value(&published["todos"].options).unwrap(), json!({ "scope": "public" }));
    }
}
