use super::*;
use serde_json::json;
use std::{collections::BTreeMap, sync::atomic::AtomicU64, sync::atomic::Ordering};

type Sent = Arc<Mutex<Vec<(String, Value)>>>;

#[derive(Clone, Default)]
struct Record {
    sent: Sent,
}

impl Outbox for Record {
    fn send(&self, path: &str, event: &str, data: &Value) {
        self.sent.lock().unwrap().push((format!("{path} {event}"), data.clone()));
    }

    fn close(&self) {}
}

/// A connection, and what was sent to it.
fn connect(channels: &Channels) -> (Connection, Sent) {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let record = Record::default();
    let connection = Connection::new(number, format!("id-{number}"), Arc::new(BTreeMap::new()), None, record.clone());
    channels.opened(&connection);
    channels.connected(&connection);
    (connection, record.sent)
}

fn event(path: &str, name: &str) -> Event {
    Event::custom(path, name, json!({ "from": "event" }))
}

fn data(sent: &Sent) -> Vec<Value> {
    sent.lock().unwrap().iter().map(|(_, data)| data.clone()).collect()
}

/// A publisher that says in the data that it was asked.
fn says(who: &'static str) -> impl Fn(&Event, &Channels) -> Channel {
    move |_, channels| channels.channel("all").send(who)
}

fn everybody() -> Channels {
    Channels::new().on_connection(|connection, channels| channels.channel("all").join(connection))
}

#[test]
fn a_channel_is_there_while_somebody_is_in_it() {
    let channels = Channels::new();
    let (ada, _) = connect(&channels);
    assert!(channels.names().is_empty());
    channels.channel(["a", "b"]).join(&ada);
    channels.channel("a").join(&ada);
    assert_eq!(channels.names(), ["a", "b"]);
    assert_eq!(channels.channel("a").connections(), std::slice::from_ref(&ada));
    channels.channel("a").leave(&ada);
    assert_eq!(channels.names(), ["b"]);
    channels.channel(["a", "b"]).leave(&ada);
    assert!(channels.names().is_empty());
    assert!(channels.lock().is_clean());
}

#[test]
fn several_names_are_one_channel_with_everybody_once() {
    let channels = Channels::new();
    let ada = connect(&channels).0;
    let bob = connect(&channels).0;
    channels.channel("a").join(&ada);
    channels.channel(vec!["a", "b"]).join(&bob);
    assert_eq!(channels.channel(["b", "a"]).connections(), [ada, bob]);
}

#[test]
fn no_name_is_a_channel_that_nobody_joins() {
    let channels = Channels::new();
    let (ada, _) = connect(&channels);
    let nowhere = channels.channel(Vec::<String>::new());
    nowhere.join(&ada);
    assert!(nowhere.is_empty());
    assert!(channels.names().is_empty());
}

#[test]
fn those_who_leave_can_be_chosen() {
    let channels = everybody();
    let ada = connect(&channels).0;
    let bob = connect(&channels).0;
    ada.set("admin");
    channels.channel("all").leave_if(|connection| connection.get::<&str>() == Some("admin"));
    assert_eq!(channels.channel("all").connections(), [bob]);
}

#[test]
fn a_filtered_channel_stays_as_it_was() {
    let channels = everybody();
    let (ada, _) = connect(&channels);
    let chosen = channels.channel("all").filter(|_| true);
    let (bob, _) = connect(&channels);
    chosen.join(&bob);
    assert_eq!(chosen.connections(), [ada]);
    assert_eq!(channels.channel("all").len(), 2);
}

#[test]
fn who_has_disconnected_leaves_nothing_behind_and_joins_nothing() {
    let channels = everybody().on_disconnect(|connection, channels| channels.channel("late").join(connection));
    for _ in 0..100 {
        let (connection, _) = connect(&channels);
        channels.disconnected(&connection);
        channels.disconnected(&connection);
        channels.channel("all").join(&connection);
    }
    assert!(channels.lock().is_clean());
    assert!(channels.connections().is_empty());
}

#[test]
fn a_logout_takes_out_of_all_channels_before_the_handlers_run() {
    let channels = everybody().on_logout(|login, channels| {
        let connection = login.connection.unwrap();
        assert!(channels.names().is_empty());
        channels.channel("anonymous").join(connection);
    });
    let (ada, _) = connect(&channels);
    channels.logged_out(&Login { result: &json!({}), params: &Default::default(), connection: Some(&ada) });
    assert_eq!(channels.names(), ["anonymous"]);
}

#[test]
fn the_most_particular_publisher_decides_alone() {
    let channels = everybody()
        .publish(says("app"))
        .publish_event("created", says("app created"))
        .publish_service("/todos/", says("todos"))
        .publish_service_event("todos", "created", says("todos created"));
    let (_, sent) = connect(&channels);
    for (path, name) in [("todos", "created"), ("todos", "removed"), ("notes", "created"), ("notes", "removed")] {
        channels.deliver(&event(path, name));
    }
    let expected = [
        ("todos created", "todos created"),
        ("todos removed", "todos"),
        ("notes created", "app created"),
        ("notes removed", "app"),
    ];
    assert_eq!(*sent.lock().unwrap(), expected.map(|(name, data)| (name.to_owned(), json!(data))));
}

#[test]
fn a_publisher_that_says_nothing_hides_the_less_particular_ones() {
    let channels = everybody().publish(says("app")).publish_service("todos", |_, _| ());
    let (_, sent) = connect(&channels);
    channels.deliver(&event("todos", "created"));
    assert!(data(&sent).is_empty());
}

#[test]
fn without_a_publisher_nothing_is_sent() {
    let channels = everybody().publish_service("notes", says("notes"));
    let (_, sent) = connect(&channels);
    channels.deliver(&event("todos", "created"));
    channels.deliver(&event("todos", RESYNC));
    assert!(data(&sent).is_empty());
}

#[test]
fn everybody_hears_an_event_once_by_the_first_channel() {
    let channels = Channels::new().publish(|_, channels| {
        [channels.channel("a").send(1), channels.channel(["a", "b"]), channels.channel("b").send(3)]
    });
    let ((ada, to_ada), (bob, to_bob)) = (connect(&channels), connect(&channels));
    channels.channel(["a", "b"]).join(&ada);
    channels.channel("b").join(&bob);
    channels.deliver(&event("todos", "created"));
    assert_eq!(data(&to_ada), [json!(1)]);
    assert_eq!(data(&to_bob), [json!({ "from": "event" })]);
}

#[test]
fn data_of_null_is_sent_in_place_of_the_events() {
    let channels = everybody().publish(|_, channels| channels.channel("all").send(Value::Null));
    let (_, sent) = connect(&channels);
    channels.deliver(&event("todos", "created"));
    assert_eq!(data(&sent), [Value::Null]);
}

#[test]
fn a_publisher_that_fails_or_panics_spoils_nothing_else() {
    let channels = everybody().publish(|event, channels| match event.name.as_str() {
        "created" => Err("no idea"),
        "removed" => panic!("this panic is part of the test"),
        _ => Ok(Some(channels.channel("all"))),
    });
    let (_, sent) = connect(&channels);
    for name in ["created", "removed", "patched"] {
        channels.deliver(&event("todos", name));
    }
    assert_eq!(data(&sent).len(), 1);
}

#[test]
fn who_is_in_a_channel_is_told_that_events_of_a_published_path_were_missed() {
    let channels = Channels::new().publish_service("todos", |_, _| -> () { panic!("a notice is not published") });
    let [(ada, sent), (bob, to_bob), (eve, to_eve)] = [(); 3].map(|()| connect(&channels));
    [&ada, &bob].iter().for_each(|member| channels.channel("members").join(member));
    channels.silence(&bob);
    channels.channel("left").join(&eve);
    channels.channel("left").leave(&eve);
    channels.deliver(&event("todos", RESYNC));
    channels.deliver(&event("notes", RESYNC));
    assert_eq!(*sent.lock().unwrap(), [("todos resync".to_owned(), Value::Null)]);
    assert!(data(&to_bob).is_empty() && data(&to_eve).is_empty(), "who can hear nothing learns of no path");
}

#[test]
#[should_panic(expected = "there is a publisher for 'created' of 'todos' already")]
fn two_publishers_of_one_event_contradict() {
    let _ = Channels::new().publish_service_event("todos", "created", |_, _| ()).publish_service_event(
        "/todos",
        "created",
        |_, _| (),
    );
}

#[test]
#[should_panic(expected = "is not an event that can be published")]
fn resync_can_not_be_published() {
    let _ = Channels::new().publish_event(RESYNC, |_, _| ());
}

#[test]
fn events_that_a_service_does_not_have_are_known() {
    let channels = Channels::new()
        .publish_event("whatever", |_, _| ())
        .publish_service_event("todos", "created", |_, _| ())
        .publish_service_event("todos", "done", |_, _| ())
        .publish_service_event("todos", "dnoe", |_, _| ());
    assert_eq!(channels.unknown_events("todos", &["done".to_owned()]), ["dnoe"]);
    assert!(channels.unknown_events("notes", &[]).is_empty());
}

#[test]
fn a_configuration_can_publish_to_everyone_or_to_those_who_logged_in() {
    for (publish, before, after) in [(Publish::None, 0, 0), (Publish::Everyone, 1, 1), (Publish::Authenticated, 0, 1)] {
        let channels = Channels::from_config(publish);
        assert_eq!(channels.are_silent(), publish == Publish::None);
        let (ada, sent) = connect(&channels);
        let result = json!({});
        let params = Default::default();
        let login = Login { result: &result, params: &params, connection: Some(&ada) };
        let hears = || {
            channels.deliver(&event("todos", "created"));
            std::mem::take(&mut *sent.lock().unwrap()).len()
        };
        assert_eq!(hears(), before, "{publish:?}");
        channels.logged_in(&login);
        assert_eq!(hears(), after, "{publish:?}");
        channels.logged_out(&login);
        assert_eq!(hears(), before, "{publish:?}");
    }
}
