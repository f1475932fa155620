'use strict'
// What keeps the process alive while an application is on the mesh, and how the process leaves it when told to stop.

const apps = new Set()
const SIGNALS = ['SIGTERM', 'SIGINT']
const handlers = new Map()
let alive
let leaving = false

/** Notes an application that joins, or has something to wait for before it can leave. */
function joined(state) {
  if (apps.has(state)) return
  apps.add(state)
  if (apps.size > 1) return
  // The native module holds no handle of the event loop, since it does not know when to let go.
  alive = setInterval(() => {}, 2 ** 30)
  for (const signal of SIGNALS) {
    const handler = () => leave(signal)
    handlers.set(signal, handler)
    process.on(signal, handler)
  }
}

/** Notes one that has left. */
function left(state) {
  apps.delete(state)
  if (apps.size > 0) return
  clearInterval(alive)
  for (const [signal, handler] of handlers) process.removeListener(signal, handler)
  handlers.clear()
}

/** All applications leave; then the signal does what it would have done without them, and so does a second one at once. */
async function leave(signal) {
  const { finalize } = require('./index.js')
  const isOurs = process.listenerCount(signal) === 1
  if (!leaving) {
    leaving = true
    await Promise.allSettled([...apps].map((state) => finalize(state.app)))
    leaving = false
  }
  if (!isOurs) return
  process.removeListener(signal, handlers.get(signal) ?? (() => {}))
  process.kill(process.pid, signal)
}

module.exports = { joined, left }
