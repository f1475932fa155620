//! Questions of operators to single nodes, and what these say. Both stand in inboxes.

use super::Frame;
use rachis_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question to one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// By which the asker knows what is said to it.
    pub(crate) id: u64,
    /// The id of the node that asks, and waits at its inbox.
    pub(crate) from: String,
    /// Until when the asker waits, in ms of Redis's clock: what comes later is not done any more.
    pub(crate) expires: u64,
    /// Names come with versions: a node says so where it does not know one.
    pub(crate) name: String,
    pub(crate) argument: Value,
}

/// What a node says to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) id: u64,
    outcome: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Body {
    Said(Value),
    Failure(Value),
}

impl Statement {
    pub(crate) fn new(id: u64, outcome: Result<Value>) -> Self {
        let outcome = match outcome {
            Ok(said) => Body::Said(said),
            Err(error) => Body::Failure(error.to_json()),
        };
        Statement { id, outcome }
    }

    pub(crate) fn into_outcome(self) -> Result<Value> {
        match self.outcome {
            Body::Said(said) => Ok(said),
            Body::Failure(error) => Err(Error::from_json(error)),
        }
    }
}

impl Frame for Question {
    const KIND: u8 = b'W';
}

impl Frame for Statement {
    const KIND: u8 = b'S';
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Signer;
    use serde_json::json;

    #[test]
    fn a_question_and_what_is_said_to_it_come_back_as_they_were() {
        let signer = Signer::new(Some("a secret that is long enough"), None);
        let scope = signer.at("ns:{node:a}:inbox");
        let question =
            Question { id: 7, from: "b".into(), expires: 9, name: "stats".into(), argument: json!({ "a": [1] }) };
        assert_eq!(Question::decode(&question.encode(scope).unwrap(), scope).unwrap(), question);

        for outcome in [Ok(json!({ "a": 1 })), Err(Error::not_found("no such level").with_data(json!({ "b": 2 })))] {
            let frame = Statement::new(7, outcome.clone()).encode(scope).unwrap();
            assert_eq!(Statement::decode(&frame, scope).unwrap().into_outcome(), outcome);
            assert!(Question::decode(&frame, scope).is_err());
        }
    }
}
