// What checks are written with.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { url } from './clients.mjs'

/** A check of what we do better than Feathers on purpose; skipped when the suite is pointed at Feathers itself. */
export const ours = process.env.CONFORMANCE_REFERENCE ? it.skip : it

/** One HTTP request by hand: what the clients can not send, or hide from what they receive. */
export async function http(method, path, { body, headers = {}, type = 'application/json' } = {}) {
  if (body !== undefined && type) headers = { 'Content-Type': type, ...headers }
  if (body !== undefined && typeof body !== 'string') body = JSON.stringify(body)
  const response = await fetch(url + path, { method, headers, body, redirect: 'manual' })
  const text = await response.text()
  let json
  try { json = JSON.parse(text) } catch { /* Not every answer is JSON; checks of JSON then see undefined. */ }
  return { status: response.status, headers: response.headers, text, json }
}

/** Emits an event by hand and returns what the server acknowledged: `[error, result]`. */
export async function call(socket, ...args) {
  return await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`no acknowledgement of ${args[0]} on ${args[1]}`)), 5000)
    socket.emit(...args, (...answer) => {
      clearTimeout(deadline)
      resolve(answer)
    })
  })
}

/** The error a promise was rejected with. */
export async function failure(promise) {
  try {
    const value = await promise
    assert.fail(`it should have failed, and returned ${JSON.stringify(value)}`)
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    return error
  }
}

/** Fails unless a promise is rejected with this Feathers error. */
export async function failsWith(promise, code, name, message) {
  const error = await failure(promise)
  assert.equal(`${error.code} ${error.name}`, `${code} ${name}`, error.message)
  if (message instanceof RegExp) assert.match(error.message, message)
  else if (message !== undefined) assert.equal(error.message, message)
  return error
}

/** Waits until `condition` holds; returns what it returned. */
export async function eventually(what, condition, seconds = 10) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) assert.fail(`still waiting until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Listens for an event and keeps what came. */
export function listen(source, event) {
  const came = []
  source.on(event, (...args) => came.push(args.length > 1 ? args : args[0]))
  return {
    came,
    /** The first thing that came and satisfies `wanted`. */
    first: (wanted = () => true) => eventually(`${event} came`, () => came.find(wanted))
  }
}

let count = 0
/** A name that no other check uses. */
export const unique = (what = 'check') => `${what}-${process.pid}-${Date.now()}-${count++}`

/** The fields of an error that travel. */
export const fields = ({ name, message, code, className, data, errors }) => ({ name, message, code, className, data, errors })
