//! Frames for the benchmark `pure`. This file is a module of rachis-mesh under the feature `measured`: frames are private to
//! it.

use crate::wire::{Frame, Reply, Request, Signer};
use rachis_core::{Answer, Call, Result};
use serde_json::Value;
use std::time::Duration;

/// The stream that frames are signed for.
const PLACE: &str = "rachis:{app:default/echo}:calls";
/// A node's id is that long.
const FROM: &str = "01JAAAAAAAAAAAAAAAAAAAAAAA";

/// What two nodes do with the frames of one call; with a secret, they sign them.
pub struct Frames {
    signer: Signer,
}

impl Frames {
    pub fn new(secret: Option<&str>) -> Self {
        Frames { signer: Signer::new(secret, None) }
    }

    pub fn write_request(&self, call: Call) -> Result<Vec<u8>> {
        Request::new(1, FROM, Box::new(call)).encode(Duration::from_secs(20), self.signer.at(PLACE))
    }

    pub fn read_request(&self, frame: &[u8]) -> Result<Call> {
        Request::decode(frame, self.signer.at(PLACE)).map(|(request, _)| *request.into_call(true))
    }

    pub fn write_reply(&self, result: Value) -> Result<Vec<u8>> {
        let answer = Answer { result, dispatch: None, http: rachis_core::Http::default() };
        Reply::new(1, Ok(answer)).encode(self.signer.at(PLACE))
    }

    pub fn read_reply(&self, frame: &[u8]) -> Result<Value> {
        Reply::decode(frame, self.signer.at(PLACE))?.into_outcome().map(|answer| answer.result)
    }
}
