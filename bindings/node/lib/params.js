'use strict'
// Params on their way between nodes.

const { BadRequest, Timeout } = require('@feathersjs/errors')

/** By these, what runs a call knows more of it; copies that hooks make of params keep them. */
const CONTEXT = Symbol('@rachis/feathers context')
const CALL = Symbol('@rachis/feathers call')

/** What belongs to this process alone. */
const STAYS = new Set(['connection', 'req', 'res', 'request', 'response', 'socket', 'fromRemote', 'deadline'])

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

/** How many ms a call may take, where its params say until when: those of the call that it is made for, mostly. */
function timeLeft(params) {
  const deadline = params?.deadline
  if (typeof deadline !== 'number') return undefined
  const left = Math.round(deadline - Date.now())
  if (left > 0) return left
  throw new Timeout('The deadline of the call was over before it was made', { outcome: 'never ran' })
}

/** Data that can travel; JSON would make an empty object of a stream. */
function checkData(data) {
  if (isStream(data) || typeof data === 'function' ||
    (typeof data === 'object' && data !== null && Object.values(data).some(isStream))) {
    throw new BadRequest('The call can not travel to another process: its data is or has a stream or a function')
  }
  return data
}

module.exports = { CONTEXT, CALL, travelling, timeLeft, checkData }
