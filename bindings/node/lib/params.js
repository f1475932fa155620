'use strict'
// Params on their way between nodes.

const { BadRequest } = require('@feathersjs/errors')

/** By these, what runs a call knows more of it; copies that hooks make of params keep them. */
const CONTEXT = Symbol('@rachis/feathers context')
const CALL = Symbol('@rachis/feathers call')

/** What belongs to this process alone. */
const STAYS = new Set(['connection', 'req', 'res', 'request', 'response', 'socket', 'fromRemote'])

const isStream = (value) => typeof value === 'object' && value !== null &&
  (typeof value.pipe === 'function' || typeof value.getReader === 'function')

/** Params without what belongs to this process: connections, functions and streams are left out. */
function travelling(params) {
  const kept = {}
  for (const [name, value] of Object.entries(params ?? {})) {
    if (STAYS.has(name) || typeof value === 'function' || isStream(value)) continue
    kept[name] = value
  }
  // A REST client names the key by a header.
  if (kept.provider === 'rest' && kept.idempotencyKey === undefined && params.headers?.['idempotency-key']) {
    kept.idempotencyKey = String(params.headers['idempotency-key'])
  }
  return kept
}

/** Data that can travel; JSON would make an empty object of a stream. */
function checkData(data) {
  if (isStream(data) || typeof data === 'function' ||
    (typeof data === 'object' && data !== null && Object.values(data).some(isStream))) {
    throw new BadRequest('The call can not travel to another process: its data is or has a stream or a function')
  }
  return data
}

module.exports = { CONTEXT, CALL, travelling, checkData }
