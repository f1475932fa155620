//! What is in Redis when a script is run, and how it is run: such cases that each command of each script is come to.

use super::{Case, Step, composed};
use crate::redis::{keys::GROUP, registry::Linger};
use std::time::Duration;

const CALLS: &str = "t:{app:default/x}:calls";
const DEAD: &str = "t:{app:default/x}:dead";
const SCHEMAS: &str = "t:{mesh}:schemas:default/x";
const SCHEMA: &str = "t:{mesh}:schema:1";
const ONCE: &str = "t:{app:default/x}:once:1";
const INBOX: &str = "t:{node:a}:inbox";
const LOG: &str = "t:{events:default/p}:log";
const LAST: &str = "t:{events:default/p}:last";

pub(super) fn all() -> Vec<Case> {
    registry_cases().into_iter().chain(queue_cases()).chain(other_cases()).collect()
}

/// A command; in its words `~` stands for a space.
pub(super) fn command(text: &str) -> Step {
    Step::Command(text.split(' ').map(|word| word.replace('~', " ")).collect())
}

fn script(name: &'static str, keys: &[&str], arguments: &[&str]) -> Step {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Step::Script(name, owned(keys), owned(arguments))
}

/// Changes are held back from now on, and then are no longer.
fn held_back() -> Step {
    command(
        "EVAL redis.call('SET',KEYS[1],redis.call('GET',KEYS[2])..'~99999999999999~99999999999999~0~0') 2 t:{mesh}:told t:{mesh}:epoch",
    )
}

fn let_go() -> Step {
    command("EVAL redis.call('SET',KEYS[1],(string.gsub(redis.call('GET',KEYS[1]),'~.*','~1~1~1~1'))) 1 t:{mesh}:told")
}

fn dies(node: &str) -> Step {
    command(&format!("ZADD t:{{mesh}}:nodes 1 {node}"))
}

const HOUR: Linger = Linger::For(Duration::from_secs(3600));
const NONE: Linger = Linger::For(Duration::ZERO);
const X: &str = "default/x";

fn registry_cases() -> Vec<Case> {
    let two = |linger| vec![Step::Register("a", X, &["p", "q"], linger), Step::Register("b", X, &["q", "r"], linger)];
    let case = |scripts, what, before: Vec<Step>, then: &[Step], run| {
        let before = before.into_iter().chain(then.iter().cloned()).chain([Step::Digest]).collect();
        Case { scripts, what, before, run }
    };
    let (register, withdraw): (&[_], &[_]) = (&["register", "registry"], &["withdraw", "registry"]);
    let clear_up: &[_] = &["beat", "clear_up", "registry"];
    let none = || vec![];
    // One that is in the hash of its app and in no other place.
    let ghost = || command("HSET t:{mesh}:app:default/x n:ghost g s:g descriptor t:g 5");
    let over = || command("HSET t:{mesh}:app:default/x s:o descriptor t:o 5 e:o 6");
    vec![
        case(register, "the first node", none(), &[], Step::Register("a", X, &["p", "q"], Linger::Forever)),
        case(register, "another replica", two(HOUR), &[], Step::Register("c", X, &["p", "s"], HOUR)),
        case(register, "fewer paths", two(HOUR), &[ghost(), over()], Step::Register("a", X, &["q"], HOUR)),
        case(
            register,
            "a path comes back",
            two(HOUR),
            &[Step::Withdraw("a")],
            Step::Register("c", X, &["p", "q"], HOUR),
        ),
        case(register, "held back", two(HOUR), &[held_back()], Step::Register("c", X, &["p"], HOUR)),
        case(
            register,
            "what was held back is due",
            two(HOUR),
            &[held_back(), Step::State("b"), let_go()],
            Step::Register("c", X, &["p"], HOUR),
        ),
        case(
            register,
            "the clock went back",
            two(HOUR),
            &[command("XADD t:{mesh}:changes 99999999999999-0 m later")],
            Step::Register("c", X, &["p"], HOUR),
        ),
        case(&["state", "registry"], "it drains", two(HOUR), &[], Step::State("a")),
        case(withdraw, "one of two", two(HOUR), &[], Step::Withdraw("a")),
        case(withdraw, "the last one", two(HOUR), &[Step::Withdraw("b"), ghost(), over()], Step::Withdraw("a")),
        case(withdraw, "without a linger", two(NONE), &[Step::Withdraw("b"), ghost()], Step::Withdraw("a")),
        case(withdraw, "a linger for ever", two(Linger::Forever), &[Step::Withdraw("b")], Step::Withdraw("a")),
        case(clear_up, "nothing", two(HOUR), &[], Step::Beat("a")),
        case(clear_up, "one is dead", two(HOUR), &[dies("b")], Step::Beat("a")),
        case(
            clear_up,
            "all of another app are dead",
            two(HOUR),
            &[Step::Register("c", "default/y", &["p"], NONE), dies("a"), dies("b"), ghost(), over()],
            Step::Beat("c"),
        ),
        case(
            clear_up,
            "without a linger",
            two(NONE),
            &[Step::Register("c", "default/y", &["z"], NONE), dies("a"), dies("b")],
            Step::Beat("c"),
        ),
        case(clear_up, "held back", two(HOUR), &[held_back(), Step::State("b"), let_go(), dies("b")], Step::Beat("a")),
        case(clear_up, "to be told", two(HOUR), &[held_back(), Step::State("b"), let_go()], Step::Beat("a")),
        case(&["tell", "registry"], "to be told", two(HOUR), &[held_back(), Step::State("b"), let_go()], Step::Tell),
    ]
}

/// Requests 1-0 to 4-0: two of `a`, one of them settled as far as being deleted, one of `b`, one that waits.
fn requests() -> Vec<Step> {
    let mut steps = vec![command(&format!("XGROUP CREATE {CALLS} {GROUP} $ MKSTREAM"))];
    steps.extend((1..=4).map(|number| command(&format!("XADD {CALLS} {number}-0 m frame-{number}"))));
    let read =
        |consumer, count| command(&format!("XREADGROUP GROUP {GROUP} {consumer} COUNT {count} STREAMS {CALLS} >"));
    steps.extend([read("a", 2), read("b", 1), command(&format!("XDEL {CALLS} 1-0"))]);
    steps
}

fn queue_cases() -> Vec<Case> {
    let case = |name, what, before, keys: &[&str], arguments: &[&str]| Case {
        scripts: composed(name).0,
        what,
        before,
        run: script(name, keys, &[&[GROUP], arguments].concat()),
    };
    let ungrouped = || {
        let mut steps = requests();
        steps.push(command(&format!("XGROUP DESTROY {CALLS} {GROUP}")));
        steps
    };
    let without = |id: &str| {
        let mut steps = requests();
        steps.push(command(&format!("XDEL {CALLS} {id}")));
        steps
    };
    let undeleted = || {
        let mut steps = requests();
        steps.push(command(&format!("XACK {CALLS} {GROUP} 3-0")));
        steps
    };
    let letter = ["reason", "1000", "2", "a", "b", "kept"];
    let letter = |id| [&[id][..], &letter].concat();
    vec![
        case("cancel", "it waits", requests(), &[CALLS], &["4-0"]),
        case("cancel", "a replica has it", requests(), &[CALLS], &["2-0"]),
        case("claim", "some", requests(), &[CALLS], &["a", "c", "128"]),
        case("claim", "none is left", without("2-0"), &[CALLS], &["a", "c", "128"]),
        case("claim", "no group", ungrouped(), &[CALLS], &["a", "c", "128"]),
        case("dead_letter", "one", requests(), &[CALLS, DEAD], &letter("2-0")),
        case("dead_letter", "a settled one", requests(), &[CALLS, DEAD], &letter("1-0")),
        case("give_up", "one", requests(), &[CALLS], &["2-0", "a"]),
        case("give_up", "one that was taken over", requests(), &[CALLS], &["3-0", "a"]),
        case("hand_on", "to another", requests(), &[CALLS], &["2-0", "a", "b"]),
        case("hand_on", "no group", ungrouped(), &[CALLS], &["2-0", "a", "b"]),
        case("own", "one", requests(), &[CALLS], &["a", "2-0"]),
        case("own", "a settled one", requests(), &[CALLS], &["a", "1-0"]),
        case("places", "all", requests(), &[CALLS], &["1-0", "2-0", "3-0", "4-0"]),
        case("places", "no group", ungrouped(), &[CALLS], &["2-0"]),
        case("regroup", "no stream", vec![], &[CALLS], &["-", "a"]),
        case("regroup", "no group", ungrouped(), &[CALLS], &["-", "a", "2-0"]),
        case("regroup", "all is there", requests(), &[CALLS], &["-", "a", "2-0"]),
        case("settled", "one", undeleted(), &[CALLS], &["-", "1000", "10000"]),
        case("settled", "no stream", vec![], &[CALLS], &["-", "1000", "10000"]),
        case("settled", "no group", ungrouped(), &[CALLS], &["-", "1000", "10000"]),
        case("requeue", "one", requests(), &[CALLS], &["2-0", "again", "a"]),
        case("requeue", "a settled one", requests(), &[CALLS], &["1-0", "again", "a"]),
        case("requeue", "one that was taken over", requests(), &[CALLS], &["3-0", "again", "a"]),
    ]
}

fn other_cases() -> Vec<Case> {
    let case = |name, what, before, keys: &[&str], arguments: &[&str]| Case {
        scripts: composed(name).0,
        what,
        before,
        run: script(name, keys, arguments),
    };
    let set = |value: &str| vec![command(&format!("SET {ONCE} {value} PX 60000"))];
    let events = |last: &str, number: &str| {
        let first = script("publish", &[LOG, LAST], &["channel", "1000", "60000", "90000", "0", last, number, "frame"]);
        vec![first]
    };
    let schemas = |id: &str, renewed: &str| {
        let entry = format!("HSET {SCHEMAS} m:{id} manifest s:{id} 1700000000000~{renewed}");
        vec![command(&entry), command(&format!("SET {SCHEMA} text"))]
    };
    let described = [SCHEMAS, SCHEMA];
    let publish = ["channel", "1000", "60000", "90000", "0", "a", "7", "seven", "8", "eight"];
    vec![
        case("describe", "missing", vec![], &described, &["1", "60000", "9000", "manifest"]),
        case("describe", "all of it", schemas("2", "1700000000000"), &described, &["1", "60000", "9000", "m"]),
        case("describe", "renewed", schemas("1", "1700000000000"), &described, &["1", "60000", "9000", ""]),
        case("find", "a text", requests(), &[CALLS], &["frame-4", "0", "256", "100", "100000"]),
        case("keep", "over the mark", set("mark"), &[ONCE], &["value", "90000", "mark"]),
        case(
            "keep",
            "memory is full",
            [set("mark"), vec![command("CONFIG SET maxmemory 1")]].concat(),
            &[ONCE],
            &["value", "90000", "mark"],
        ),
        case("let_go", "the mark", set("mark"), &[ONCE], &["mark"]),
        case("once", "new", vec![], &[ONCE], &["f", "a", "1-0", "60000", "", "0"]),
        case("once", "renewed", set("Rfa~1-0"), &[ONCE], &["f", "a", "1-0", "60000", "", "1"]),
        case("publish", "the first", vec![], &[LOG, LAST], &publish),
        case("publish", "the first of a node", events("b", "3"), &[LOG, LAST], &publish),
        case("publish", "more", events("a", "6"), &[LOG, LAST], &publish),
        case("publish", "some again", events("a", "7"), &[LOG, LAST], &publish),
        case(
            "publish",
            "a node was silent for long",
            vec![command(&format!("HSET {LAST} id 5-0 old 1~5-0"))],
            &[LOG, LAST],
            &publish,
        ),
        case("publish", "in a cluster", vec![], &[LOG, LAST], &[&publish[..4], &["1"], &publish[5..]].concat()),
        case("reply", "one", vec![], &[INBOX], &["1000", "frame", "60000"]),
        case("retire", "an empty one", vec![requests()[0].clone()], &[CALLS], &[]),
        case("retire", "one in use", requests(), &[CALLS], &[]),
    ]
}
