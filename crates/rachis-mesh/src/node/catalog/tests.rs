use super::*;
use rachis_core::Descriptor;

fn descriptor(path: &str, methods: &[&str]) -> Arc<Descriptor> {
    Arc::new(Descriptor {
        path: path.into(),
        methods: methods.iter().map(|name| Method::from(*name)).collect(),
        events: vec![],
        idempotent: vec![],
        options: Default::default(),
    })
}

/// A node `id` of `app` that offers paths since some time.
fn member(id: &str, app: &str, services: &[(&str, u64)]) -> Member {
    let offer = |(path, since): &(&str, u64)| {
        ((*path).to_owned(), Offer { since: *since, descriptor: descriptor(path, &["get"]) })
    };
    Member {
        id: id.into(),
        app: app.into(),
        key: "default".into(),
        info: Info::default(),
        up: true,
        linger: Some(60),
        partitions: 1,
        services: services.iter().map(offer).collect(),
    }
}

/// A catalog and the registry's version, so that scenarios read as what happens in them.
struct Mesh {
    catalog: Catalog,
    epoch: u64,
}

impl Mesh {
    fn new() -> Self {
        Mesh { catalog: Catalog::new("me", 20), epoch: 0 }
    }

    fn up(&mut self, member: Member, now: u64) -> Vec<CatalogChange> {
        self.step(CatalogUpdate::Up(member), now)
    }

    /// The registry says what lingers; here, what no other app offers.
    fn down(&mut self, id: &str, now: u64) -> Vec<CatalogChange> {
        let member = self.catalog.nodes[id].clone();
        let others = self.catalog.nodes.values().filter(|other| other.id != id && other.app == member.app);
        let served: BTreeSet<String> = others.flat_map(|other| other.services.keys().cloned()).collect();
        let left = member.services.values().filter(|offer| !served.contains(&offer.descriptor.path));
        let until = member.linger.map(|time| now + time);
        let lingers = |offer: &Offer| Lingering { app: member.app.clone(), offer: offer.clone(), until };
        let left = left.filter(|_| until != Some(now)).map(lingers).collect();
        self.step(CatalogUpdate::Down(id.into(), left), now)
    }

    fn step(&mut self, item: CatalogUpdate, now: u64) -> Vec<CatalogChange> {
        self.epoch += 1;
        self.catalog.apply(self.epoch - 1, self.epoch, vec![item], now).expect("follows")
    }

    fn app_of(&self, path: &str) -> Option<&str> {
        self.catalog.routes.get(path).map(|route| route.app.as_str())
    }

    fn healthy(&self, path: &str) -> bool {
        !self.catalog.routes[path].replicas.is_empty()
    }
}

fn removed(changes: &[CatalogChange]) -> Vec<&str> {
    let path = |change: &'_ CatalogChange| match change {
        CatalogChange::ServiceRemoved(route) => Some(route.path.clone()),
        _ => None,
    };
    let paths: Vec<String> = changes.iter().filter_map(path).collect();
    paths.into_iter().map(|path| &*path.leak()).collect()
}

#[test]
fn a_service_of_another_node_can_be_called() {
    let mut mesh = Mesh::new();
    let changes = mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    assert!(matches!(&changes[..], [CatalogChange::NodeUp(_), CatalogChange::Service(route)] if route.path == "todos"));
    assert_eq!(mesh.app_of("todos"), Some("default/x"));
}

#[test]
fn the_own_services_are_no_routes() {
    let mut mesh = Mesh::new();
    mesh.up(member("me", "default/x", &[("todos", 1)]), 0);
    assert_eq!(mesh.app_of("todos"), None);
    assert_eq!(mesh.catalog.nodes().count(), 1);
}

#[test]
fn the_oldest_registration_wins_whatever_the_order_of_news() {
    for order in [["a", "b"], ["b", "a"]] {
        let mut mesh = Mesh::new();
        for id in order {
            let since = if id == "a" { 5 } else { 9 };
            mesh.up(member(id, &format!("default/{id}"), &[("todos", since)]), 0);
        }
        assert_eq!(mesh.app_of("todos"), Some("default/a"), "{order:?}");
    }
}

#[test]
fn the_other_app_is_warned_of_and_takes_over_when_the_first_goes() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/a", &[("todos", 5)]), 0);
    let changes = mesh.up(member("b", "default/b", &[("todos", 9)]), 0);
    assert!(
        changes.iter().any(|change| matches!(change, CatalogChange::Shadowed { loser, .. } if loser == "default/b"))
    );
    let changes = mesh.down("a", 1);
    assert_eq!((mesh.app_of("todos"), mesh.healthy("todos")), (Some("default/b"), true));
    assert_eq!(removed(&changes), Vec::<&str>::new());
}

#[test]
fn a_path_stays_while_another_replica_has_it() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    mesh.up(member("b", "default/x", &[("todos", 1)]), 0);
    assert_eq!(removed(&mesh.down("a", 1)), Vec::<&str>::new());
    assert!(mesh.healthy("todos"));
    assert_eq!(removed(&mesh.up(member("b", "default/x", &[]), 2)), ["todos"]);
}

#[test]
fn a_path_whose_last_replica_died_lingers_and_then_goes() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    let changes = mesh.down("a", 100);
    assert!(changes.iter().any(|change| matches!(change, CatalogChange::Health(_))));
    assert!(!mesh.healthy("todos"));
    assert_eq!(removed(&mesh.catalog.tick(159)), Vec::<&str>::new());
    assert_eq!(removed(&mesh.catalog.tick(160)), ["todos"]);
    assert_eq!(mesh.app_of("todos"), None);
}

#[test]
fn a_path_comes_back_while_it_lingers() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    mesh.down("a", 100);
    mesh.up(member("b", "default/x", &[("todos", 1)]), 110);
    assert!(mesh.healthy("todos"));
    assert_eq!(removed(&mesh.catalog.tick(1000)), Vec::<&str>::new());
}

#[test]
fn without_linger_a_path_goes_with_its_last_replica() {
    let mut mesh = Mesh::new();
    mesh.up(Member { linger: Some(0), ..member("a", "default/x", &[("todos", 1)]) }, 0);
    assert_eq!(removed(&mesh.down("a", 1)), ["todos"]);
}

#[test]
fn with_linger_for_ever_a_path_never_goes() {
    let mut mesh = Mesh::new();
    mesh.up(Member { linger: None, ..member("a", "default/x", &[("todos", 1)]) }, 0);
    mesh.down("a", 1);
    assert_eq!(removed(&mesh.catalog.tick(u64::MAX)), Vec::<&str>::new());
    assert_eq!(mesh.app_of("todos"), Some("default/x"));
}

#[test]
fn a_node_that_drains_gets_no_calls_and_its_paths_linger() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    mesh.up(Member { up: false, ..member("a", "default/x", &[("todos", 1)]) }, 10);
    assert!(!mesh.healthy("todos"));
    assert_eq!(removed(&mesh.down("a", 11)), Vec::<&str>::new());
}

#[test]
fn a_change_that_does_not_follow_is_refused_and_an_old_one_ignored() {
    let mut catalog = Catalog::new("me", 20);
    assert!(catalog.apply(0, 5, vec![CatalogUpdate::Up(member("a", "default/x", &[]))], 0).is_some());
    assert!(catalog.apply(7, 8, vec![], 0).is_none());
    assert_eq!(catalog.apply(0, 4, vec![CatalogUpdate::Down("a".into(), vec![])], 0), Some(vec![]));
    assert_eq!((catalog.epoch(), catalog.nodes().count()), (5, 1));
}

#[test]
fn nodes_missing_from_a_lost_registry_are_believed_for_a_grace() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    mesh.up(member("b", "default/y", &[("notes", 1)]), 0);
    let changes = mesh.catalog.replace(1000, vec![], vec![], 100);
    assert_eq!(changes, []);
    mesh.catalog.apply(1000, 1001, vec![CatalogUpdate::Up(member("a", "default/x", &[("todos", 1)]))], 105);
    let changes = mesh.catalog.tick(120);
    assert!(
        matches!(&changes[..], [CatalogChange::Health(_), CatalogChange::NodeDown(gone)] if gone.id == "b"),
        "{changes:?}"
    );
    assert!(mesh.healthy("todos"));
}

#[test]
fn a_newcomer_learns_lingering_paths_from_the_registry() {
    let mut catalog = Catalog::new("me", 20);
    let offer = Offer { since: 1, descriptor: descriptor("todos", &["get"]) };
    let lingering = Lingering { app: "default/x".into(), offer, until: Some(50) };
    let changes = catalog.replace(9, vec![], vec![lingering], 10);
    assert!(matches!(&changes[..], [CatalogChange::Service(route)] if route.replicas.is_empty()));
    assert_eq!(removed(&catalog.tick(50)), ["todos"]);
}

#[test]
fn replicas_of_two_versions_offer_together_what_either_has() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    let mut newer = member("b", "default/x", &[("todos", 1)]);
    newer.services.get_mut("todos").unwrap().descriptor = descriptor("todos", &["get", "archive"]);
    mesh.up(newer, 0);
    let archive = Method::custom("archive");
    assert!(mesh.catalog.routes["todos"].descriptor.methods.contains(&archive));
    assert_eq!(mesh.catalog.replica_with("default/x", "todos", &archive), Some("b"));
}

#[test]
fn a_belief_without_a_version_is_not_joined_to_a_registry_that_begins_anew() {
    let mut catalog = Catalog::new("me", 20);
    // Read while Redis had just lost everything and a first node came back.
    catalog.replace(0, vec![member("a", "default/x", &[("todos", 1)])], vec![], 10);
    // Meanwhile it was lost again, and `a` with it.
    assert_eq!(catalog.apply(0, 30, vec![CatalogUpdate::Up(member("b", "default/y", &[]))], 30), None);
    catalog.replace(30, vec![member("b", "default/y", &[])], vec![], 30);
    catalog.tick(50);
    assert_eq!(catalog.nodes().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_newcomer_can_call_a_path_whose_last_replica_drains_and_then_lingers() {
    let mut catalog = Catalog::new("me", 20);
    let draining = Member { up: false, ..member("a", "default/x", &[("todos", 1)]) };
    let changes = catalog.replace(9, vec![draining.clone()], vec![], 10);
    assert!(
        matches!(&changes[..], [CatalogChange::NodeUp(_), CatalogChange::Service(route)] if route.replicas.is_empty())
    );
    let left = Lingering { app: "default/x".into(), offer: draining.services["todos"].clone(), until: Some(80) };
    let changes = catalog.apply(9, 20, vec![CatalogUpdate::Down("a".into(), vec![left])], 20).unwrap();
    assert_eq!(removed(&changes), Vec::<&str>::new());
    assert_eq!((removed(&catalog.tick(79)), removed(&catalog.tick(80))), (vec![], vec!["todos"]));
}

#[test]
fn news_that_comes_late_does_not_make_a_path_linger_longer() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    let offer = Offer { since: 1, descriptor: descriptor("todos", &["get"]) };
    let left = Lingering { app: "default/x".into(), offer, until: Some(60) };
    // It died at 0 and this node was cut off until 50.
    mesh.step(CatalogUpdate::Down("a".into(), vec![left]), 50);
    assert_eq!(removed(&mesh.catalog.tick(60)), ["todos"]);
}

#[test]
fn a_lingering_path_that_the_registry_does_not_know_does_not_stay_for_ever() {
    let mut mesh = Mesh::new();
    mesh.up(Member { linger: None, ..member("a", "default/x", &[("todos", 1)]) }, 0);
    mesh.down("a", 1);
    // What was missed: another replica had it, and unregistered it.
    mesh.catalog.replace(500, vec![], vec![], 100);
    assert_eq!(mesh.app_of("todos"), Some("default/x"));
    assert_eq!(removed(&mesh.catalog.tick(120)), ["todos"]);
}

#[test]
fn a_node_that_was_thought_dead_and_is_back_has_no_paths_that_linger() {
    let mut mesh = Mesh::new();
    let me = member("me", "default/x", &[("todos", 1)]);
    mesh.up(me.clone(), 0);
    mesh.down("me", 10);
    assert!(!mesh.healthy("todos"));
    assert_eq!(removed(&mesh.up(me, 20)), ["todos"]);
}

#[test]
fn calls_are_spread_as_far_as_every_replica_that_is_up_reads() {
    let mut mesh = Mesh::new();
    let with = |id: &str, partitions| Member { partitions, ..member(id, "default/x", &[("todos", 1)]) };
    let far = |mesh: &Mesh| {
        let catalog = &mesh.catalog;
        (catalog.route("todos").map(|route| catalog.partitions(route)), catalog.most_partitions("default/x"))
    };
    assert_eq!(far(&mesh), (None, 1));
    mesh.up(with("a", 4), 0);
    mesh.up(member("other", "default/y", &[("todos", 2)]), 0);
    assert_eq!(far(&mesh), (Some(4), 4));
    mesh.up(with("b", 2), 0);
    assert_eq!(far(&mesh), (Some(2), 4));
    mesh.down("other", 0);
    mesh.up(Member { up: false, ..with("a", 8) }, 0);
    assert_eq!(far(&mesh), (Some(2), 8), "who leaves may have requests in all of its own");
    mesh.up(Member { up: false, ..with("b", 2) }, 0);
    assert_eq!(far(&mesh), (Some(1), 8), "while none is up, they wait in the first");
    mesh.down("a", 0);
    mesh.down("b", 0);
    assert_eq!(far(&mesh), (Some(1), 1));
}

#[test]
fn it_is_looked_at_again_only_while_something_is_to_end() {
    let mut mesh = Mesh::new();
    mesh.up(member("a", "default/x", &[("todos", 1)]), 0);
    assert!(!mesh.catalog.waits());
    mesh.down("a", 100);
    assert!(mesh.catalog.waits());
    assert_eq!(mesh.catalog.tick(101), []);
    assert!(mesh.catalog.waits(), "it lingers on");
    mesh.up(member("b", "default/x", &[("todos", 1)]), 102);
    mesh.catalog.tick(103);
    assert!(!mesh.catalog.waits(), "a replica is back");
    mesh.down("b", 200);
    assert_eq!(removed(&mesh.catalog.tick(260)), ["todos"]);
    assert!(!mesh.catalog.waits(), "it has ended");
    mesh.up(Member { linger: None, ..member("c", "default/x", &[("todos", 1)]) }, 300);
    mesh.down("c", 400);
    mesh.catalog.tick(401);
    assert!(!mesh.catalog.waits(), "what lingers for ever ends by nothing");
}
