//! All Lua, as Redis runs it: each script, behind what it shares with others.

/// Names each script, and the files that it is made of, the last of which has its name.
macro_rules! scripts {
    ($($(#[$attribute:meta])* $name:ident: $($file:literal)+;)*) => {
        $($(#[$attribute])* pub(super) const $name: &str = concat!($(include_str!(concat!($file, ".lua"))),+);)*

        /// The files and the text of each.
        #[cfg(test)]
        pub(super) const ALL: &[(&[&str], &str)] = &[$((&[$($file),+], $name)),*];
    };
}

scripts! {
    // The request stream of an app.
    CANCEL: "cancel";
    CLAIM: "queue" "claim";
    DEAD_LETTER: "queue" "dead_letter";
    FIND: "find";
    GIVE_UP: "queue" "give_up";
    HAND_ON: "queue" "hand_on";
    OWN: "queue" "own";
    PLACES: "queue" "places";
    REGROUP: "queue" "regroup";
    REPLY: "reply";
    REQUEUE: "queue" "requeue";
    RETIRE: "retire";
    SETTLED: "queue" "settled";
    // Calls with an idempotency key.
    KEEP: "keep";
    LET_GO: "let_go";
    ONCE: "once";
    // The registry.
    BEAT: "beat";
    CLEAR_UP: "registry" "clear_up";
    REGISTER: "registry" "register";
    STATE: "registry" "state";
    TELL: "registry" "tell";
    WITHDRAW: "registry" "withdraw";
    #[cfg_attr(not(feature = "schema"), allow(dead_code))]
    DESCRIBE: "describe";
    // Events.
    PUBLISH: "publish";
}
